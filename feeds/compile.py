"""Everything that all lists say, merged into one blockset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from feeds.entries import Actions, Entries
from feeds.kernels import write_names
from feeds.merge import Listed, Table, merge
from feeds.protected_networks import network_text
from feeds.salvage import Salvaged
from pdns.blockset.layout import ClientEntry, FeedEntry, Manifest
from pdns.blockset.writer import write
from pdns.config.schema import Feed
from pdns.config.source import source_fingerprint


class Sieves(Protocol):
    """Takes out of a list what must not go live: of some names, and of some networks."""

    def __call__(self, names: dict[bytes, int]) -> object: ...

    def networks(self, networks: dict[bytes, int]) -> object: ...


def compile_blockset(
    inputs: Iterable[tuple[Feed, Entries | Salvaged]],
    out_dir: Path,
    generation: int,
    created_s: float,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    sieve: Callable[[Feed], Sieves | None] = lambda _: None,
) -> Manifest:
    """Write the blockset of `inputs` to `out_dir`, which must not exist; it appears whole or not at all.

    No list is ever held as a whole. What has expired at `created_s` is left out, and what the `sieve` of a
    feed takes out of its names and networks; it is given some thousand of them at a time.
    `progress` is told (what is being done, names done, names in all; 0 when unknown). Raises `BlocksetError` and
    `DamagedEntries`.
    """
    table = Table()
    feeds, sources, names, networks = [], [], [], []
    for feed, entries in inputs:
        feeds.append(feed)
        sources.append(entries.source or source_fingerprint(feed))
        table.details.append([(told.threat, told.reference, told.first_seen_s, told.expires_s) for told in entries.details])
        taking = sieve(feed)
        numbers = table.numbers_of(entries.actions.table)
        table.clients += _clients(entries.actions, len(feeds) - 1, numbers)
        names.append(Listed(entries.names(), entries.details, created_s, taking, numbers))
        taking_networks = taking.networks if taking is not None else None
        networks.append(Listed(entries.networks(), entries.details, created_s, taking_networks, numbers))
    merged_networks: dict[bytes, int] = {}
    for keys, rows in merge(networks, table, lambda _: None):
        merged_networks.update(zip(keys, rows, strict=True))
    addresses = [listed.taken for listed in networks]

    def entries_of(names_of_each: Sequence[int]) -> list[FeedEntry]:
        counts = table.count(names_of_each)
        return [
            FeedEntry(
                name=feed.name,
                source=sources[index],
                category=feed.category,
                entries=counts["entries", index],
                unique_entries=counts["unique_entries", index],
                exceptions=counts["exceptions", index],
                addresses=addresses[index],
                expired=names[index].expired + networks[index].expired,
            )
            for index, feed in enumerate(feeds)
        ]

    return write(
        out_dir,
        generation=generation,
        created_s=created_s,
        names=merge(names, table, lambda done: progress("merging", done, 0)),
        networks=merged_networks,
        contents=table,
        feeds=entries_of,
        progress=progress,
        make_names=write_names,
    )


def _clients(actions: Actions, feed: int, numbers: Sequence[int]) -> list[ClientEntry]:
    """The clients that a feed lists, those of the longest prefix first."""
    clients = sorted(actions.clients.items(), key=lambda item: (-item[0][-1], item[0]))
    return [ClientEntry(feed, network_text(key), numbers[number]) for key, number in clients if numbers[number]]
