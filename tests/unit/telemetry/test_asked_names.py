"""The ring in which workers note the names that they answered, as keyed digests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import blake2s

import pytest

from pdns.fast.asked import AskedNames as CompiledAskedNames
from pdns.telemetry.asked_names import (
    KEY_BYTES,
    AskedNames,
    AskedRecord,
    NameDigests,
    key_in,
    map_ring,
    new_ring,
    noted_names,
    record_of,
)
from pdns.telemetry.ring import Ring, RingReader
from pdns.wire.names import ROOT, from_text

_KEY = bytes(range(KEY_BYTES))
_SLOTS = {"north": 3, "south": 8}
_LONGEST = from_text(".".join(["a"] * 127))


@pytest.fixture
def ring() -> Iterator[Ring]:
    memory = map_ring(new_ring(_KEY, 64), writable=True)
    yield memory
    memory.close()


@pytest.fixture(params=[AskedNames, CompiledAskedNames])
def asked(request: pytest.FixtureRequest, ring: Ring) -> AskedNames:
    """Both the specification and the kernel."""
    made: AskedNames = request.param(ring, _SLOTS.__getitem__)
    return made


def read(reader: RingReader) -> list[AskedRecord]:
    return [record_of(raw) for _, raw in reader.take()]


@pytest.mark.parametrize(
    ("name", "noted"),
    [
        ("a.b.example.org", [b"\1a\1b\7example\3org\0", b"\1*\1b\7example\3org\0", b"\1*\7example\3org\0"]),
        ("example.org", [b"\7example\3org\0"]),
        ("org", [b"\3org\0"]),
    ],
)
def test_what_is_noted_of_a_name(name: str, noted: list[bytes]) -> None:
    """The name, and a wildcard at each name above that has two labels or more; of the root itself, the root."""
    assert list(noted_names(from_text(name))) == noted
    assert list(noted_names(ROOT)) == [ROOT]


def test_a_digest_is_keyed(asked: AskedNames, ring: Ring) -> None:
    """The digest is the library's BLAKE2s with the key in the ring; another key gives another digest."""
    reader = RingReader(ring)
    asked.turn(20000)
    asked.note(b"\7example\3org\0", "south")
    expected = blake2s(b"\7example\3org\0", key=_KEY, digest_size=16).digest()
    assert read(reader) == [AskedRecord(expected, 8, 20000)]
    assert key_in(ring) == _KEY
    assert NameDigests(os.urandom(KEY_BYTES)).of(b"\7example\3org\0") != expected


@pytest.mark.parametrize("name", [_LONGEST, ROOT, b"\5\0\n\"'\xff\0", *(b"\1x" * n + b"\0" for n in range(28, 36))])
def test_names_of_all_lengths(asked: AskedNames, ring: Ring, name: bytes) -> None:
    """Names of one to 255 bytes, and of all bytes, are noted as the library digests them."""
    reader = RingReader(ring, ring.head)
    asked.note(name, "north")
    digests = [blake2s(one, key=_KEY, digest_size=16).digest() for one in noted_names(name)]
    assert [record.digest for record in read(reader)] == digests[-63:]  # the oldest of a full ring is left out


def test_a_name_is_noted_once_a_day(asked: AskedNames, ring: Ring) -> None:
    """Once for each tenant and day; what is above a name that is known is not noted again."""
    reader = RingReader(ring)
    for day in (1, 2):
        asked.turn(day)
        for tenant in ("north", "south", "north"):
            asked.note(b"\1a\7example\3org\0", tenant)
        assert [(record.series, record.day) for record in read(reader)] == [(3, day), (3, day), (8, day), (8, day)]
        asked.note(b"\1b\7example\3org\0", "north")
        assert len(read(reader)) == 1


def test_nothing_of_the_name_is_in_the_memory(asked: AskedNames, ring: Ring) -> None:
    """Neither the name nor a label of it is in the shared memory."""
    asked.note(from_text("secret.clinic.example"), "north")
    for label in (b"secret", b"clinic", b"example"):
        assert ring.memory.find(label) < 0


def test_another_memory_is_refused() -> None:
    """A ring of other records is not taken for one of these."""
    fd = Ring.make(b"evnt", 4, 40, KEY_BYTES)
    with pytest.raises(ValueError, match="not a ring of askd records"):
        map_ring(fd, writable=True)
    os.close(fd)
