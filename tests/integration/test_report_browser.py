"""Reports in Chromium: at the size of a phone and a desktop, light and dark, and on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdns.report.formats import rendered
from pdns.report.incident_formats import rendered_incident
from tests.integration import reportpicture
from tests.integration.browser import CHROMIUM

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")


def test_a_report(tmp_path: Path) -> None:
    """In a report, axe finds nothing, no page is wider than its window, nothing is loaded, and the PDF has pages of A4."""
    assert reportpicture.draw(rendered(reportpicture.example(), "html"), tmp_path) == []
    pdf = (tmp_path / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert b"/MediaBox [0 0 595" in pdf or b"/MediaBox [0 0 594" in pdf


def test_an_incident(tmp_path: Path) -> None:
    """The same holds for an incident."""
    page = rendered_incident(reportpicture.incident(), "html")
    shown = [reportpicture.SHOWN[at] for at in (1, 2)]
    assert reportpicture.draw(page, tmp_path, shown=shown) == []
