"""Names that come over streams go to the worker that the kernel brings their datagrams to."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from pdns.net.steering import LABELS, program
from pdns.net.steering_index import SteeringIndex
from tests.unit.net.test_steering import ANYWHERE, KEYS, attacks, names, query, raw, run


@pytest.mark.parametrize("sockets", [1, 2, 7, 64])
@pytest.mark.parametrize("key", KEYS)
def test_it_agrees_with_the_program(key: bytes, sockets: int) -> None:
    """Names of every length, names that are meant to meet, and bytes that are not a message."""
    steps, index, chance = program(sockets, key), SteeringIndex(sockets, key), random.Random(3)
    packets = [query(chance, name) for name in names(100)]
    packets += [raw(name) for attack in attacks().values() for name in islice(attack, 20)]
    packets += [raw(b"\x01a" * pairs + b"\0") for pairs in range(LABELS + 3)]
    packets += [raw(bytes([63]) + b"b" * 63 + bytes([length]) + b"C" * length + b"\0") for length in range(1, 34)]
    packets += [raw(bytes([length]) + chance.randbytes(length) + b"\0") for length in range(64)]
    packets += [chance.randbytes(chance.randrange(60)) for _ in range(300)]
    for packet in packets:
        expected = run(steps, packet)
        assert index.of(packet) == (None if expected == ANYWHERE else expected), packet
