"""The names of a big list in little memory: sorted keys, each with its bits."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from typing import Final

from feeds.packed_keys import PackedKeys, different

RUN_KEYS: Final = 1_000_000
_MERGED_RUNS: Final = 16


class Names(Mapping[bytes, int]):
    """Keys in their order, and the bits of each: half the memory of a dict, or less. A look-up is a binary search."""

    def __init__(self, keys: list[bytes] | PackedKeys, bits: bytes) -> None:
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
        keys = self.keys_sorted
        at = keys.first_not_below(key) if isinstance(keys, PackedKeys) else bisect_left(keys, key)
        if at == len(keys) or keys[at] != key:
            raise KeyError(key)
        return self.bits[at]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.keys_sorted)

    def __len__(self) -> int:
        return len(self.keys_sorted)

    def end_of(self, key: bytes) -> int:
        """How many keys are not above `key`."""
        keys = self.keys_sorted
        return keys.first_above(key) if isinstance(keys, PackedKeys) else bisect_right(keys, key)


class KeyList:
    """Keys that all have the same bits, in any order, some of them perhaps several times. Many are held as sorted runs."""

    def __init__(self, run_keys: int = RUN_KEYS) -> None:
        """`run_keys`: of the longest run before it is merged with others."""
        self._keys: list[bytes] = []  # those that are in no run yet
        self._runs: list[PackedKeys] = []
        self._run_keys = run_keys
        self._merge_at = _MERGED_RUNS * run_keys

    def __len__(self) -> int:
        """Some keys may count several times."""
        return len(self._keys) + sum(map(len, self._runs))

    def extend(self, keys: list[bytes]) -> None:
        """Add `keys`. Memory is bounded by the number of different ones."""
        self._keys += keys
        if len(self._keys) < self._run_keys:
            return
        self._keys.sort()
        self._keys = different(self._keys)
        if 2 * len(self._keys) < self._run_keys:
            return
        self._runs.append(PackedKeys([self._keys]))
        self._keys = []
        if len(self) >= self._merge_at:
            self._runs = [PackedKeys.merged(self._runs)]
            self._merge_at = max(self._merge_at, 2 * len(self))

    def merged(self, bits: int, others: Mapping[bytes, int]) -> Names:
        """All keys, with `bits`, and `others`, with theirs. Takes what is in this list."""
        keys = self._take()
        if not others:
            return Names(keys, bytes((bits,)) * len(keys))
        own = Names(keys, bytes((bits,)) * len(keys))
        changed = {key: value | bits for key, value in others.items() if key in own}
        new = sorted(key for key in others if key not in changed)
        if isinstance(keys, PackedKeys):
            keys = PackedKeys.merged([keys, PackedKeys([new])])
        else:
            keys += new
            keys.sort()
        values = bytearray((bits,)) * len(keys)
        places = Names(keys, b"")
        for key, value in ({key: others[key] for key in new} | changed).items():
            values[places.end_of(key) - 1] = value
        return Names(keys, bytes(values))

    def _take(self) -> list[bytes] | PackedKeys:
        keys, runs, self._keys, self._runs = self._keys, self._runs, [], []
        keys.sort()
        keys = different(keys)
        if not runs:
            return keys
        runs.append(PackedKeys([keys]))
        del keys
        return PackedKeys.merged(runs)
