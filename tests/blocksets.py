"""Real blocksets for tests: a few listings, written and mapped like any other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple

from feeds.compile import compile_blockset
from feeds.entries import Entries, write_entries
from feeds.parse import ParsedFeed
from pdns.blockset.annotations import DAY_S, PublisherAnnotation
from pdns.blockset.layout import ClientEntry, FeedEntry, Manifest
from pdns.blockset.reader import Blockset
from pdns.blockset.writer import write
from pdns.config.schema import Feed
from pdns.config.source import source_fingerprint
from pdns.core.listing import ALLOW_SUBTREE, BLOCK_BELOW, BLOCK_NAME, BLOCK_SUBTREE, ListedAction
from pdns.wire.names import from_text, reversed_key


class _Plain(NamedTuple):
    """Names of which nothing is known but who lists them."""

    combinations: Sequence[Sequence[tuple[int, int]]]
    rows: Sequence[tuple[int, Sequence[tuple[int, int]]]]
    details: Sequence[Sequence[PublisherAnnotation]]
    actions: Sequence[ListedAction] = ()
    clients: Sequence[ClientEntry] = ()


_BITS = {"": BLOCK_SUBTREE, "=": BLOCK_NAME, "*.": BLOCK_BELOW, "@@": ALLOW_SUBTREE}


def write_all(
    directory: Path,
    *,
    generation: int,
    created_s: float,
    feeds: Sequence[FeedEntry],
    names: Mapping[bytes, int],
    networks: Mapping[bytes, int],
    combinations: Sequence[Sequence[tuple[int, int]]],
    actions: Sequence[ListedAction] = (),
    clients: Sequence[ClientEntry] = (),
) -> Manifest:
    """`write` of what is at hand, without annotations.

    `names`: reversed key -> index into `combinations`; `networks`: address bytes and one byte of prefix length -> the same.
    """
    keys = sorted(names)
    rows = [(number, [(0, 0)] * len(part)) for number, part in enumerate(combinations)]
    parts = [(keys, [names[key] for key in keys])] if keys else []
    return write(
        directory,
        generation=generation,
        created_s=created_s,
        names=parts,
        networks=networks,
        contents=_Plain(combinations, rows, [[] for _ in feeds], actions, clients),
        feeds=lambda _: feeds,
    )


def compile_parsed(
    lists: Iterable[tuple[Feed, ParsedFeed]], out_dir: Path, generation: int, created_s: float, *progress: Any, **more: Any
) -> Manifest:
    """`compile_blockset` of lists that are at hand, put on the disk for it, every name first seen on the day of the blockset."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = []
        for number, (feed, parsed) in enumerate(lists):
            path = Path(folder) / str(number)
            write_entries(path, parsed, None, int(created_s // DAY_S), 0)
            inputs.append((feed, Entries(path)))
        return compile_blockset(inputs, out_dir, generation, created_s, *progress, **more)


def make_blockset(
    feeds: dict[str, str], *, generation: int = 1, category: str = "malware", configured: tuple[Feed, ...] = ()
) -> Blockset:
    """A blockset of `feeds`: name -> entries apart by spaces.

    An entry `x` lists x and below, `=x` x alone, `*.x` what is below, `@@x` excepts x and below, `192.0.2.0/24` is a network.
    """
    sources = {feed.name: source_fingerprint(feed) for feed in configured}
    listed: dict[bytes, dict[int, int]] = {}
    networks: dict[bytes, dict[int, int]] = {}
    for index, entries in enumerate(feeds.values()):
        for entry in entries.split():
            if "/" in entry:
                network = ip_network(entry)
                networks.setdefault(network.network_address.packed + bytes([network.prefixlen]), {})[index] = BLOCK_SUBTREE
                continue
            mark = next(mark for mark in ("=", "*.", "@@", "") if entry.startswith(mark))
            bits = listed.setdefault(reversed_key(from_text(entry[len(mark) :])), {})
            bits[index] = bits.get(index, 0) | _BITS[mark]
    combinations: list[tuple[tuple[int, int], ...]] = []

    def number(said: dict[int, int]) -> int:
        combination = tuple(sorted(said.items()))
        if combination not in combinations:
            combinations.append(combination)
        return combinations.index(combination)

    names = {key: number(said) for key, said in listed.items()}
    nets = {key: number(said) for key, said in networks.items()}
    parts = [FeedEntry(name=name, source=sources.get(name, ""), category=category) for name in feeds]
    with tempfile.TemporaryDirectory() as folder:  # what is mapped outlives its directory
        directory = Path(folder) / "blockset"
        write_all(
            directory, generation=generation, created_s=0.0, feeds=parts, names=names, networks=nets, combinations=combinations
        )
        return Blockset.open(directory)
