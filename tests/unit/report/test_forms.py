"""HTML, text, CSV and JSON of a report: nothing that a name contains changes the document, and nothing is loaded."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.event_store.event import BLOCKED, Event, Record
from pdns.report.charts import Bar, bar_chart, nice_ceiling
from pdns.report.content import ReportContent, gather
from pdns.report.formats import rendered
from pdns.report.style import CSS
from tests.unit.report import records
from tests.unit.report.stored import stored
from tests.unit.report.test_content import NOW_S, PERIOD, report

_VOID = {"meta", "rect", "path", "br"}
EVIL = "\"><script>alert(1)</script>'\n\x00\x1b[31m\u202e\u00e9&amp;"


class Outline(HTMLParser):
    """Every tag with its attributes; checks that elements nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def with_text(text: str) -> ReportContent:
    """A report in which every text of others is `text`."""
    content = report()
    said: list[Record] = [
        msgspec.structs.replace(one, listed=text, feed=text, threat=text, category=text, client=text, tenant=text)
        for one in records.records()[:200]
        if isinstance(one, Event)
    ]
    with stored(said) as queries:
        made = gather(queries, records.config(), records.status(NOW_S), content.period.before, None, NOW_S)
    assert made.headline.blocked
    finding = msgspec.structs.replace(content.findings[0], subject=text, text=text, tenant=text)
    return msgspec.structs.replace(made, title=text, findings=(finding,), titles={text: text})


@pytest.mark.parametrize("text", [EVIL, "=1+1", "a" * 250, "\\000\\255.example", "<b>", "'"])
def test_texts_stay_texts(text: str) -> None:
    """A name with markup, control characters or a formula is shown, and does nothing."""
    content = with_text(text)
    page = rendered(content, "html").decode()
    outline = Outline(page)
    assert {tag for tag, _ in outline.tags} <= {tag for tag, _ in Outline(rendered(report(), "html").decode()).tags}
    plain = rendered(content, "text").decode()
    assert all(char.isprintable() or char == "\n" for char in plain)
    for row in csv.reader(io.StringIO(rendered(content, "csv").decode(), newline="")):
        assert len(row) == 4
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    assert msgspec.json.decode(rendered(content, "json"), type=ReportContent) == content


def test_the_page_loads_nothing() -> None:
    """There is no script, no style attribute, no address to load from, and the policy forbids all of them."""
    page = rendered(report(), "html").decode()
    outline = Outline(page)
    assert not {tag for tag, _ in outline.tags} & {"script", "link", "img", "iframe", "object", "form", "base"}
    names = {name for _, attributes in outline.tags for name in attributes}
    assert not names & {"src", "style", "srcset", "action"}
    assert not [name for name in names if name.startswith("on")]
    assert {attributes["href"] for _, attributes in outline.tags if "href" in attributes} == {"#next"}
    assert "url(" not in CSS
    assert "@import" not in CSS
    (policy,) = [attributes["content"] for _, attributes in outline.tags if attributes.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")


def test_headings_and_labels() -> None:
    """Each section has a heading, ids are there once, and each drawing has a title and a description."""
    outline = Outline(rendered(report(), "html").decode())
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in outline.tags:
        if tag == "section" or attributes.get("role") == "img":
            assert set((attributes["aria-labelledby"] or "").split()) <= set(ids)
        if tag == "svg" and attributes.get("role") != "img":
            assert attributes["aria-hidden"] == "true"


def test_what_to_do_comes_last() -> None:
    """The list of steps is the last section, and the headline numbers are the first."""
    page = rendered(report(), "html").decode()
    assert re.findall(r'<h2 id="([a-z-]+)"', page)[-1] == "next"
    assert page.index("Queries</dt>") < page.index("<h2")


def test_text_is_narrow() -> None:
    """No line of the text is wider than a terminal of 78 columns."""
    lines = rendered(report(), "text").decode().splitlines()
    assert max(map(len, lines)) <= 78
    assert "Queries            22,706,621" in lines[3]


def test_csv_is_one_table() -> None:
    """Every line has the same four columns, and the headline numbers are found by section and measure."""
    rows = list(csv.DictReader(io.StringIO(rendered(report(), "csv").decode(), newline="")))
    assert {tuple(row) for row in rows} == {("section", "item", "measure", "value")}
    found = {(row["section"], row["item"], row["measure"]): row["value"] for row in rows}
    assert found["headline", "", "blocked"] == "3172"
    assert found["top.listed", "cdn-sync.example", "n"] == "981"
    assert found["feeds", "scamlist", "state"] == "source fails"


def _contrast(one: str, other: str) -> float:
    def luminance(text: str) -> float:
        digits = text if len(text) == 6 else "".join(char * 2 for char in text)
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast(scheme: int) -> None:
    """Every colour of a text stands out from every background as WCAG 2.2, 1.4.3 demands, also in drawings."""
    colours = dict(re.findall(r"--([a-z]+):#([0-9a-f]+)", re.findall(r":root\{([^}]*)\}", CSS)[scheme]))
    for text in ("text", "soft", "accent"):
        for back in ("page", "wash"):
            assert _contrast(colours[text], colours[back]) >= 4.5, (text, back)


@given(st.lists(st.integers(0, 10**9), max_size=120))
def test_bars_fit(values: list[int]) -> None:
    """Every bar lies within the drawing, whatever the numbers."""
    drawing = bar_chart("x", "t", "d", [Bar(value, str(value), "") for value in values])
    for svg in drawing.split("</svg>")[:-1]:
        width, height = map(float, re.findall(r'viewBox="0 0 (\d+) (\d+)"', svg)[0])
        for x, y, w, h in re.findall(r'<rect[^>]* x="([\d.-]+)" y="([\d.-]+)" width="([\d.]+)" height="([\d.]+)"', svg):
            assert 0 <= float(x) <= float(x) + float(w) <= width
            assert 0 <= float(y) <= float(y) + float(h) <= height


@given(st.integers(0, 10**12))
def test_axes_end_above_the_highest_bar(value: int) -> None:
    """An axis ends at a round number that is no more than twice the highest bar."""
    top = nice_ceiling(value)
    assert value <= top <= max(4, 2.5 * value)
    assert top % 4 == 0


def test_monitored_is_not_blocked() -> None:
    """What a feed in monitor mode would have blocked is in no number of blocked attempts."""
    said = [one for one in records.records(weeks=1) if isinstance(one, Event)]
    monitored = [msgspec.structs.replace(one, kind="monitored", action="") for one in said]
    with stored(monitored) as queries:
        content = gather(queries, records.config(), None, PERIOD, None, NOW_S)
    assert content.headline.blocked == 0
    assert BLOCKED not in {one.kind for one in monitored}
