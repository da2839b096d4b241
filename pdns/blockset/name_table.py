"""Every listed name of a blockset, in one file that is read where it is mapped: a hash table of labels.

`docs/blockset-format.md` describes `names.bin`. Nothing here believes the file: what cannot be ends the bucket that it stands in.
"""

# kernel: pdns/fast/matcher.pyx

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from functools import partial
from struct import Struct
from typing import Final, NamedTuple

MAGIC: Final = b"pdnsname"
HEADER: Final = Struct("<8s2Q6I")
RANKED_BUCKETS: Final = 64  # of so many buckets, one number says how many names stand before them
HAS_CHILDREN, HAS_RECORD = 0x80, 0x40  # beside the length of a label
LENGTH_MASK: Final = 0x3F
_LENGTH_BYTES: Final = [bytes((length,)) for length in range(LENGTH_MASK + 1)]
_MASK_64: Final = (1 << 64) - 1
_MOST_VARINT_BYTES: Final = 5
_MOST_KEY_BYTES: Final = 254
_MOST_KEPT_KEYS: Final = 1 << 16


class NameHash(NamedTuple):
    """Where an element belongs. Both numbers follow from all names, so that no list can choose a bucket for its own."""

    start: int  # the hash of the root
    factor: int

    def below(self, above: int, piece: bytes) -> int:
        """The hash of the name one label below that with the hash `above`; `piece` is the label behind its length byte."""
        for at in range(0, len(piece), 8):
            product = (above ^ int.from_bytes(piece[at : at + 8], "little")) * self.factor
            above = (product ^ product >> 64) & _MASK_64
        return above


