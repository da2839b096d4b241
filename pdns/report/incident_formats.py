"""An incident report in each of its forms."""

from __future__ import annotations

from typing import assert_never

import msgspec

from pdns.report.formats import ReportFormat
from pdns.report.html import ReportPage, as_html
from pdns.report.incident import IncidentContent, sealed
from pdns.report.incident_sections import incident_figures, incident_sections, incident_subject, incident_summary
from pdns.report.plain_text import as_text
from pdns.report.tables import as_csv
from pdns.report.wording import clock, period

_WHAT = "DNS incident report"


def rendered_incident(content: IncidentContent, form: ReportFormat) -> bytes:
    """The report in that form, in UTF-8."""
    whole = sealed(content)
    sections = incident_sections(content, whole.sha256)
    when = period(content.start_s, content.end_s, content.time_zone)
    subject, summary, figures = incident_subject(content), incident_summary(content), incident_figures(content)
    match form:
        case "json":
            return msgspec.json.encode(whole) + b"\n"
        case "csv":
            return as_csv(content).encode()
        case "text":
            return as_text(f"{_WHAT}: {subject}, {when}", summary, figures, sections).encode()
        case "html":
            made = clock(content.made_s, content.time_zone)
            footer = f"Made on {made} ({content.time_zone}). This file loads nothing from the network."
            return as_html(ReportPage(_WHAT, subject, when, summary, figures, None, footer), sections).encode()
        case _:
            assert_never(form)
