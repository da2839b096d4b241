"""Names that somebody chooses so that one worker gets all of them, without knowing any secret of the server."""

from __future__ import annotations

import random
from collections.abc import Iterator

_START, _PRIME, _MASK = 0x811C9DC5, 0x01000193, 2**32 - 1  # FNV-1a, a hash without a key
_HASHED_BYTES = 40
_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789"


def known_hash(name: bytes, workers: int) -> int:
    """The worker of `name` (wire form) under a hash that has no key: FNV-1a of its first 40 bytes, and two rounds of mixing."""
    state = _START
    for byte in name[:_HASHED_BYTES]:
        if byte == 0:
            break
        state = (state ^ (byte | 0x20)) * _PRIME & _MASK
    state = ((state >> 16) ^ state) * 0x85EBCA6B & _MASK
    return ((state >> 13) ^ state) % workers


def of_known_hash(workers: int, seed: int = 1) -> Iterator[bytes]:
    """Those that a hash without a key gives to one worker."""
    rng = random.Random(f"hash {seed}")
    while True:
        name = _below_test(_letters(rng, 12))
        if known_hash(name, workers) == workers - 1:
            yield name


def of_one_start(seed: int = 1) -> Iterator[bytes]:
    """Those that are equal in their first 50 bytes."""
    rng = random.Random(f"start {seed}")
    start = _letters(rng, 49)
    while True:
        yield _below_test(start + _letters(rng, 12))


def with_zero(seed: int = 1) -> Iterator[bytes]:
    """Those that differ behind a byte of zero within a label, which ends what looks for the end of a name by that."""
    rng = random.Random(f"zero {seed}")
    while True:
        yield _below_test(b"ab\0" + _letters(rng, 12))


def of_one_fold(seed: int = 1) -> Iterator[bytes]:
    """Those that differ in bits alone that letter case has, of bytes that are no letters."""
    rng = random.Random(f"fold {seed}")
    while True:
        yield _below_test(bytes(0x30 | digit if rng.random() < 0.5 else 0x10 | digit for digit in range(8)) * 2 + _digits(rng))


def _digits(rng: random.Random) -> bytes:
    return bytes(rng.choice((0x11, 0x31)) for _ in range(24))


def _letters(rng: random.Random, count: int) -> bytes:
    return bytes(rng.choices(_LETTERS, k=count))


def _below_test(label: bytes) -> bytes:
    return bytes((len(label),)) + label + b"\7steered\3zzz\0"
