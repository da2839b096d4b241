"""Which blocked and monitored queries become an event of their own, and which are merged. The specification of the kernel.

The first query of a client for a question is a record at once; the same question again within the minute is a repeat. Of one
client and one listed name at most `MOST_QUESTIONS` questions a minute have records of their own, and of one listed name at most
`MOST_RECORDS` (`pdns.telemetry.event_ring`): further ones are merged, first those of a client, then all that ask for the listed
name. So a flood of random names below a listed one makes few records, and no query is lost.
"""

# kernel: pdns/fast/event_writer.pyx

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from xxhash import xxh64_intdigest

from pdns.core.client_identity import (
    ADDRESS,
    NO_CLIENT,
    NOTHING,
    ClientIdentity,
    ClientView,
    Views,
    bits_of,
    identity,
    masked,
    packed,
)
from pdns.telemetry.event_ring import (
    BLOCKED,
    CLIENT_MARK,
    COUNTS,
    DOMAIN_MARK,
    DOMAIN_PLACES,
    FIXED,
    MAX_SLOTS,
    MAX_TEXT_BYTES,
    MINUTE_S,
    MONITORED,
    MOST_QUESTIONS,
    MOST_RECORDS,
    MOST_RECORDS_AND_CLIENTS,
    NOTED,
    PLACE,
    PLACE_BYTES,
    PLACES,
    PROBES,
    RECORD_BYTES,
    REPEATS,
    REPEATS_AT,
    SWEPT,
    TABLE_AT,
    TRANSPORTS,
    EventRing,
    name_hash,
)
from pdns.telemetry.ring import PREFIX_BYTES
from pdns.wire.transport import Transport

_WORD: Final = (1 << 64) - 1
_FIRST_FACTOR, _SECOND_FACTOR = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9


class _Count(NamedTuple):
    tag: int
    rows: int


