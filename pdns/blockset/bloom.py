"""The Bloom filter of a blockset: its header, its hash and its positions."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from pybloom_live import BloomFilter
from xxhash import xxh128_digest

from pdns.errors import BlocksetError

BLOOM_HEADER = Struct(BloomFilter.FILE_FMT.decode())
BLOOM_SLICES = 4  # one 128-bit hash gives all four positions
BLOOM_SALT = xxh128_digest(bytes(4))  # pybloom-live's first salt
_NARROW, _WIDE = Struct("=4H8x"), Struct("=4I")  # how pybloom-live cuts a hash: below 2**15 bits a slice, and above


def bloom_positions(bits_per_slice: int) -> Callable[[bytes], tuple[int, ...]]:
    if bits_per_slice >= 1 << 31:
        raise BlocksetError("too many names for a filter of 32-bit positions")
    return (_WIDE if bits_per_slice >= 1 << 15 else _NARROW).unpack
