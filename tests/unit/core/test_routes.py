"""Routes: the most specific zone decides; marks tell answers of other servers."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.schema import Config
from pdns.core.routes import DEFAULT_ROUTE, MOST_LABELS, OTHER, Routes
from pdns.wire import names
from pdns.wire import protocol as p

A, B = "udp://10.0.0.1:53", "udp://10.0.0.2:53"


def routes(*zones: Mapping[str, object]) -> Routes:
    return Routes(msgspec.convert({"zone": list(zones)}, Config))


def group(made: Routes, name: str, qtype: int = p.A) -> str:
    return made.of(names.from_text(name), qtype).group


def test_the_most_specific_name_decides() -> None:
    """At and below each name its zone, but for DS at the name itself."""
    made = routes(
        {"names": ["corp.example", "lan"], "servers": [A]},
        {"names": ["branch.corp.example"], "servers": [B]},
        {"names": ["www.corp.example"], "group": "default"},
    )
    assert group(made, "corp.example") == group(made, "x.y.corp.example") == group(made, "lan") == "zone:corp.example"
    assert group(made, "a.branch.corp.example") == "zone:branch.corp.example"
    assert group(made, "branch.corp.example", p.DS) == "zone:corp.example"
    assert group(made, "corp.example", p.DS) == group(made, "example") == group(made, "xcorp.example") == "default"
    assert made.of(names.from_text("www.corp.example")) == DEFAULT_ROUTE
    assert made.filter_keys == {names.from_text("corp.example"), names.from_text("lan")}


def test_settings_of_a_zone() -> None:
    """Private addresses are expected where servers are a zone's own, unless it says otherwise."""
    made = routes(
        {"names": ["a.example"], "servers": [A], "block": False, "dnssec": False},
        {"names": ["b.example"], "servers": [A], "private_answers": False},
        {"names": ["c.example"], "group": "default", "private_answers": True},
    )
    a, b, c = (made.of(names.from_text(f"{letter}.example")) for letter in "abc")
    assert (a.block, a.dnssec, a.private_answers) == (False, False, True)
    assert (b.block, b.dnssec, b.private_answers) == (True, True, False)
    assert (c.group, c.private_answers, c.mark) == ("default", True, 0)
    assert made.some_unchecked
    assert not routes({"names": ["b.example"], "servers": [A]}).some_unchecked
    assert not routes()


@pytest.mark.parametrize(
    ("change", "stays"),
    [
        ({}, True),
        ({"servers": [B]}, False),
        ({"strategy": "ordered"}, False),
        ({"dnssec": False}, False),
        ({"block": False}, True),
        ({"names": ["corp.example", "more.example"]}, True),
        ({"names": ["example"]}, False),
        ({"names": ["other.example"]}, False),
    ],
)
def test_marks(change: dict[str, object], *, stays: bool) -> None:
    """A chain has another mark when one of its names has other servers, in every process; 0 when all have the default."""
    zone = {"names": ["corp.example"], "servers": [A]}
    chain = [names.from_text("www.test"), names.from_text("x.corp.example")]
    before, after = routes(zone).mark(chain, p.A), routes({**zone, **change}).mark(chain, p.A)
    assert before == 1398561516
    assert (after == before) is stays
    assert routes(zone).mark(chain[:1], p.A) == 0
    assert routes(zone).mark(chain[::-1], p.A) != before


def test_the_mark_is_of_every_server_that_may_answer() -> None:
    """Also of those of the fallback."""
    zone = {"names": ["corp.example"], "servers": [A], "fallback": "more"}
    chain = [names.from_text("x.corp.example")]
    made = [
        Routes(msgspec.convert({"zone": [zone], "group": [{"name": "more", "servers": [server]}]}, Config)).mark(chain, p.A)
        for server in (A, B, A)
    ]
    assert made[0] == made[2] != made[1]


def test_labels_are_bounded() -> None:
    """Zones beyond the bound share a label."""
    made = routes(*({"names": [f"z{number}.example"], "servers": [A]} for number in range(MOST_LABELS + 2)))
    labels = {made.of(names.from_text(f"z{number}.example")).zone for number in range(MOST_LABELS + 2)}
    assert len(labels) == MOST_LABELS + 1
    assert OTHER in labels


_LABELS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5)


@given(st.sets(_LABELS.map(".".join), max_size=6), _LABELS)
def test_a_zone_is_never_missed(zones: set[str], asked: list[str]) -> None:
    """The longest configured name at or above a name decides, and the filter keys lead to it."""
    made = routes(*({"names": [name], "servers": [A]} for name in zones))
    above = [".".join(asked[at:]) for at in range(len(asked))]
    expected = next((f"zone:{name}" for name in above if name in zones), "default")
    assert group(made, ".".join(asked)) == expected
    key = names.filter_key(names.from_text(".".join(asked)))
    assert expected == "default" or key in made.filter_keys or names.parent(key) in made.filter_keys
