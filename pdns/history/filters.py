"""A filter of digests that grows: one or more Bloom filters, in the file format of pybloom-live's `ScalableBloomFilter`.

    ScalableBloomFilter.fromfile(file); digest.hex() in filter

Each part has 16 slices, so an absent digest passes one with a probability of 2^-16 when it is full, at 2.9 bytes a digest. All
positions of a digest come from one hash. Many digests are tested at once, one slice after the other.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from hashlib import blake2b, sha256, sha512
from itertools import compress
from struct import Struct
from struct import error as StructError  # noqa: N812 (its own name says nothing)
from typing import Final

from bitarray import bitarray

from pdns.errors import PdnsError

SLICES: Final = 16
ERROR_RATE: Final = 2.0**-SLICES
GROWTH: Final = 2
LEAST_CAPACITY: Final = 512
_WIDE_BITS: Final = 1 << 15  # from so many bits a slice on, pybloom-live cuts a hash into 32-bit numbers, and from
_WIDER_BITS: Final = 1 << 31  # so many on into 64-bit numbers, for which there is no need here
_HEAD: Final = Struct("<idQd")  # growth, tightening, capacity of the first part, error rate
_COUNT: Final = Struct("<l")
_SIZE: Final = Struct("<Q")
_PART: Final = Struct("<dQQQQ")  # error rate, slices, bits of a slice, capacity, count
_SEAL_BYTES: Final = 16
_SALTS: Final = sha512(sha512(bytes(4)).digest()), sha256(sha256(bytes(4)).digest())


class DamagedFilterError(PdnsError):
    """A file of another form, damaged, or written with another key."""


class DigestHashes:
    """What the positions of some digests come from. `prefix` makes them independent of those in other filters."""

    def __init__(self, digests: Sequence[bytes], prefix: str = "") -> None:
        self.digests = digests
        self._prefix = prefix.encode()

    def words(self, slice_bits: int) -> memoryview[int]:
        """`SLICES` numbers for each digest."""
        return self._wide if slice_bits >= _WIDE_BITS else self._narrow

    @cached_property
    def _wide(self) -> memoryview[int]:
        return memoryview(self._hashed(0)).cast("I")

    @cached_property
    def _narrow(self) -> memoryview[int]:
        return memoryview(self._hashed(1)).cast("H")

    def _hashed(self, which: int) -> bytes:
        salted = _SALTS[which].copy()
        salted.update(self._prefix)
        hashed = []
        for digest in self.digests:
            one = salted.copy()
            one.update(digest.hex().encode())
            hashed.append(one.digest())
        return b"".join(hashed)


class _FilterPart:
    """One Bloom filter."""

    def __init__(self, capacity: int, slice_bits: int, count: int, bits: bitarray) -> None:
        self.capacity, self.slice_bits, self.count, self.bits = capacity, slice_bits, count, bits

    @classmethod
    def new(cls, capacity: int) -> _FilterPart:
        slice_bits = math.ceil(capacity * abs(math.log(ERROR_RATE)) / (SLICES * math.log(2) ** 2))
        bits = bitarray(slice_bits * SLICES, endian="little")
        bits.setall(False)
        return cls(capacity, slice_bits, 0, bits)

    def find(self, hashes: DigestHashes, among: Iterable[int]) -> list[int]:
        words, size = hashes.words(self.slice_bits), self.slice_bits
        left = list(among)
        for number in range(SLICES):
            column, start = words[number::SLICES], number * size
            left = list(compress(left, self.bits[[start + column[at] % size for at in left]]))
            if not left:
                break
        return left

    def add(self, hashes: DigestHashes, which: Sequence[int]) -> None:
        words, size = hashes.words(self.slice_bits), self.slice_bits
        for number in range(SLICES):
            column, start = words[number::SLICES], number * size
            self.bits[[start + column[at] % size for at in which]] = 1
        self.count += len(which)


class NameFilter:
    """Grows up to `most` digests, and then takes no more."""

    def __init__(self, prefix: str = "", *, capacity: int = LEAST_CAPACITY, most: int = 1 << 40) -> None:
        """`prefix` as of `DigestHashes`; `capacity` of the first part."""
        self.prefix, self.most = prefix, most
        self._first_capacity = max(LEAST_CAPACITY, min(capacity, most))
        self._parts: list[_FilterPart] = []
        self.left_out = 0  # digests for which there was no room

    def __len__(self) -> int:
        """How many digests it has, but for those that it took for known."""
        return sum(part.count for part in self._parts)

    @property
    def size_bytes(self) -> int:
        """Of its bits."""
        return sum(len(part.bits) // 8 for part in self._parts)

    @property
    def false_positives(self) -> float:
        """The probability that it passes a digest that it does not have."""
        passes_none = 1.0
        for part in self._parts:
            passes_none *= 1 - (part.bits.count() / len(part.bits)) ** SLICES
        return 1 - passes_none

    def add(self, digests: Iterable[bytes]) -> int:
        """Add all of them. Returns how many were new."""
        hashes = DigestHashes(list(dict.fromkeys(digests)), self.prefix)
        known = set(self.find(hashes))
        new = [at for at in range(len(hashes.digests)) if at not in known]
        if (over := len(self) + len(new) - self.most) > 0:
            self.left_out += min(over, len(new))
            new = new[: max(0, len(new) - over)]
        added = len(new)
        while new:
            if not self._parts or self._parts[-1].count >= self._parts[-1].capacity:
                capacity = self._parts[-1].capacity * GROWTH if self._parts else self._first_capacity
                self._parts.append(_FilterPart.new(capacity))
            room = self._parts[-1].capacity - self._parts[-1].count
            self._parts[-1].add(hashes, new[:room])
            new = new[room:]
        return added

    def find(self, hashes: DigestHashes, among: Sequence[int] | None = None) -> list[int]:
        """The places of those digests that pass, of all or of those `among`, in order."""
        which: Sequence[int] = range(len(hashes.digests)) if among is None else among
        found: set[int] = set()
        for part in self._parts:
            found.update(part.find(hashes, which))
        return sorted(found)

    def encoded(self, key: bytes) -> bytes:
        """The content of its file: as pybloom-live writes it, and behind that a seal of the content with `key`."""
        first = self._parts[0].capacity if self._parts else self._first_capacity
        raw = [_HEAD.pack(GROWTH, 1.0, first, ERROR_RATE), _COUNT.pack(len(self._parts))]
        raw += [_SIZE.pack(_PART.size + len(part.bits.tobytes())) for part in self._parts]
        for part in self._parts:
            raw += [_PART.pack(ERROR_RATE, SLICES, part.slice_bits, part.capacity, part.count), part.bits.tobytes()]
        content = b"".join(raw)
        return content + seal(content, key)

    @classmethod
    def decoded(cls, raw: bytes, key: bytes, prefix: str = "", *, most: int = 1 << 40) -> NameFilter:
        """The reverse of `encoded`. Raises `DamagedFilterError`."""
        content = raw[:-_SEAL_BYTES]
        if sys.byteorder != "little" or seal(content, key) != raw[-_SEAL_BYTES:]:
            raise DamagedFilterError("damaged, or written with another key")
        try:
            _, _, capacity, _ = _HEAD.unpack_from(content)
            (count,) = _COUNT.unpack_from(content, at := _HEAD.size)
            at += _COUNT.size + count * _SIZE.size
            made = cls(prefix, capacity=capacity, most=most)
            for _ in range(count):
                _, slices, slice_bits, capacity, digests = _PART.unpack_from(content, at)
                at += _PART.size
                size = (slice_bits * SLICES + 7) // 8
                bits = bitarray(endian="little")
                bits.frombytes(content[at : at + size])
                if slices != SLICES or len(bits) != size * 8 or not 0 < slice_bits < _WIDER_BITS:
                    raise DamagedFilterError("not of this form")
                made._parts.append(_FilterPart(capacity, slice_bits, digests, bits))
                at += size
        except StructError as exc:
            raise DamagedFilterError(str(exc)) from None
        return made


def seal(content: bytes, key: bytes) -> bytes:
    """Says whether content is whole, and of this key."""
    return blake2b(content, key=key, digest_size=_SEAL_BYTES).digest()
