"""A report in each of its forms."""

from __future__ import annotations

from typing import Final, Literal, assert_never

import msgspec

from pdns.report.charts import Bar
from pdns.report.content import ReportContent
from pdns.report.html import ReportChart, ReportPage, as_html
from pdns.report.plain_text import as_text
from pdns.report.sections import figures, heading, sections, summary
from pdns.report.tables import as_csv
from pdns.report.wording import clock, counted, local, period, shown

ReportFormat = Literal["html", "json", "csv", "text"]
WHAT: Final = "Protective DNS report"
SUFFIXES: Final[dict[ReportFormat, str]] = {"html": "html", "json": "json", "csv": "csv", "text": "txt"}
MEDIA_TYPES: Final[dict[ReportFormat, str]] = {
    "html": "text/html", "json": "application/json", "csv": "text/csv", "text": "text/plain",
}  # fmt: skip


def rendered(content: ReportContent, form: ReportFormat) -> bytes:
    """The report in that form, in UTF-8."""
    match form:
        case "json":
            return msgspec.json.format(msgspec.json.encode(content)) + b"\n"
        case "csv":
            return as_csv(content).encode()
        case "text":
            lines = as_text(f"{WHAT}: {heading(content)}", summary(content), figures(content), sections(content))
            return lines.encode()
        case "html":
            return as_html(page_of(content), sections(content)).encode()
        case _:
            assert_never(form)


def page_of(content: ReportContent) -> ReportPage:
    """The parts of the page that are no sections."""
    made = clock(content.made_s, content.time_zone)
    return ReportPage(
        WHAT, shown(content.title), period(content.start_s, content.end_s, content.time_zone), summary(content), figures(content),
        _chart(content), f"Made on {made} ({content.time_zone}). This file loads nothing from the network.",
    )  # fmt: skip


def _chart(content: ReportContent) -> ReportChart | None:
    if not any(point.blocked for point in content.points) or len(content.points) < 2:
        return None
    zone, unit = content.time_zone, content.unit
    bars = []
    for point in content.points:
        moment = local(point.start_s, zone)
        if unit == "hour":
            label, words = f"{moment:%H:%M}", f"{moment:%A} {moment.day} {moment:%B}, {moment:%H:%M}"
        else:
            label, words = f"{moment.day} {moment:%b}", f"{moment:%A} {moment.day} {moment:%B}"
            words = f"Week from {words}" if unit == "week" else words
        bars.append(Bar(point.blocked, label, words))
    most = max(bars, key=lambda bar: bar.value)
    quiet = sum(not bar.value for bar in bars)
    lead = f"Most on {most.words}: {most.value:,}." if unit == "day" else f"Most: {most.words}, {most.value:,}."
    if quiet:
        lead += f" None in {counted(quiet, unit)}."
    return ReportChart(f"Blocked attempts by {unit}", lead, unit.capitalize(), tuple(bars))
