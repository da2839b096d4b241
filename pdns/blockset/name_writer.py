"""Writes `names.bin`; `pdns.blockset.name_table` reads it."""

# kernel: pdns/fast/name_writer.pyx

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from pdns.blockset.name_table import HAS_CHILDREN, HAS_RECORD, HEADER, MAGIC, RANKED_BUCKETS, NameHash, bucket_of
from pdns.wire.varint import varint

BUCKET_ELEMENTS: Final = 4  # on average
Stretches: TypeAlias = "Iterable[tuple[list[bytes], memoryview[int] | array[int]]]"


class NamesFile(NamedTuple):
    """What was made of names."""

    content: bytes | bytearray | memoryview
    rows: Sequence[int]  # of each name, by its number


class NamesMaker(Protocol):
    """Makes the file. `read` gives stretches of sorted reversed keys and a row for each, as often as it is called. `records` has
    the record of each row, and `common` is the one that most names have.
    """

    def __call__(self, read: Callable[[], Stretches], seed: NameHash, records: Sequence[int], common: int) -> NamesFile: ...


def write_names(read: Callable[[], Stretches], seed: NameHash, records: Sequence[int], common: int) -> NamesFile:
    """As `NamesMaker`. Holds all names in memory, several times."""
    row_of = {key: row for keys, rows in read() for key, row in zip(keys, rows, strict=True)}
    above = {element: parent for key in row_of for element, parent in _elements(key)}
    children = Counter(above.values())
    ordered = sorted(children.keys() - {b""}, key=lambda key: (-children[key], key))
    number_of = {key: number for number, key in enumerate([b"", *ordered])}
    buckets = max(1, -(-len(above) // BUCKET_ELEMENTS))
    contents: list[list[bytes]] = [[] for _ in range(buckets)]
    for key in sorted(above):
        contents[bucket_of(_hash(key, seed), buckets)].append(key)
    root = records[row_of[b""]] + 1 if b"" in row_of else 0
    data, offsets, ranks = bytearray(), array("I", [0]), array("I")
    by_number = array("I", [row_of[b""]] if root else [])
    for bucket, keys in enumerate(contents):
        if bucket % RANKED_BUCKETS == 0:
            ranks.append(len(by_number))
        for key in keys:
            label = key[len(above[key]) + 1 :]
            listed = records[row_of[key]] + 1 if key in row_of else 0
            head = len(label) | HAS_CHILDREN * (key in children) | HAS_RECORD * (listed != common + 1)
            data += bytes((head,)) + varint(number_of[above[key]]) + label
            data += varint(number_of[key]) if head & HAS_CHILDREN else b""
            data += varint(listed) if head & HAS_RECORD else b""
            if listed:
                by_number.append(row_of[key])
        offsets.append(len(data))
    if buckets % RANKED_BUCKETS == 0:
        ranks.append(len(by_number))
    header = HEADER.pack(MAGIC, *seed, buckets, len(ordered) + 1, len(by_number), common, root, len(data))
    return NamesFile(b"".join((header, offsets.tobytes(), ranks.tobytes(), data)), by_number)


def _elements(key: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The name with that reversed key and each above it but the root, and the name one label up of each."""
    at = 0
    while at < len(key):
        end = at + 1 + key[at]
        yield key[:end], key[:at]
        at = end


def _hash(key: bytes, seed: NameHash) -> int:
    hashed = seed.start
    for element, above in _elements(key):
        hashed = seed.below(hashed, element[len(above) :])
    return hashed
