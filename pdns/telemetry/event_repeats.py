"""Repeats that still wait in the table of an event ring: what was met in this minute, and is no record of its own yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from pdns.telemetry.event_ring import (
    DOMAIN_PLACES,
    PLACE,
    PLACE_BYTES,
    PLACES,
    RECORD_BYTES,
    REPEATS_AT,
    TABLE_AT,
    EventRing,
    RawEvent,
    event_of,
)

MOST_READ: Final = 2000  # places with the most repeats


def waiting_repeats(ring: EventRing) -> Iterator[tuple[int, RawEvent]]:
    """How often each event was repeated; `RawEvent.n` says nothing. Torn ones are left out."""
    table = ring.memory[TABLE_AT : TABLE_AT + (PLACES + DOMAIN_PLACES) * PLACE_BYTES]
    counts = [(repeats, number) for number, (_, repeats, *_) in enumerate(PLACE.iter_unpack(table)) if repeats]
    for repeats, number in sorted(counts, reverse=True)[:MOST_READ]:
        at = REPEATS_AT + number * RECORD_BYTES
        with suppress(ValueError):
            yield repeats, event_of(ring.memory[at : at + RECORD_BYTES])
