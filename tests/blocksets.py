"""Real blocksets for tests: a few listings, written and mapped like any other."""

from __future__ import annotations

import tempfile
from ipaddress import ip_network
from pathlib import Path

from pdns.blockset import ALLOW_SUBTREE, BLOCK_BELOW, BLOCK_NAME, BLOCK_SUBTREE, Blockset, FeedEntry, source_fingerprint
from pdns.blocksetwriter import write
from pdns.config import Feed
from pdns.core.names import from_text, reversed_key

_BITS = {"": BLOCK_SUBTREE, "=": BLOCK_NAME, "*.": BLOCK_BELOW, "@@": ALLOW_SUBTREE}


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
        write(directory, generation=generation, created_s=0.0, feeds=parts, names=names, networks=nets, combinations=combinations)
        return Blockset.open(directory, verify=True)
