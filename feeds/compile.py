"""Everything that all lists say, merged into one blockset."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from feeds.detail import Detail
from feeds.entries import Block, Entries
from feeds.merge import Listed, Sieve, Table, merge
from feeds.parse import ParsedFeed
from pdns.blockset import BLOCK_SUBTREE, FeedEntry, Manifest, source_fingerprint
from pdns.blocksetwriter import write_sorted
from pdns.config import Feed
from pdns.facts import DAY_S


def compile_blockset(
    inputs: Iterable[tuple[Feed, Entries | ParsedFeed]],
    out_dir: Path,
    generation: int,
    created_s: float,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    sieve: Callable[[Feed], Sieve | None] = lambda _: None,
) -> Manifest:
    """Write the blockset of `inputs` to `out_dir`, which must not exist; it appears whole or not at all.

    Lists on disk are never held as a whole. What has expired at `created_s` is left out, and what the `sieve` of a
    feed takes out of its names; it is given some thousand of them at a time.
    `progress` is told (what is being done, names done, names in all; 0 when unknown). Raises `BlocksetError` and, of lists on
    disk, `DamagedEntries`.
    """
    table = Table()
    feeds, names, networks = [], [], []
    for feed, parsed in inputs:
        entries = parsed if isinstance(parsed, Entries) else _InMemory(parsed, int(created_s // DAY_S))
        feeds.append(feed)
        table.details.append([(told.threat, told.reference, told.first_seen_s, told.expires_s) for told in entries.details])
        names.append(Listed(entries.names(), entries.details, created_s, sieve(feed)))
        networks.append(Listed(entries.networks(), entries.details, created_s))
    merged_networks: dict[bytes, int] = {}
    for keys, rows in merge(networks, table, lambda _: None):
        merged_networks.update(zip(keys, rows, strict=True))
    addresses = [listed.taken for listed in networks]

    def entries_of(names_of_each: Sequence[int]) -> list[FeedEntry]:
        counts = table.count(names_of_each)
        return [
            FeedEntry(
                name=feed.name,
                source=source_fingerprint(feed),
                category=feed.category,
                entries=counts["entries", index],
                unique_entries=counts["unique_entries", index],
                exceptions=counts["exceptions", index],
                addresses=addresses[index],
                expired=names[index].expired + networks[index].expired,
            )
            for index, feed in enumerate(feeds)
        ]

    return write_sorted(
        out_dir,
        generation=generation,
        created_s=created_s,
        names=merge(names, table, lambda done: progress("merging", done, 0)),
        networks=merged_networks,
        contents=table,
        feeds=entries_of,
        progress=progress,
    )


class _InMemory:
    """A list that was never on the disk, first seen today."""

    def __init__(self, parsed: ParsedFeed, today: int) -> None:
        self._parsed = parsed
        self._today = today

    @property
    def details(self) -> list[Detail]:
        return self._parsed.details

    def names(self) -> Iterator[Block]:
        return self._block(self._parsed.names)

    def networks(self) -> Iterator[Block]:
        return self._block(dict.fromkeys(self._parsed.networks, BLOCK_SUBTREE))

    def _block(self, bits: dict[bytes, int]) -> Iterator[Block]:
        if not bits:
            return
        keys = sorted(bits)
        nothing = _column([0] * len(keys))
        details = _column([self._parsed.detail_of.get(key, -1) + 1 for key in keys])
        yield Block(keys, bytes([bits[key] for key in keys]), _column([self._today] * len(keys)), nothing, details)


def _column(values: list[int]) -> memoryview[int]:
    return memoryview(array("H", values))
