"""`pdns top` draws lines that fit any terminal, and its keys do what the help says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from pdns.cli.top import bounded, page_of
from pdns.cli.top_keys import keys_of, pressed
from pdns.cli.top_panes import PANES
from pdns.cli.top_view import ASCII_BARS, BARS, TopLook, TopState, bars, plain, screen, shown_rows
from pdns.telemetry.live_status import LiveStatus, LiveTenant
from tests.unit.supervisor.http.livesource import a_feed, a_status, block

LOOK = TopLook(80, 24)
NAMES = st.text(max_size=60)
KEYS = st.sampled_from([*"123456sSrp/?hqxk j", "tab", "back tab", "up", "down", "page up", "page down", "home", "end", "escape",
                        "enter", "backspace", "clear"])  # fmt: skip


def lines(status: LiveStatus, state: TopState = TopState(), look: TopLook = LOOK) -> list[str]:  # noqa: B008 (immutable)
    return [line.plain for line in screen(status, state, look)]


def after(*keys: str, status: LiveStatus | None = None) -> TopState:
    """The state after these keys."""
    shown, state = status or a_status(), TopState()
    for key in keys:
        moved = pressed(state, key, page_of(shown, state, LOOK))
        assert moved is not None
        state = bounded(moved, shown, LOOK)
    return state


def test_what_stands_on_the_screen() -> None:
    """Rates, latency, totals, what is wrong, and the blocked names."""
    text = "\n".join(lines(a_status(remarks=["worker1 is away"]), look=TopLook(140, 30)))
    for part in (
        "ns1", "ready", "650,000 names", "1,234/s", "p50 0.04 ms  p99 21 ms", "cache 83 %", "9,876,543 queries",
        "1,234 listed names in 24 h", "worker1 is away", "upstream udp://192.0.2.53:53: down (and 1 more)", "www.bad.example",
        "leeds", "192.0.2.0/24", "q quit",
    ):  # fmt: skip
        assert part in text, part


@pytest.mark.parametrize(("key", "parts"), [
    ("2", ("urlhaus", "threatfox", "the last refresh", "120,000", "6 min")), ("3", ("udp://192.0.2.53:53", "down", "timeout")),
    ("4", ("supervisor", "worker0", "60 MB", "71")), ("5", ("leeds", "5.0 %", "44")), ("6", ("siem", "12 min", "7")),
])  # fmt: skip
def test_every_table(key: str, parts: tuple[str, ...]) -> None:
    """Each is reached by its number, and shows its values at 80 columns."""
    text = "\n".join(lines(a_status(), after(key)))
    for part in parts:
        assert part in text, part


@given(
    texts=st.lists(NAMES, min_size=1, max_size=6), width=st.integers(1, 200), height=st.integers(1, 60), pane=st.integers(0, 5),
    unicode=st.booleans(), help_shown=st.booleans(), typing=st.booleans(),
)  # fmt: skip
def test_no_line_is_wider_than_the_terminal(
    texts: list[str], width: int, height: int, pane: int, unicode: bool, help_shown: bool, typing: bool
) -> None:
    """As many lines as the terminal has, none wider, without control characters, whatever names and errors are."""
    one = texts[0]
    tenants = [LiveTenant(name=text, queries_per_s=1e12, blocked_per_s=0, queries=10**15, blocked=1) for text in texts]
    status = a_status(
        node=one, not_ready=texts, remarks=texts, tenants=tenants, recent=[block(text, tenant=one, n=10**12) for text in texts],
        feeds=[a_feed(text, problem=text, last_error=text) for text in texts],
    )  # fmt: skip
    state = TopState(pane=pane, filter=one if typing else "", typing=typing, help=help_shown, lost_s=1.0, problem=one)
    shown = screen(status, state, TopLook(width, height, unicode))
    assert len(shown) == height
    for line in shown:
        assert cell_len(line.plain) <= width
        assert line.plain.isprintable()


@given(keys=st.lists(KEYS, max_size=25), tenants=st.integers(0, 60))
def test_any_keys_in_any_order(keys: list[str], tenants: int) -> None:
    """No sequence of keys is an error, or scrolls past the last row."""
    rows = [LiveTenant(name=f"t{at}", queries_per_s=at, blocked_per_s=0, queries=0, blocked=0) for at in range(tenants)]
    status, state = a_status(tenants=rows), TopState()
    for key in keys:
        moved = pressed(state, key, page_of(status, state, LOOK))
        if moved is None:
            assert key == "q"
            continue
        state = bounded(moved, status, LOOK)
        count = len(shown_rows(status, state))
        assert 0 <= state.top <= max(0, count - page_of(status, state, LOOK))
        assert len(lines(status, state)) == LOOK.height


def test_sorting() -> None:
    """`s` takes the next column, `S` turns the order round; the title shows which."""
    tenants = [
        LiveTenant(name=name, queries_per_s=per_s, blocked_per_s=0, queries=n, blocked=0)
        for name, per_s, n in (("york", 1.0, 9), ("leeds", 3.0, 5), ("hull", 2.0, 7))
    ]
    status = a_status(tenants=tenants)

    def order(*keys: str) -> list[str]:
        return [row.cells[0] for row in shown_rows(status, after(*keys, status=status))]

    assert order("5") == ["leeds", "hull", "york"]
    assert order("5", "S") == ["york", "hull", "leeds"]
    assert order("5", "s", "s") == ["york", "hull", "leeds"]
    assert order("5", *"sssssss") == ["leeds", "hull", "york"]
    assert order("5", *"ssssss") == ["hull", "leeds", "york"]
    assert any("queries▼" in line for line in lines(status, after("5", "s", "s", status=status)))
    assert order("5", "S", "1", "5") == ["york", "hull", "leeds"]


def test_filtering() -> None:
    """`/` and a text leave only rows that have it, whatever the case; Esc shows all again."""
    status = a_status(recent=[block("a.bad.example"), block("b.evil.example", tenant="York")])
    typed = after("/", *"york", status=status)
    assert typed.typing
    assert [row.cells[1] for row in shown_rows(status, typed)] == ["b.evil.example"]
    assert "with york" in lines(status, after("/", *"york", "enter", status=status))[-1]
    assert len(shown_rows(status, after("/", *"york", "enter", "escape", status=status))) == 2
    assert "no row has this text" in "\n".join(lines(status, after("/", *"qqq", status=status)))
    assert after("/", *"abc", "backspace", status=status).filter == "ab"


def test_pause_help_and_the_end() -> None:
    """`p` and the space bar pause, `?` shows the keys, `q` quits; while a filter is typed they are letters."""
    assert after("p").paused
    assert not after("p", " ").paused
    assert "PAUSED" in lines(a_status(), after("p"))[0]
    assert "move through the rows" in "\n".join(lines(a_status(), after("?")))
    assert pressed(TopState(), "q", 5) is None
    assert pressed(TopState(help=True), "q", 5) is None
    assert after("/", "q", "p").filter == "qp"


def test_a_lost_connection_is_said() -> None:
    """The old numbers stay, with since when there are no newer ones."""
    text = lines(a_status(not_ready=[], upstreams=[], sinks=[]), TopState(lost_s=1_796_000_000.0, problem="refused"))
    assert "connection lost since" in text[5]
    assert "refused" in text[5]


def test_without_names() -> None:
    """Where the server does not show names, it says so."""
    status = a_status(names_shown=False, recent=[], tenants=[])
    assert "metrics.status_page" in "\n".join(lines(status))
    assert "metrics.status_page" in "\n".join(lines(status, after("5", status=status)))


def test_the_columns_that_matter_stay() -> None:
    """At 40 columns the name is still there; a client column with nothing in it takes no room."""
    long = f"{'sub.' * 20}bad.example"
    narrow = "\n".join(lines(a_status(recent=[block(long)]), look=TopLook(40, 24)))
    assert "bad.example" in narrow
    assert "category" not in narrow
    unknown: list[Any] = [block()]
    unknown[0] = type(unknown[0])(**{**{f: getattr(unknown[0], f) for f in unknown[0].__struct_fields__}, "client": ""})
    assert "client" not in "\n".join(lines(a_status(recent=unknown), look=TopLook(200, 24)))


def test_plain_text() -> None:
    """For a pipe: every table, every row, nothing shortened, no marks."""
    long = f"{'sub.' * 40}bad.example"
    text = "\n".join(line.plain for line in plain(a_status(recent=[block(long)] * 60), unicode=False))
    assert text.count(long) == 60
    assert text.isascii()
    for pane in PANES:
        assert f"\n{pane.title}\n" in text


@given(values=st.lists(st.floats(0, 1e9), max_size=50), width=st.integers(0, 60))
def test_bars(values: list[float], width: int) -> None:
    """As many as there are values and room; the highest is the tallest."""
    for unicode, signs in ((True, BARS), (False, ASCII_BARS)):
        drawn = bars(values, width, unicode=unicode)
        assert len(drawn) == min(width, len(values))
        assert set(drawn) <= set(signs)
        if drawn and max(values[-width:]) > 0:
            assert drawn[values[-width:].index(max(values[-width:]))] == signs[-1]


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("q", ["q"]), ("\t", ["tab"]), ("\x1b", ["escape"]), ("\x1b[A", ["up"]), ("\x1bOB", ["down"]), ("\x1b[5~", ["page up"]),
        ("\x1b[Z", ["back tab"]), ("\x1b[1;5C", []), ("ab\r", ["a", "b", "enter"]), ("\x7f", ["backspace"]), ("é", ["é"]),
        ("\x1b[200~x\x1b[201~", ["x"]), ("\x00\x01", []),
    ],
)  # fmt: skip
def test_what_a_terminal_sends(sent: str, keys: list[str]) -> None:
    """Keys with a name, sequences that mean nothing here, and text."""
    assert keys_of(sent) == keys


@given(sent=st.text())
def test_anything_that_a_terminal_sends(sent: str) -> None:
    """It is never an error, and no control character is a key."""
    assert all(key.isprintable() for key in keys_of(sent))
