"""Events: both writers write the same bytes, and every query is in exactly one record."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.core.client_identity import ADDRESS, NOTHING, PSEUDONYM, ClientView
from pdns.fast.cache import AnswerCache
from pdns.fast.event_writer import EventWriter
from pdns.reference.event_writer import ReferenceEventWriter
from pdns.telemetry.event_ring import (
    DOMAIN_PLACES,
    MOST_QUESTIONS,
    MOST_RECORDS_AND_CLIENTS,
    PLACE,
    PLACE_BYTES,
    PLACES,
    REPEATS_AT,
    SWEPT,
    TABLE_AT,
    EventRing,
    RawEvent,
    event_of,
)
from pdns.telemetry.ring import RingReader
from pdns.wire.names import from_text
from pdns.wire.transport import Transport

VIEWS = {
    "none": ClientView(),
    "prefix": ClientView(ADDRESS, 20, 45),
    "hash": ClientView(PSEUDONYM),
    "full": ClientView(ADDRESS),
}
LISTED = (b"", from_text("evil.test"), b'\3\n\0"\0', from_text(".".join(["x" * 60] * 4)))
QUERIES = st.tuples(
    st.integers(0, 5) | st.integers(0, 2**64 - 1),
    st.sampled_from(list(VIEWS)),
    st.sampled_from(["192.0.2.1", "192.0.2.254", "2001:db8::1", "2001:db8:0:ffff::1", "::1"]),
    st.sampled_from(list(Transport)),
    st.integers(0, 65535),
    st.sampled_from(LISTED),
    st.binary(max_size=210),
    st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=31).map(tuple),
    st.floats(0, 40),
)


class Pair:
    """A ring, its writer, and what was read of it."""

    def __init__(self, *, compiled: bool, workers: int = 1) -> None:
        self.ring = EventRing.create(1 << 14, workers)
        end = EventRing.attach(os.dup(self.ring.fd))
        make = EventWriter if compiled else ReferenceEventWriter
        self.writer = make(end, b"secret", AnswerCache(1 << 20))
        self.writer.configure(VIEWS.__getitem__)
        self._reader = RingReader(self.ring)
        self.events: list[RawEvent] = []

    def read(self) -> list[RawEvent]:
        self.events += [event_of(record) for _, record in self._reader.take()]
        return self.events

    @property
    def waiting(self) -> int:
        places = range(TABLE_AT, REPEATS_AT, PLACE_BYTES)
        return sum(PLACE.unpack_from(self.ring.memory, at)[1] for at in places)


@given(st.lists(QUERIES, max_size=40), st.integers(1, 600))
def test_events_are_written_alike(
    queries: list[tuple[int, str, str, Transport, int, bytes, bytes, tuple[int, ...], float]], workers: int
) -> None:
    """The same records, the same counts, and nothing is missing or twice at any time."""
    compiled, python = Pair(compiled=True, workers=workers), Pair(compiled=False, workers=workers)
    now = 100.0
    for number, (hash_, tenant, address, transport, qtype, listed, text, slots, later_s) in enumerate(queries, 1):
        now += later_s
        for pair in (compiled, python):
            pair.writer.note_hashed(hash_, tenant, address, transport, b"\3www" + LISTED[1], qtype, listed, text, slots, now)
            if number % 3 == 0:
                pair.writer.sweep(now)
            assert sum(event.n for event in pair.read()) + pair.waiting == pair.ring.noted == number
    for pair in (compiled, python):
        pair.writer.flush(now + 60.0)
        assert sum(event.n for event in pair.read()) == len(queries)
        assert sum(event.n for event in pair.events if not event.is_blocked) == pair.ring.monitored
    assert compiled.events == python.events


def note(pair: Pair, hash_: int, address: str, tenant: str = "full", now: float = 0.0) -> None:
    slots = (list(VIEWS).index(tenant),)
    pair.writer.note_hashed(hash_, tenant, address, Transport.UDP, b"\1q" + LISTED[1], 1, LISTED[1], b"", slots, now)


def test_repeats_are_merged() -> None:
    """The first query is a record at once; repeats within the minute are one more, with the times of the first and last."""
    pair = Pair(compiled=True)
    for now in (1.0, 2.0, 3.0, 59.0):
        note(pair, 7, "192.0.2.1", now=now)
    assert [(event.n, event.first_s, event.is_merged) for event in pair.read()] == [(1, 1.0, False)]
    note(pair, 7, "192.0.2.1", now=60.0)
    found = [(event.n, event.first_s, event.last_s, event.is_merged) for event in pair.read()]
    assert found == [(1, 1.0, 1.0, False), (3, 2.0, 59.0, True), (1, 60.0, 60.0, False)]


def test_random_names_below_a_listed_one_make_few_records() -> None:
    """A flood by one client, then by many: few records, no query is lost, and those of other names stay whole."""
    pair = Pair(compiled=True)
    for number in range(20_000):
        note(pair, number * 0x9E3779B97F4A7C15 % 2**64, "192.0.2.1")
    assert len(pair.read()) <= MOST_QUESTIONS
    for number in range(20_000):
        note(pair, number * 0x9E3779B97F4A7C15 % 2**64, f"10.0.{number % 200}.{number % 251}")
    pair.writer.note_hashed(1, "full", "192.0.2.2", Transport.UDP, LISTED[2], 1, LISTED[2], b"", (1,), 0.0)
    pair.writer.flush(60.0)
    events = pair.read()
    assert sum(event.n for event in events) == 40_001
    assert len(events) <= 2 * MOST_RECORDS_AND_CLIENTS + 2
    assert [event.n for event in events if event.listed == LISTED[2]] == [1]
    assert {event.client_kind for event in events if event.n > 1000} <= {NOTHING, ADDRESS}


def test_a_successor_writes_the_repeats_of_a_killed_worker() -> None:
    """The table outlives its writer."""
    pair = Pair(compiled=True)
    for _ in range(5):
        note(pair, 7, "192.0.2.1", now=1.0)
    after = EventWriter(EventRing.attach(os.dup(pair.ring.fd)), b"secret", AnswerCache(1 << 20))
    after.flush(61.0)
    assert [event.n for event in pair.read()] == [1, 4]


def test_clients_are_recorded_as_configured() -> None:
    """Nothing, a prefix, a pseudonym that differs by tenant, or the address."""
    pair = Pair(compiled=True)
    for tenant in VIEWS:
        note(pair, 1, "192.0.63.7", tenant)
    none, prefix, pseudonym, full = pair.read()
    assert (none.client_kind, none.client) == (NOTHING, bytes(16))
    assert (prefix.client_bits, prefix.client[12:]) == (116, bytes((192, 0, 48, 0)))
    assert pseudonym.client_kind == PSEUDONYM
    assert bytes((192, 0, 63)) not in pseudonym.client
    assert full.client[12:] == bytes((192, 0, 63, 7))


def test_the_end_of_a_minute_does_not_overrun_the_ring() -> None:
    """However many questions have repeats, only some are written at a time, so a reader can follow; soon all are."""
    pair = Pair(compiled=True)
    for number in range(PLACES):
        for _ in range(2):
            name = from_text(f"n{number}.test")
            pair.writer.note_hashed(number, "none", "192.0.2.1", Transport.UDP, name, 1, name, b"", (1,), 0.0)
    before = len(pair.read())
    sizes = []
    while pair.waiting:
        pair.writer.sweep(60.0)
        sizes.append(len(pair.read()) - before)
        before = len(pair.events)
    assert max(sizes) <= SWEPT
    assert len(sizes) <= (PLACES + DOMAIN_PLACES) // SWEPT + 1
    assert sum(event.n for event in pair.events) == 2 * PLACES


def test_two_tenants_are_never_merged() -> None:
    """Also where nothing is recorded of clients, and in a flood: each has its own count."""
    pair = Pair(compiled=True)
    for number in range(20_000):
        for slot in (3, 4):
            hash_ = number * 0x9E3779B97F4A7C15 % 2**64
            pair.writer.note_hashed(hash_, "none", "10.0.0.1", Transport.UDP, LISTED[1], 1, LISTED[1], b"", (slot,), 0.0)
    pair.writer.flush(60.0)
    assert [sum(event.n for event in pair.read() if event.slots == (slot,)) for slot in (3, 4)] == [20_000] * 2
    assert len(pair.events) < 4 * MOST_QUESTIONS


def test_two_places_never_share_a_record() -> None:
    """Many questions at once: each keeps its own count, whatever places they fall on."""
    pair = Pair(compiled=True)
    questions = range(2 * PLACES)
    for _ in range(3):
        for number in questions:
            name = from_text(f"n{number}.test")
            pair.writer.note_hashed(number, "none", "192.0.2.1", Transport.UDP, name, 1, name, b"", (1,), 0.0)
            if number % 1000 == 0:
                pair.read()
    pair.read()
    pair.writer.flush(60.0)
    counts: dict[bytes, int] = {}
    for event in pair.read():
        counts[event.listed] = counts.get(event.listed, 0) + event.n
    assert counts == {from_text(f"n{number}.test"): 3 for number in questions}


def test_a_query_without_a_slot_is_refused() -> None:
    """By both writers: the kernel must not read what is behind an empty tuple."""
    for compiled in (True, False):
        pair = Pair(compiled=compiled)
        with pytest.raises(IndexError):
            pair.writer.note_hashed(1, "none", "::1", Transport.UDP, LISTED[1], 1, LISTED[1], b"", (), 1.0)
        assert pair.waiting == len(pair.read()) == 0
