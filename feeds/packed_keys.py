"""Sorted keys in little memory: 22 bytes for a key of 20, where a list takes 72."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress, islice
from operator import ne
from typing import Final, Self, overload

import msgspec

BLOCK_KEYS: Final = 4096

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[bytes]).decode


class PackedKeys(Sequence[bytes]):
    """Different keys in their order, in packed blocks. The block that was used last is kept unpacked."""

    def __init__(self, keys: Iterable[list[bytes]] = ()) -> None:
        """`keys` come in stretches, each of which begins behind the end of the one before."""
        self._blocks: list[bytes] = []
        self._firsts: list[bytes] = []
        self._count = 0
        self._unpacked: tuple[int, list[bytes]] = -1, []
        rest: list[bytes] = []
        for stretch in keys:
            rest += stretch
            whole = len(rest) - len(rest) % BLOCK_KEYS
            for start in range(0, whole, BLOCK_KEYS):
                self._add(rest[start : start + BLOCK_KEYS])
            del rest[:whole]
        if rest:
            self._add(rest)

    @classmethod
    def merged(cls, runs: Sequence[Self]) -> Self:
        """All keys of `runs`, each once. The runs are empty afterwards, so that nothing is held twice."""
        return cls(_merge([run.take() for run in runs]))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, int):
            block, place = divmod(range(self._count)[at], BLOCK_KEYS)
            return self._block(block)[place]
        assert at.step in (None, 1)
        start, stop, _ = at.indices(self._count)
        first = start // BLOCK_KEYS
        keys = list(chain.from_iterable(map(self._block, range(first, -(-stop // BLOCK_KEYS)))))
        begin = first * BLOCK_KEYS
        return keys[start - begin : max(stop - begin, 0)]

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(map(_unpack, self._blocks))

    def first_not_below(self, key: bytes) -> int:
        """As `bisect_left`."""
        block = max(bisect_right(self._firsts, key) - 1, 0)
        return block * BLOCK_KEYS + bisect_left(self._block(block), key) if self._blocks else 0

    def first_above(self, key: bytes) -> int:
        """As `bisect_right`."""
        block = max(bisect_right(self._firsts, key) - 1, 0)
        return block * BLOCK_KEYS + bisect_right(self._block(block), key) if self._blocks else 0

    def take(self) -> Iterator[list[bytes]]:
        """All keys, block by block; the memory of each is freed as soon as it was given."""
        blocks, self._blocks, self._firsts, self._count, self._unpacked = self._blocks, [], [], 0, (-1, [])
        blocks.reverse()
        while blocks:
            yield _unpack(blocks.pop())

    def _add(self, keys: list[bytes]) -> None:
        self._blocks.append(_pack(keys))
        self._firsts.append(keys[0])
        self._count += len(keys)

    def _block(self, at: int) -> list[bytes]:
        if self._unpacked[0] != at:
            self._unpacked = at, _unpack(self._blocks[at])
        return self._unpacked[1]


def different(keys: list[bytes]) -> list[bytes]:
    """`keys`, which are sorted, each once."""
    if not keys:
        return keys
    others = bytes(map(ne, keys, islice(keys, 1, None)))
    return [*compress(keys, others), keys[-1]] if 0 in others else keys


def _merge(runs: list[Iterator[list[bytes]]]) -> Iterator[list[bytes]]:
    """Stretches of the keys of all `runs`."""
    heads = [head for run in runs if (head := (next(run, []), run))[0]]
    while heads:
        last = min(keys[-1] for keys, _ in heads)
        stretch: list[bytes] = []
        left = []
        for keys, run in heads:
            end = bisect_right(keys, last)
            stretch += keys[:end]
            if rest := keys[end:] or next(run, []):
                left.append((rest, run))
        heads = left
        stretch.sort()
        yield different(stretch)
