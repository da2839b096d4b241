"""Draws docs/images/report-*.png: a weekly report as its readers see it, in Chromium, made of example records.

    python -m tests.integration.reportpicture

Needs what the tests of pages need, and pngquant, which makes the pictures small.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from pdns.report.content import ReportContent, gather
from pdns.report.formats import rendered
from pdns.report.periods import Period
from tests.integration.browser import SIZES, chromium, opened, violations
from tests.integration.running_pdns import ROOT
from tests.unit.report import records
from tests.unit.report.memory_queries import MemoryQueries

IMAGES = ROOT / "docs/images"
_PHONE, _DESKTOP = SIZES
SHOWN = ((_DESKTOP, "light"), (_DESKTOP, "dark"), (_PHONE, "light"), (_PHONE, "dark"))
KEPT = (f"report-light-{_DESKTOP[0]}.png", f"report-dark-{_PHONE[0]}.png")  # in the docs


def example(tenant: str | None = None) -> ReportContent:
    """The report on the example week."""
    now_s = records.END_S + 6 * 3600
    period = Period(records.START_S, records.END_S, "Europe/London")
    return gather(MemoryQueries(records.records()), records.config(), records.status(now_s), period, tenant, now_s)


def draw(page: bytes, directory: Path, name: str = "report", *, whole: bool = True) -> list[str]:
    """Draw the page at every size and as A4 into `directory`; returns what axe found."""
    found = []
    path = directory / f"{name}.html"
    path.write_bytes(page)
    with chromium("127.0.0.1", 9) as browser:
        for size, scheme in SHOWN:
            with opened(browser, size, scheme, checked=True) as tab:
                tab.goto(path.as_uri())
                undecided = "color-contrast: <text"  # in a drawing, axe sees no background
                found += [f"{size[0]} {scheme}: {one}" for one in violations(tab) if not one.startswith(undecided)]
                wide = tab.evaluate("document.documentElement.scrollWidth")
                found += [f"{size[0]} {scheme}: {wide} pixels wide"] if wide > size[0] else []
                tab.screenshot(path=directory / f"{name}-{scheme}-{size[0]}.png", full_page=whole)
        with opened(browser, _DESKTOP, "light", scripts=False) as tab:
            tab.goto(path.as_uri())
            tab.pdf(path=directory / f"{name}.pdf", prefer_css_page_size=True, print_background=False)
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        assert draw(rendered(example(), "html"), Path(scratch), whole=False) == []
        for kept in KEPT:
            (IMAGES / kept).write_bytes((Path(scratch) / kept).read_bytes())
    pictures = [str(IMAGES / kept) for kept in KEPT]
    subprocess.run(["pngquant", "--force", "--ext", ".png", "--strip", "64", *pictures], check=True)
