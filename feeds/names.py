"""The names of a big list in little memory: sorted keys, each with its bits."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import compress, islice
from operator import ne
from typing import Final

_COMPACT_AT: Final = 1_000_000


class Names(Mapping[bytes, int]):
    """Keys in their order, and the bits of each: half the memory of a dict. A look-up is a binary search."""

    def __init__(self, keys: list[bytes], bits: bytes) -> None:
        """`keys` are sorted and different, `bits` as many."""
        self.keys_sorted = keys
        self.bits = bits

    @classmethod
    def of(cls, names: Mapping[bytes, int]) -> Names:
        """The same names in this form."""
        if isinstance(names, Names):
            return names
        keys = sorted(names)
        return cls(keys, bytes([names[key] for key in keys]))

    def __getitem__(self, key: bytes) -> int:
        at = bisect_left(self.keys_sorted, key)
        if at == len(self.keys_sorted) or self.keys_sorted[at] != key:
            raise KeyError(key)
        return self.bits[at]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.keys_sorted)

    def __len__(self) -> int:
        return len(self.keys_sorted)


class KeyList:
    """Keys that all have the same bits, in any order, some of them perhaps several times."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self._compact_at = _COMPACT_AT

    def extend(self, keys: list[bytes]) -> None:
        """Add `keys`. Memory is bounded by the number of different ones."""
        self.keys += keys
        if len(self.keys) >= self._compact_at:
            self._compact()
            self._compact_at = max(_COMPACT_AT, 2 * len(self.keys))

    def merged(self, bits: int, others: Mapping[bytes, int]) -> Names:
        """All keys, with `bits`, and `others`, with theirs. Takes what is in this list."""
        self._compact()
        keys, self.keys = self.keys, []
        if not others:
            return Names(keys, bytes((bits,)) * len(keys))
        own = Names(keys, bytes((bits,)) * len(keys))
        changed = {key: value | bits for key, value in others.items() if key in own}
        new = [key for key in others if key not in changed]
        keys += new
        keys.sort()
        at = {key: others[key] for key in new} | changed
        values = bytearray((bits,)) * len(keys)
        for key, value in at.items():
            values[bisect_left(keys, key)] = value
        return Names(keys, bytes(values))

    def _compact(self) -> None:
        """Sort, and leave one of each."""
        self.keys.sort()
        different = bytes(map(ne, self.keys, islice(self.keys, 1, None)))
        if 0 in different:
            self.keys = [*compress(self.keys, different), self.keys[-1]]