class ReferenceEventWriter:
    """The only writer of a ring."""

    def __init__(self, ring: EventRing, key: bytes, _cache: object = None) -> None:
        """`key` makes pseudonyms. Repeats that a predecessor left are kept, and written when their minute has ended."""
        self._ring, self._key = ring, key
        self._most_questions = max(1, MOST_QUESTIONS // ring.workers)
        self._most_records = max(1, MOST_RECORDS // ring.workers)
        self._most_records_and_clients = max(2, MOST_RECORDS_AND_CLIENTS // ring.workers)
        self._views: Views = lambda _tenant: ClientView()
        self._minute, self._next_swept = -1, 0
        self._pairs: dict[int, _Count] = {}
        self._domains: dict[int, _Count] = {}

    def configure(self, views: Views) -> None:
        """Record clients by `views` from now on; it is called with the name of a tenant."""
        self._views = views

    def note(
        self,
        key: bytes,
        tenant: str,
        address: str,
        transport: Transport,
        qname: bytes,
        qtype: int,
        listed: bytes,
        text: bytes,
        slots: tuple[int, ...],
        now: float,
    ) -> None:
        """A query was counted in `slots`. `key` stands for question and policy; `listed` is b"" if it was only monitored. `now`
        is of `pdns.clock.boottime_s`.
        """
        self.note_hashed(xxh64_intdigest(key), tenant, address, transport, qname, qtype, listed, text, slots, now)

    def note_hashed(
        self,
        key_hash: int,
        tenant: str,
        address: str,
        transport: Transport,
        qname: bytes,
        qtype: int,
        listed: bytes,
        text: bytes,
        slots: tuple[int, ...],
        now: float,
    ) -> None:
        """The same for a key with that hash, 64 bits."""
        self._begin_minute(now)
        ring, view, plain = self._ring, self._views(tenant), packed(address)
        ring.words[NOTED] += 1
        if not listed:
            ring.words[MONITORED] += 1
        seen = bytes(16) if view.kind == NOTHING else masked(plain, bits_of(view, plain)) if view.kind == ADDRESS else plain
        number = TRANSPORTS.index(transport)
        counted = number | slots[0] << 8  # so that queries of two tenants, or for two reasons, are never merged
        asked = mixed(key_hash, seen, counted)
        client = identity(view, self._key, tenant, plain)
        record = _packed_event(client, number, qname, qtype, listed, text, slots, now)
        if self._repeated(asked % PLACES, asked, record, now):
            return
        domain = name_hash(listed or qname)
        pair = mixed(domain, seen, counted) ^ CLIENT_MARK
        if self._repeated(pair % PLACES, pair, record, now):
            return
        whole = mixed(domain, bytes(16), counted) ^ DOMAIN_MARK
        whole_place = self._domain_place(whole)
        of_all = _packed_event(NO_CLIENT, number, qname, qtype, listed, text, slots, now)
        if self._repeated(whole_place, whole, of_all, now):
            return
        of_pair, of_domain = _count(self._pairs, pair), _count(self._domains, domain)
        if of_pair < self._most_questions and of_domain < self._most_records:
            self._pairs[pair % COUNTS] = _Count(pair, of_pair + 1)
            self._domains[domain % COUNTS] = _Count(domain, of_domain + 1)
            self._open(asked % PLACES, asked)
            ring.write(record[PREFIX_BYTES:])
        elif of_domain < self._most_records_and_clients:
            self._domains[domain % COUNTS] = _Count(domain, of_domain + 1)
            self._open(pair % PLACES, pair)
            self._repeated(pair % PLACES, pair, record, now)
        else:
            self._open(whole_place, whole)
            self._repeated(whole_place, whole, of_all, now)

    def sweep(self, now: float) -> None:
        """Write some of the repeats of minutes that have ended. Call this a few times a second."""
        self._begin_minute(now)
        for _ in range(SWEPT):
            self._write_if_over(self._next_swept)
            self._next_swept = (self._next_swept + 1) % (PLACES + DOMAIN_PLACES)

    def flush(self, now: float) -> None:
        """Write all repeats of minutes that have ended."""
        self._begin_minute(now)
        for place in range(PLACES + DOMAIN_PLACES):
            self._write_if_over(place)

    def _begin_minute(self, now: float) -> None:
        if (minute := int(now / MINUTE_S)) != self._minute:
            self._pairs.clear()
            self._domains.clear()
            self._minute = minute

    def _write_if_over(self, place: int) -> None:
        at = TABLE_AT + place * PLACE_BYTES
        key, _, minute, _, _ = PLACE.unpack_from(self._ring.memory, at)
        if key and minute != self._minute:
            self._write_repeats(place)
            PLACE.pack_into(self._ring.memory, at, 0, 0, 0, 0.0, 0.0)

    def _domain_place(self, key: int) -> int:
        """The place of a key, or where to open one: the first free place, or the first of all."""
        places = [PLACES + (key + probe) % DOMAIN_PLACES for probe in range(PROBES)]
        for place in places:
            found, _, minute, _, _ = PLACE.unpack_from(self._ring.memory, TABLE_AT + place * PLACE_BYTES)
            if found in (0, key) or minute != self._minute:
                return place
        return places[0]

    def _repeated(self, place: int, key: int, record: bytes, now: float) -> bool:
        memory, at, record_at = self._ring.memory, TABLE_AT + place * PLACE_BYTES, REPEATS_AT + place * RECORD_BYTES
        found, repeats, minute, first_s, _ = PLACE.unpack_from(memory, at)
        if found != key or minute != self._minute:
            return False
        if not repeats:
            memory[record_at : record_at + len(record)] = record
        PLACE.pack_into(memory, at, key, repeats + 1, minute, first_s if repeats else now, now)
        return True

    def _open(self, place: int, key: int) -> None:
        self._write_repeats(place)
        PLACE.pack_into(self._ring.memory, TABLE_AT + place * PLACE_BYTES, key, 0, self._minute, 0.0, 0.0)

    def _write_repeats(self, place: int) -> None:
        memory, at = self._ring.memory, REPEATS_AT + place * RECORD_BYTES
        _, repeats, _, first_s, last_s = PLACE.unpack_from(memory, TABLE_AT + place * PLACE_BYTES)
        if repeats:
            _, _, client, qtype, transport, flags, *others = FIXED.unpack_from(memory, at)
            fixed = FIXED.pack(first_s, last_s, client, qtype, transport, flags | REPEATS, *others)
            self._ring.write((fixed + memory[at + FIXED.size : at + RECORD_BYTES])[PREFIX_BYTES:], repeats)


def mixed(hash_: int, address: bytes, counted: int) -> int:
    """A key of the table of repeats, 64 bits, never 0."""
    low, high = int.from_bytes(address[:8], "little"), int.from_bytes(address[8:], "little")
    value = hash_ ^ low * _FIRST_FACTOR & _WORD
    value ^= value >> 32
    value = (value ^ high ^ counted) * _SECOND_FACTOR & _WORD
    value ^= value >> 29
    return value or 1


def _count(counts: dict[int, _Count], tag: int) -> int:
    found = counts.get(tag % COUNTS)
    return found.rows if found is not None and found.tag == tag else 0


def _packed_event(
    client: ClientIdentity,
    transport: int,
    qname: bytes,
    qtype: int,
    listed: bytes,
    text: bytes,
    slots: tuple[int, ...],
    now: float,
) -> bytes:
    text, slots = text[:MAX_TEXT_BYTES], slots[:MAX_SLOTS]
    flags = BLOCKED if listed else 0
    sizes = len(slots), len(qname), len(listed), len(text)
    fixed = FIXED.pack(now, now, client.value, qtype, transport, flags, client.kind, client.bits, *sizes)
    return fixed + struct.pack(f"={len(slots)}I", *slots) + qname + listed + text
