"""The status page as HTML: every text is escaped, names are left out for strangers, and charts stay within their frame."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pdns.supervisor.http import status_markup
from pdns.supervisor.http.live_snapshot import without_names
from pdns.supervisor.http.status_assets import CONTENT_SECURITY_POLICY, CSS, SCRIPT
from pdns.supervisor.http.status_chart import chart, scale
from pdns.supervisor.http.status_tables import MOST_ROWS
from pdns.telemetry.live_status import LivePoint, LiveStatus, LiveTenant
from tests.unit.page.test_markup import Reader
from tests.unit.supervisor.http.livesource import NOW_S, a_feed, a_status, block

VOID = ("link", "path")


class PageReader(Reader):
    """`Reader` that knows the other elements without an end tag."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        if tag in VOID and self.open[-1:] == [tag]:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            super().handle_endtag(tag)


def page_of(status: LiveStatus) -> PageReader:
    return PageReader(status_markup.page(status, "/status.css", "/status.js"))


def test_the_page_says_what_an_engineer_needs() -> None:
    """The headline numbers, rates, latency, and everything that is not as it should be."""
    text = " ".join(page_of(a_status(not_ready=["feed x: required, not loaded"], reload_successful=False)).text.split())
    for part in (
        "ns1", "not ready", "9,876,543", "54,321", "1,234", "5,277 in 7 d", "0.04 ms", "p99 21 ms", "83 %", "www.bad.example",
        "192.0.2.0/24", "leeds", "urlhaus", "the last refresh failed", "udp://192.0.2.53:53", "down", "worker0", "siem", "12 min",
        "feed x: required, not loaded", "the configuration file has errors", "650,000 names", "1 d 1 h",
    ):  # fmt: skip
        assert part in text, part


def test_without_names() -> None:
    """The page of a stranger has no table for names and tenants, and says where they are shown."""
    page = page_of(without_names(a_status()))
    assert "bad.example" not in page.text
    assert "leeds" not in page.text
    assert "an SSH tunnel" in page.text
    assert {table.get("id") for table in page.all("tbody")} == {"answers", "upstreams", "feeds", "sinks", "processes"}


def test_nothing_yet() -> None:
    """A server that has just started has a whole page."""
    page = page_of(LiveStatus(names_shown=True))
    assert "nothing was blocked since the start" in page.text
    assert "no feeds: nothing is blocked" in page.text


@given(text=st.text(max_size=80) | st.text("<>&\"'/ab=! ", min_size=1, max_size=20))
@example(text='"><script>alert(1)</script>')
def test_no_text_becomes_markup(text: str) -> None:
    """Whatever a name, a tenant, an error or a remark is, the page has the same elements."""
    tenant = LiveTenant(name=text, queries_per_s=0, blocked_per_s=0, queries=0, blocked=0)
    status = a_status(
        node=text, remarks=[text], recent=[block(text, tenant=text)], tenants=[tenant],
        feeds=[a_feed(text, problem="x", last_error=text), a_feed()],
    )  # fmt: skip
    page, plain = page_of(status), page_of(a_status(remarks=["x"]))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert page.open == []


def test_parts_are_elements_of_the_page() -> None:
    """What an event replaces is there, once; only what has changed is sent."""
    before, after = status_markup.parts(a_status()), status_markup.parts(a_status(recent=[]))
    ids = [attributes.get("id") for _, attributes in page_of(a_status()).elements if attributes.get("id")]
    assert sorted(set(before) - set(ids)) == []
    assert len(ids) == len(set(ids))
    assert list(status_markup.changed(before, after)) == ["recent"]
    assert status_markup.changed({}, after) == after


def test_many_rows_are_summed_up() -> None:
    """A page with 300 tenants shows those that ask most, and how many there are more."""
    tenants = [
        LiveTenant(name=f"t{at}", queries_per_s=float(at), blocked_per_s=0, queries=0, blocked=0) for at in range(MOST_ROWS + 280)
    ]
    text = page_of(a_status(tenants=tenants)).text
    assert "t299" in text
    assert "and 280 more" in text


def test_a_long_name_keeps_its_end() -> None:
    """The registered domain is at the end; the whole name is the title."""
    name = f"{'a.' * 60}bad.example"
    page = page_of(a_status(recent=[block(name)]))
    assert name not in page.text
    assert "a.bad.example" in page.text
    assert any(name in (cell.get("title") or "") for cell in page.all("td"))


def test_nothing_is_inline_or_from_elsewhere() -> None:
    """No style or script in the page, no attribute of either, no other host: the policy of the page would not allow them."""
    html = status_markup.page(a_status(), "/status.css", "/status.js")
    assert re.search(r"<style|<script>|javascript:| style=| on\w+=|https?://(?!www\.w3\.org)", html) is None
    assert "url(" not in CSS
    assert "http" not in SCRIPT
    assert "unsafe" not in CONTENT_SECURITY_POLICY


@given(
    points=st.lists(st.tuples(st.floats(0, 599), st.floats(0, 1e7)), max_size=40),
    extra=st.sampled_from([0.0, float("inf"), -5.0]),
)
def test_a_chart_stays_in_its_frame(points: list[tuple[float, float]], extra: float) -> None:
    """Whatever was counted, all coordinates are numbers within the frame."""
    history = [LivePoint(NOW_S - age, height, 0.0, None) for age, height in sorted(points, reverse=True)]
    if extra and history:
        history.append(LivePoint(NOW_S, min(max(extra, 0.0), 1e9), 0.0, None))
    drawn = chart(history, NOW_S, lambda point: point.queries, "all", "Queries per second")
    assert "nan" not in drawn
    assert "inf" not in drawn
    for path in re.findall(r'class="line" d="M([^"]+)"', drawn):
        for pair in path.split("L"):
            x, y = map(float, pair.split())
            assert -0.1 <= x <= 600.1
            assert -0.1 <= y <= 120.1


@pytest.mark.parametrize(("most", "top"), [(0, 1), (1, 1), (1.5, 2), (20, 20), (21, 50), (501, 1000), (1e6, 1e6)])
def test_the_scale_is_round(most: float, top: float) -> None:
    """It is not below the highest value, so that it seldom changes."""
    assert scale(most) == top
