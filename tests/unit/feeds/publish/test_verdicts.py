"""The entries of a zone, for single cases; tests/property/test_published_zones.py has the rule."""

from __future__ import annotations

from feeds.publish.blocking_feeds import BLOCK, PASS
from feeds.publish.verdicts import LayerEntry, VerdictWalk, ZoneEntry
from pdns.wire.names import from_text, reversed_key


def entries(*layers: list[LayerEntry], passes: bool = False) -> list[ZoneEntry]:
    return list(VerdictWalk([], layers, passes=passes).entries([]))


def said(name: str, verdict: int) -> LayerEntry:
    return LayerEntry(from_text(name.removeprefix("*.")), name.startswith("*."), verdict)


def key(name: str) -> bytes:
    return reversed_key(from_text(name))


def test_allowing_wins_a_tie() -> None:
    """Two entries of one layer for the same name."""
    assert entries([said("x.example", BLOCK), said("x.example", PASS)]) == []
    assert entries([said("x.example", BLOCK), said("x.example", PASS)], passes=True) == [ZoneEntry(key("x.example"), PASS, PASS)]


def test_the_first_layer_that_decides_counts() -> None:
    """Even if a later one has a more specific entry."""
    layers = [said("example", PASS)], [said("x.example", BLOCK)]
    assert entries(*layers) == []
    assert entries(*reversed(layers)) == [ZoneEntry(key("x.example"), BLOCK, BLOCK)]


def test_names_between_an_entry_and_its_exception_have_entries() -> None:
    """They exist in the zone, and would hide the wildcard above."""
    assert entries([said("example", BLOCK), said("c.b.a.example", PASS)]) == [
        ZoneEntry(key("example"), BLOCK, BLOCK),
        ZoneEntry(key("a.example"), BLOCK, BLOCK),
        ZoneEntry(key("b.a.example"), BLOCK, BLOCK),
        ZoneEntry(key("c.b.a.example"), PASS, PASS),
    ]


def test_what_is_covered_has_no_entry() -> None:
    """A name below a blocked one says nothing new."""
    assert entries([said("example", BLOCK), said("x.example", BLOCK)]) == [ZoneEntry(key("example"), BLOCK, BLOCK)]
