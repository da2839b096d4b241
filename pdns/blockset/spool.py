"""Names on their way into a blockset: on disk between the two times that they are gone through, and into the Bloom filter.

What is counted of all of them decides where each goes: it is known when the last has come, and then they are read again.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec
from pybloom_live import BloomFilter
from xxhash import xxh128_digest

from pdns.blockset.bloom import BLOOM_HEADER, BLOOM_SALT, BLOOM_SLICES, bloom_positions
from pdns.blockset.name_table import NameHash, seed_of
from pdns.files.safe_files import create

_MIN_CAPACITY: Final = 4096
_LENGTH_BYTES: Final = 4
_NO_PREFIX: Final = b"\xff"  # longer than a label can be


class NameSpool:
    """A file of stretches of sorted names and a number for each; what is counted of them is known once it is filled."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.names = 0
        self.filter_keys = 0
        self.rows: Counter[int] = Counter()  # number -> names
        self.shallowest: Literal[0, 1, 2] = 2
        self.seed = NameHash(0, 1)

    def fill(self, names: Iterable[tuple[list[bytes], list[int]]]) -> None:
        """Write every name. Raises `OSError`."""
        filter_keys, content = Cuts(), hashlib.sha256()
        with create(self._path) as file:
            for keys, rows in names:
                data = msgspec.msgpack.encode((keys, array("I", rows).tobytes()))
                file.write(len(data).to_bytes(_LENGTH_BYTES, "little"))
                file.write(data)
                self.names += len(keys)
                self.rows.update(rows)
                self.filter_keys += len(filter_keys.of(keys))
                content.update(b"".join(keys))
        self.shallowest = filter_keys.shallowest
        self.seed = seed_of(content.digest())

    def read(self) -> Iterator[tuple[list[bytes], memoryview[int]]]:
        """Everything once more. Raises `OSError`."""
        decoder = msgspec.msgpack.Decoder(tuple[list[bytes], bytes])
        with self._path.open("rb") as file:
            while length := file.read(_LENGTH_BYTES):
                keys, rows = decoder.decode(file.read(int.from_bytes(length, "little")))
                yield keys, memoryview(rows).cast("I")

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


class Cuts:
    """The different last two labels, or what there is of them, of sorted names: equal ones stand side by side."""

    def __init__(self) -> None:
        self._prefix = _NO_PREFIX
        self.shallowest: Literal[0, 1, 2] = 2  # labels of the shortest name, at most 2

    def of(self, keys: list[bytes]) -> list[bytes]:
        """Those that begin with `keys`, in wire form."""
        filter_keys = []
        prefix = self._prefix
        for key in keys:
            if key.startswith(prefix):
                continue
            if not key:
                filter_keys.append(b"\0")
                self.shallowest = 0
                continue
            top = 1 + key[0]
            if len(key) == top:
                filter_keys.append(key + b"\0")
                self.shallowest = min(self.shallowest, 1)
            else:
                prefix = key[: top + 1 + key[top]]
                filter_keys.append(prefix[top:] + key[:top] + b"\0")
        self._prefix = prefix
        return filter_keys


class BloomWriter:
    """The filter over the cuts of all names, given in the same order as to `NameSpool.fill`."""

    def __init__(self, filter_keys: int) -> None:
        self._count = filter_keys
        self._bloom = BloomFilter(max(filter_keys, _MIN_CAPACITY), 1 / (1 << BLOOM_SLICES))
        self._positions = bloom_positions(self._bloom.bits_per_slice)
        self._cuts = Cuts()

    def add(self, keys: list[bytes]) -> None:
        size = self._bloom.bits_per_slice
        positions: list[int] = []
        for filter_key in self._cuts.of(keys):
            a, b, c, d = self._positions(xxh128_digest(BLOOM_SALT + filter_key))
            positions += (a % size, size + b % size, 2 * size + c % size, 3 * size + d % size)
        self._bloom.bitarray[positions] = 1

    def content(self) -> bytes:
        """The file."""
        bloom = self._bloom
        header = BLOOM_HEADER.pack(bloom.error_rate, bloom.num_slices, bloom.bits_per_slice, bloom.capacity, self._count)
        return b"".join((header, bloom.bitarray.tobytes()))
