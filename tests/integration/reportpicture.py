"""Draws docs/images/report-*.png: a weekly report as its readers see it, in Chromium, made of example records.

    python -m tests.integration.reportpicture

Needs what the tests of pages need, and pngquant, which makes the pictures small.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pdns.report.content import ReportContent, gather
from pdns.report.formats import rendered
from pdns.report.incident import IncidentContent, ListedBy, collect
from pdns.report.periods import Period
from tests.integration.browser import SIZES, chromium, opened, violations
from tests.integration.running_pdns import ROOT
from tests.unit.report import records
from tests.unit.report.stored import stored

IMAGES = ROOT / "docs/images"
_PHONE, _DESKTOP = SIZES
SHOWN = ((_DESKTOP, "light"), (_DESKTOP, "dark"), (_PHONE, "light"), (_PHONE, "dark"))
KEPT = (f"report-light-{_DESKTOP[0]}.png", f"report-dark-{_PHONE[0]}.png")  # in the docs


def incident() -> IncidentContent:
    """An incident of that week."""
    period = Period(records.START_S, records.END_S, "Europe/London")
    listed = ListedBy(
        feed="threatfox", category="c2", listed="cdn-sync.example", threat="AsyncRAT", since_s=records.START_S - 3 * 86400,
        published_s=records.START_S - 4 * 86400 + 7777, last_seen_s=records.END_S,
    )  # fmt: skip
    with stored([one for one in records.records(weeks=1)[:3000] if "cdn-sync" in getattr(one, "listed", "cdn-sync")]) as queries:
        return collect(queries, records.config(), period, records.END_S + 3600, name="cdn-sync.example", listings=[listed])


def example(tenant: str | None = None) -> ReportContent:
    """The report on the example week."""
    now_s = records.END_S + 6 * 3600
    period = Period(records.START_S, records.END_S, "Europe/London")
    with stored(records.records()) as queries:
        return gather(queries, records.config(), records.status(now_s), period, tenant, now_s)


def draw(
    page: bytes,
    directory: Path,
    name: str = "report",
    *,
    shown: Sequence[tuple[tuple[int, int], str]] = SHOWN,
    whole: bool = True,
) -> list[str]:
    """Draw the page at every size and as A4 into `directory`; returns what axe found, and what the page loaded."""
    found: list[str] = []
    loaded: list[str] = []
    path = directory / f"{name}.html"
    path.write_bytes(page)
    with chromium("127.0.0.1", 9) as browser:
        for size, scheme in shown:
            with opened(browser, size, scheme, checked=True) as tab:
                tab.on("request", lambda request: loaded.append(request.url))
                tab.goto(path.as_uri())
                undecided = "color-contrast: <text"  # in a drawing, axe sees no background
                found += [f"{size[0]} {scheme}: {one}" for one in violations(tab) if not one.startswith(undecided)]
                wide = tab.evaluate("document.documentElement.scrollWidth")
                found += [f"{size[0]} {scheme}: {wide} pixels wide"] if wide > size[0] else []
                tab.screenshot(path=directory / f"{name}-{scheme}-{size[0]}.png", full_page=whole)
        with opened(browser, _DESKTOP, "light", scripts=False) as tab:
            tab.goto(path.as_uri())
            tab.pdf(path=directory / f"{name}.pdf", prefer_css_page_size=True, print_background=False)
    return found + [url for url in loaded if url != path.as_uri()]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        assert draw(rendered(example(), "html"), Path(scratch), whole=False) == []
        for kept in KEPT:
            (IMAGES / kept).write_bytes((Path(scratch) / kept).read_bytes())
    pictures = [str(IMAGES / kept) for kept in KEPT]
    subprocess.run(["pngquant", "--force", "--ext", ".png", "--strip", "64", *pictures], check=True)
