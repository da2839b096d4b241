"""The names that one blockset lists and the one before did not, also across a restart.

Each name is kept as 8 bytes of hash. A set of a million names takes 8 MB, in memory and in `<state>/events/names/listed`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

import xxhash

from pdns.blockset.reader import Blockset
from pdns.core.listing import BLOCK_BELOW, BLOCK_NAME, Rule, bits_of
from pdns.files.safe_files import read_state, write_whole
from pdns.history.days import history_directory
from pdns.history.filters import seal
from pdns.wire.names import from_reversed_key

FILE_NAME: Final = "listed"
_MAX_BYTES: Final = 1 << 30
_SEAL_BYTES: Final = 16


class NewlyListed(NamedTuple):
    """A name that was not listed before, in wire form."""

    name: bytes
    rule: Rule
    feeds: tuple[str, ...]


class ListedNames:
    """Compares each blockset with the one before. `key` seals the file."""

    def __init__(self, state_dir: Path, key: bytes) -> None:
        self._path = history_directory(state_dir) / FILE_NAME
        self._key = key
        self._before: array[int] | None = self._read()

    def take(self, blockset: Blockset, skipped: Collection[str] = ()) -> list[NewlyListed]:
        """Names of `blockset` that were not listed before, but for those that only feeds of the categories `skipped` list; none
        the first time. About 2 s for a million names; meant for a thread. Raises `OSError` when it cannot be written.
        """
        before, hashes, new = self._before, array("Q"), []
        meaning = [self._meaning(blockset, number, skipped) for number in range(len(blockset.counts))]
        for key, number in blockset.combinations():
            if (found := meaning[number]) is None:
                continue
            hashed = xxhash.xxh3_64_intdigest(key)
            hashes.append(hashed)
            if before is not None:
                at = bisect_left(before, hashed)
                if at == len(before) or before[at] != hashed:
                    new.append(NewlyListed(from_reversed_key(key), *found))
        self._before = array("Q", sorted(hashes))
        if self._before != before:
            content = self._before.tobytes()
            write_whole(self._path, content + seal(content, self._key), mode=0o640, synced=False)
        return new

    @staticmethod
    def _meaning(blockset: Blockset, number: int, skipped: Collection[str]) -> tuple[Rule, tuple[str, ...]] | None:
        """What the names of a combination have in common; None where it does not matter that they are new."""
        together, feeds = 0, []
        for feed, said in blockset.combination(number):
            bits = bits_of(said) & (BLOCK_NAME | BLOCK_BELOW)
            if bits and blockset.feeds[feed].category not in skipped:
                together |= bits
                feeds.append(feed)
        if not together:
            return None
        rule = {BLOCK_NAME: Rule.EXACT, BLOCK_BELOW: Rule.BELOW}.get(together, Rule.SUBTREE)
        return rule, tuple(feeds)

    def _read(self) -> array[int] | None:
        try:
            raw = read_state(self._path, _MAX_BYTES)
        except OSError:
            return None
        content = raw[:-_SEAL_BYTES]
        if seal(content, self._key) != raw[-_SEAL_BYTES:] or len(content) % 8:
            return None  # damaged, or of another key: the next blockset is the first again
        return array("Q", content)
