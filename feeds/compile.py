"""Everything that all lists say, merged into one blockset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from operator import length_hint
from pathlib import Path

from feeds.parse import ParsedFeed
from pdns.blockset import ALLOW_SUBTREE, BLOCK_SUBTREE, FeedEntry, Manifest, source_fingerprint
from pdns.blocksetwriter import write
from pdns.config import Feed

Combination = tuple[tuple[int, int], ...]  # (index of a feed, its bits), of every feed that lists a name


def compile_blockset(
    inputs: Iterable[tuple[Feed, ParsedFeed]],
    out_dir: Path,
    generation: int,
    created_s: float,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Write the blockset of `inputs` to `out_dir`, which must not exist; it appears whole or not at all.

    `inputs` is gone through once: a generator need not hold two lists at a time. `progress` is told (steps done, steps in all).
    Raises `BlocksetError`.
    """
    steps = length_hint(inputs) + 1
    feeds = []
    addresses = []
    combinations = _Combinations()
    names: dict[bytes, int] = {}
    networks: dict[bytes, int] = {}
    for index, (feed, parsed) in enumerate(inputs):
        feeds.append(feed)
        addresses.append(len(parsed.networks))
        combinations.merge(names, index, parsed.names)
        combinations.merge(networks, index, dict.fromkeys(parsed.networks, BLOCK_SUBTREE))
        if progress is not None:
            progress(index + 1, max(steps, index + 2))
    counts = combinations.count(names)
    manifest = write(
        out_dir,
        generation=generation,
        created_s=created_s,
        feeds=[
            FeedEntry(
                name=feed.name,
                source=source_fingerprint(feed),
                category=feed.category,
                entries=counts["entries", index],
                unique_entries=counts["unique_entries", index],
                exceptions=counts["exceptions", index],
                addresses=addresses[index],
            )
            for index, feed in enumerate(feeds)
        ],
        names=names,
        networks=networks,
        combinations=combinations.known,
    )
    if progress is not None:
        progress(len(feeds) + 1, len(feeds) + 1)
    return manifest


class _Combinations:
    """Which feeds list a name, and how: few different answers, each with a number."""

    def __init__(self) -> None:
        self.known: list[Combination] = [()]
        self._numbers: dict[Combination, int] = {(): 0}

    def merge(self, merged: dict[bytes, int], feed: int, said: Mapping[bytes, int]) -> None:
        """Add what `feed` says to `merged` (key -> number of a combination)."""
        nexts: dict[tuple[int, int], int] = {}
        for key, bits in said.items():
            step = (merged.get(key, 0), bits)
            number = nexts.get(step)
            if number is None:
                number = nexts[step] = self._number((*self.known[step[0]], (feed, bits)))
            merged[key] = number

    def _number(self, combination: Combination) -> int:
        number = self._numbers.setdefault(combination, len(self.known))
        if number == len(self.known):
            self.known.append(combination)
        return number

    def count(self, merged: Mapping[bytes, int]) -> Counter[tuple[str, int]]:
        """(kind of entry, feed) -> names."""
        counts: Counter[tuple[str, int]] = Counter()
        for number, names in Counter(merged.values()).items():
            blocking = [feed for feed, bits in self.known[number] if bits & BLOCK_SUBTREE]
            for feed in blocking:
                counts["entries", feed] += names
            if len(blocking) == 1:
                counts["unique_entries", blocking[0]] += names
            for feed, bits in self.known[number]:
                if bits & ALLOW_SUBTREE:
                    counts["exceptions", feed] += names
        return counts