def seed_of(digest: bytes) -> NameHash:
    """The seed that follows from a digest of all names."""
    return NameHash(int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little") | 1)


def bucket_of(hashed: int, buckets: int) -> int:
    return (hashed >> 32) * buckets >> 32


class _Element(NamedTuple):
    """A label below a name."""

    parent: int  # the number of that name
    piece: bytes  # the label behind its length byte
    number: int  # its own; 0: nothing is below it
    listed: int  # its record, counted from 1; 0: not listed itself


class NameTable:
    """Finds names in `names.bin`. Immutable, and safe to share between threads."""

    __slots__ = (
        "_buckets",
        "_common",
        "_data",
        "_hash",
        "_offsets",
        "_parents",
        "_ranks",
        "_records",
        "_root",
        "content",
        "names",
    )

    def __init__(self, content: memoryview, records: int) -> None:
        """`records` is the number of different ones. Raises `ValueError` when `content` cannot be such a file. Costs the same for
        files of every size.
        """
        if len(content) < HEADER.size or bytes(content[: len(MAGIC)]) != MAGIC:
            raise ValueError("not a table of names")
        _, start, factor, self._buckets, self._parents, self.names, self._common, self._root, data_bytes = HEADER.unpack_from(
            content
        )
        ranks_at = HEADER.size + 4 * (self._buckets + 1)
        data_at = ranks_at + 4 * (self._buckets // RANKED_BUCKETS + 1)
        if not self._buckets or len(content) != data_at + data_bytes:
            raise ValueError(f"{len(content)} bytes are not what the header says")
        sound = max(self._parents, self.names) <= data_bytes + 1 and bool(self._root) <= self.names
        if not sound or self._root > records or (self.names and self._common >= records):
            raise ValueError("the header contradicts itself")
        self.content, self._records, self._hash = content, records, NameHash(start, factor)
        self._offsets = content[HEADER.size : ranks_at].cast("I")
        self._ranks = content[ranks_at:data_at].cast("I")
        self._data = content[data_at:]

    def find(self, key: bytes) -> list[tuple[int, int]]:
        """The listed names at and above the one with that reversed key, the most specific first: the length of the key of
        each, and its record.
        """
        found = [(0, self._root - 1)] if self._root else []
        parent, hashed, at = 0, self._hash.start, 0
        while at < len(key):
            piece = key[at : at + 1 + key[at]]
            hashed = self._hash.below(hashed, piece)
            element = self._below(parent, piece, hashed)
            if element is None:
                break
            at += len(piece)
            if element.listed:
                found.append((at, element.listed - 1))
            if not element.number:
                break
            parent = element.number
        return found[::-1]

    def number(self, key: bytes) -> int | None:
        """The place of a listed name among all of them, in the order of the file; None: it is not listed."""
        if not key:
            return 0 if self._root else None
        parent, hashed, at = 0, self._hash.start, 0
        while True:
            piece = key[at : at + 1 + key[at]]
            hashed = self._hash.below(hashed, piece)
            at += len(piece)
            if at == len(key):
                break
            above = self._below(parent, piece, hashed)
            if above is None or not above.number:
                return None
            parent = above.number
        bucket = bucket_of(hashed, self._buckets)
        group = bucket // RANKED_BUCKETS
        number = self._ranks[group]
        for before in range(group * RANKED_BUCKETS, bucket):
            number += sum(1 for one in self._elements(*self._span(before)) if one.listed)
        for one in self._elements(*self._span(bucket)):
            if one.parent == parent and one.piece == piece:
                return number if one.listed and number < self.names else None
            number += bool(one.listed)
        return None

    def all_names(self) -> Iterator[tuple[bytes, int, int]]:
        """Every name: its reversed key, its number and its record; by number, which is no other order."""
        number = 0
        if self._root:
            yield b"", 0, self._root - 1
            number = 1
        keys = _ParentKeys(partial(self._element, end=len(self._data)), self._places())
        for bucket in range(self._buckets):
            for one in self._elements(*self._span(bucket)):
                if one.listed and number < self.names:
                    above = keys.of(one.parent)
                    if above is not None:
                        yield above + one.piece, number, one.listed - 1
                    number += 1

    def _places(self) -> array[int]:
        """Where each element stands that others are below, counted from 1, by its number."""
        places = array("I", bytes(4 * self._parents))
        for bucket in range(self._buckets):
            at, end = self._span(bucket)
            while at < end:
                one, after = self._element(at, end)
                if one is None:
                    break
                if one.number:
                    places[one.number] = at + 1
                at = after
        return places

    def _below(self, parent: int, piece: bytes, hashed: int) -> _Element | None:
        """The label of `piece` below the name with the number `parent`; `hashed` is the hash of the name that both make."""
        for one in self._elements(*self._span(bucket_of(hashed, self._buckets))):
            if one.parent == parent and one.piece == piece:
                return one
        return None

    def _span(self, bucket: int) -> tuple[int, int]:
        start, end = self._offsets[bucket], self._offsets[bucket + 1]
        return (start, end) if start <= end <= len(self._data) else (0, 0)

    def _elements(self, at: int, end: int) -> Iterator[_Element]:
        while at < end:
            one, at = self._element(at, end)
            if one is None:
                return
            yield one

    def _element(self, at: int, end: int) -> tuple[_Element | None, int]:
        """That at `at`, and where it ends. None: there is none that ends before `end`."""
        data = self._data
        head, number, listed = data[at], 0, self._common + 1
        parent, at = self._varint(at + 1, end)
        length = head & LENGTH_MASK
        piece = _LENGTH_BYTES[length] + data[at : at + length]
        at += length
        if head & HAS_CHILDREN:
            number, at = self._varint(at, end)
        if head & HAS_RECORD:
            listed, at = self._varint(at, end)
        if at > end or not length or listed > self._records or (head & HAS_CHILDREN and not 0 < number < self._parents):
            return None, end
        return _Element(parent, piece, number, listed), at

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        if at < end and self._data[at] < 0x80:
            return self._data[at], at + 1
        value = 0
        for shift in range(0, 7 * _MOST_VARINT_BYTES, 7):
            if at >= end:
                break
            byte = self._data[at]
            value |= (byte & 0x7F) << shift
            at += 1
            if byte < 0x80:
                return value, at
        return 0, end + 1


class _ParentKeys:
    """The reversed keys of names that others are below, by their numbers."""

    def __init__(self, element_at: Callable[[int], tuple[_Element | None, int]], places: array[int]) -> None:
        self._element_at, self._places = element_at, places
        self._kept: dict[int, bytes | None] = {0: b""}

    def of(self, number: int) -> bytes | None:
        """None: the file does not say."""
        if number in self._kept:
            return self._kept[number]
        key = self._made(number)
        if number < _MOST_KEPT_KEYS:  # the lower a number, the more names ask for it
            self._kept[number] = key
        return key

    def _made(self, number: int) -> bytes | None:
        key = b""
        while number:
            if number >= len(self._places) or not self._places[number] or len(key) > _MOST_KEY_BYTES:
                return None
            one, _ = self._element_at(self._places[number] - 1)
            if one is None:
                return None
            key, number = one.piece + key, one.parent
        return key
