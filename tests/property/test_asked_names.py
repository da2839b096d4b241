"""Names that were asked are noted alike by the kernel and its specification, alone and within a service."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pdns.fast.asked import AskedNames as CompiledAskedNames
from pdns.telemetry.asked_names import AskedNames, NameDigests, map_ring, new_ring, noted_names, record_of
from pdns.telemetry.ring import Ring, RingReader
from pdns.wire.names import from_text
from tests.effort import examples
from tests.property.test_twins import _RAW, _VARIANTS, STEPS, _Side
from tests.wire import query_wire

_KEY = bytes(range(32))
_LABELS = st.sampled_from([b"\1a", b"\2bb", b"\x3f" + b"x" * 63, b"\1*", b"\1\0"])
_NAMES = st.lists(_LABELS, max_size=4).map(lambda labels: b"".join(labels) + b"\0")
_STEPS = st.lists(st.tuples(_NAMES, st.sampled_from(["north", "south"]), st.sampled_from([7, 7, 7, 8])), max_size=40)


def ring() -> Ring:
    return map_ring(new_ring(_KEY, 4096), writable=True)


@examples(100)
@given(_STEPS)
def test_names_are_noted_alike(steps: list[tuple[bytes, str, int]]) -> None:
    """The same records in the same order."""
    rings = ring(), ring()
    readers = [RingReader(one) for one in rings]
    slots = {"north": 1, "south": 2}
    asked = AskedNames(rings[0], slots.__getitem__), CompiledAskedNames(rings[1], slots.__getitem__)
    for name, tenant, day in sorted(steps, key=lambda step: step[2]):
        for one in asked:
            one.turn(day)
            one.note(name, tenant)
    specified, compiled = ([record_of(raw) for _, raw in reader.take()] for reader in readers)
    assert compiled == specified
    for memory in rings:
        memory.close()


class _NotingSide(_Side):
    """A service that notes names."""

    def __init__(self, raw: dict[str, Any], *, compiled: bool) -> None:
        super().__init__(raw, compiled=compiled)
        self.ring = ring()
        self._reader = RingReader(self.ring)
        names = CompiledAskedNames if compiled else AskedNames
        slots = {"default": 1, "north": 2, "south": 3}
        self.service.note_in(names(self.ring, slots.__getitem__))

    def noted(self) -> list[tuple[bytes, int]]:
        return [record_of(raw)[:2] for _, raw in self._reader.take()]


@examples(60)
@given(st.sampled_from(_VARIANTS), STEPS)
def test_services_note_alike(variant: dict[str, Any], steps: list[tuple[Any, ...]]) -> None:
    """Whatever is asked and however it is answered, by cache, upstream or failure: both note the same, and send the same."""
    sides = [_NotingSide({**_RAW, **variant}, compiled=compiled) for compiled in (False, True)]
    try:
        for number, (what, *how) in enumerate(steps):
            for side in sides:
                if what in ("ask", "ask_with"):
                    getattr(side, what)(number, *how)
                elif what == "answer":
                    side.upstream.answer_all(fail=how[0])
                elif what == "wait":
                    side.now += how[0]
                    side.service.tick(side.now)
                elif what == "override":
                    side.service.adopt(side.service.rules.with_local(how[0]))
            assert sides[1].noted() == sides[0].noted()
        assert sides[1].sent == sides[0].sent
    finally:
        for side in sides:
            side.end()
            side.ring.close()


def test_blocked_names_are_not_noted() -> None:
    """Neither a listed name nor one that leads to a listed address is noted, nor what a stranger asks for."""
    of = NameDigests(_KEY).of
    for compiled in (False, True):
        side = _NotingSide(_RAW, compiled=compiled)
        for number, name in enumerate(("b.malware.test", "watched.example", "many.example", "www.example")):
            side.ask(number, query_wire(name), "127.0.0.1", "udp")
            side.upstream.answer_all(fail=False)
        side.ask(9, query_wire("b.malware.test"), "127.0.0.1", "udp")
        side.ask(10, query_wire("www.example"), "8.8.8.8", "udp")  # refused
        asked = {one for name in ("many.example", "www.example") for one in map(of, noted_names(from_text(name)))}
        assert {digest for digest, _ in side.noted()} == asked
        side.end()
        side.ring.close()
