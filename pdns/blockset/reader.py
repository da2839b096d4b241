"""Blocksets: what all feeds list, as an immutable directory; a sealed copy of it in memory is mapped.

A Bloom filter says *surely clean*; only the exact set behind it says *listed*, by which feeds and by which rule.
`docs/blockset-format.md` describes every file.
"""

# kernel: pdns/fast/matcher.pyx

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bitarray import bitarray
from xxhash import xxh128_digest

from pdns.blockset.bloom import BLOOM_HEADER, BLOOM_SALT, BLOOM_SLICES, bloom_positions
from pdns.blockset.layout import (
    BLOOM_FILE,
    MANIFEST_FILE,
    NAMES_FILE,
    NETS_FILE,
    Manifest,
    copy_to_memory,
    map_copy,
)
from pdns.blockset.name_table import NameTable
from pdns.blockset.networks import Networks
from pdns.core.listing import (
    ALLOW_NAME,
    ALLOW_SUBTREE,
    BLOCK_BELOW,
    BLOCK_NAME,
    BLOCK_SUBTREE,
    AddressListing,
    ClientListing,
    ListedAction,
    Listing,
    Rule,
    action_of,
    bits_of,
    is_sound,
)
from pdns.errors import BlocksetError
from pdns.wire.names import filter_key, from_reversed_key, reversed_key

_MAPPED_IPV4 = bytes(10) + b"\xff\xff"


_RULE_OF_BITS = {BLOCK_NAME: Rule.EXACT, BLOCK_BELOW: Rule.BELOW, BLOCK_SUBTREE: Rule.SUBTREE}


class Mapped(NamedTuple):
    """Where a compiled kernel finds what `Blockset.find` reads."""

    bits: memoryview  # of the Bloom filter
    bits_per_slice: int
    salt: bytes
    shallowest: int  # labels of the shortest name, at most 2
    names: memoryview  # names.bin
    records: int  # how many different ones there are


class Blockset:
    """What the feeds of one generation list. Immutable, and safe to share between threads."""

    __slots__ = (
        "_bits", "_bits_per_slice", "_combinations", "_names", "_networks", "_positions", "_shallowest",
        "actions", "clients",
        "counts", "created_s", "directory", "entries", "feeds", "generation", "lists_addresses", "mapped", "names", "networks",
        "next_expiry_s",
    )  # fmt: skip

    def __init__(self, directory: Path, manifest: Manifest, files: Mapping[str, memoryview], names: NameTable) -> None:
        self.directory = directory
        self.generation = manifest.generation
        self.created_s = manifest.created_s
        self.entries = manifest.entries  # names that at least one feed blocks
        self.names = manifest.names  # blocked, allowed or both
        self.networks = sum(run.count for run in manifest.runs)
        self.next_expiry_s = manifest.next_expiry_s  # when the first of the names is to leave; 0: none
        self.counts = manifest.counts  # names of each combination
        self.feeds = {feed.name: feed for feed in manifest.feeds}
        feeds = [feed.name for feed in manifest.feeds]
        self._combinations = [tuple((feeds[index], said) for index, said in part) for part in manifest.combinations]
        self.actions: list[ListedAction | None] = [None, *(manifest.actions or ())]
        self.clients = tuple(ClientListing(feeds[at.feed], at.network, at.action) for at in manifest.clients or ())
        self._shallowest = manifest.shallowest
        self._names = names
        self._networks = [Networks(run, files[NETS_FILE]) for run in manifest.runs]
        self.lists_addresses = bool(self._networks)
        self._bits_per_slice = BLOOM_HEADER.unpack_from(files[BLOOM_FILE])[2]
        self._positions = bloom_positions(self._bits_per_slice)
        self._bits = bitarray(buffer=files[BLOOM_FILE][BLOOM_HEADER.size :], endian="little")
        self.mapped = Mapped(
            files[BLOOM_FILE][BLOOM_HEADER.size :], self._bits_per_slice, BLOOM_SALT, self._shallowest, names.content,
            len(manifest.combinations),
        )  # fmt: skip

    @classmethod
    def open(cls, directory: Path) -> Blockset:
        """A copy of the blockset in `directory`, in memory of its own: nothing that happens to the files reaches it.

        Raises `BlocksetError` when a file is missing, cut short, damaged or of another format.
        """
        fd = copy_to_memory(directory)
        try:
            return cls.map(fd, directory.resolve())
        finally:
            os.close(fd)

    @classmethod
    def map(cls, fd: int, directory: Path) -> Blockset:
        """The blockset in the memory behind `fd`, which `copy_to_memory` made of `directory`; `fd` stays open.

        Costs a millisecond or less. Raises `BlocksetError`.
        """
        if sys.byteorder != "little":
            raise BlocksetError("blocksets hold little-endian numbers, which this machine does not")
        manifest, files = map_copy(fd, directory)
        bloom = files[BLOOM_FILE]
        if len(bloom) < BLOOM_HEADER.size:
            raise BlocksetError(f"{directory / BLOOM_FILE}: no header")
        _, slices, bits_per_slice, _, _ = BLOOM_HEADER.unpack_from(bloom)
        if slices != BLOOM_SLICES or not 0 < bits_per_slice * slices <= 8 * (len(bloom) - BLOOM_HEADER.size):
            raise BlocksetError(f"{directory / BLOOM_FILE}: {slices} slices of {bits_per_slice} bits are not what the file holds")
        try:
            names = NameTable(files[NAMES_FILE], len(manifest.combinations))
        except ValueError as exc:
            raise BlocksetError(f"{directory / NAMES_FILE}: {exc}") from None
        if names.names != manifest.names:
            raise BlocksetError(f"{directory / NAMES_FILE}: {names.names} names where {manifest.names} are announced")
        if any(run.end > len(files[NETS_FILE]) or run.prefix_bits > 8 * run.address_bytes for run in manifest.runs):
            raise BlocksetError(f"{directory / NETS_FILE}: a run of networks leaves the file")
        if len(manifest.counts) != len(manifest.combinations):
            raise BlocksetError(f"{directory / MANIFEST_FILE}: not a count for each combination")
        if any(not 0 <= index < len(manifest.feeds) for part in manifest.combinations for index, _ in part):
            raise BlocksetError(f"{directory / MANIFEST_FILE}: a combination names a feed that is not there")
        if not _has_its_actions(manifest):
            raise BlocksetError(f"{directory / MANIFEST_FILE}: it names an action or a feed that is not there")
        return cls(directory, manifest, files, names)

    def lookup(self, qname: bytes) -> tuple[Listing, ...]:
        """Every listing that applies to `qname` (lower-case wire form), the most specific name first; () when it is clean.

        The caller applies `allow` and the configuration.
        """
        listings = []
        for name_bytes, code in self.find(filter_key(qname), reversed_key(qname)):
            name = qname[len(qname) - name_bytes :]
            for feed, bits, reaching, action in self.said(code):
                if reaching & BLOCK_NAME:
                    listings.append(Listing(feed, name, _RULE_OF_BITS[bits & BLOCK_SUBTREE], allow=False, action=action))
                if reaching & ALLOW_NAME:
                    listings.append(Listing(feed, name, _RULE_OF_BITS[bits >> 2], allow=True, action=action))
        return tuple(listings)

    def find(self, filter_key: bytes, key: bytes) -> Sequence[tuple[int, int]]:
        """The listed names at and above one whose last two labels are `filter_key` and whose `reversed_key` is `key`, the most
        specific first: for each the length of its wire form, and its code. A clean name usually costs one look into the
        Bloom filter.
        """
        size = self._bits_per_slice
        bits = self._bits
        a, b, c, d = self._positions(xxh128_digest(BLOOM_SALT + filter_key))
        if not (bits[a % size] and bits[size + b % size] and bits[2 * size + c % size] and bits[3 * size + d % size]) and (
            self._shallowest == 2 or not self._may_list_shallow(filter_key)
        ):
            return ()
        return [(size + 1, record << 1 | (size != len(key))) for size, record in self._names.find(key)]

    def said(self, code: int) -> Iterator[tuple[str, int, int, int]]:
        """What each feed says of a name that was found: feed, all its bits, those that reach the name that was asked about (of
        BLOCK_NAME and ALLOW_NAME), and the number of the action for that name.
        """
        below = code & 1
        for feed, said in self._combinations[code >> 1]:
            bits = bits_of(said)
            yield feed, bits, bits >> below & (BLOCK_NAME | ALLOW_NAME), action_of(said, below=bool(below))

    def _may_list_shallow(self, filter_key: bytes) -> bool:
        """Whether the last label of a name, or the root, may be listed itself."""
        if self._shallowest == 0:
            return True
        top = filter_key[1 + filter_key[0] :] if filter_key[0] and filter_key[1 + filter_key[0]] else filter_key
        size = self._bits_per_slice
        positions = self._positions(xxh128_digest(BLOOM_SALT + top))
        return all(self._bits[at * size + position % size] for at, position in enumerate(positions))

    def lookup_address(self, packed: bytes) -> tuple[AddressListing, ...]:
        """Every listed network that holds the address (4 or 16 bytes), the longest prefix first.

        An IPv4 address inside IPv6 (`::ffff:192.0.2.1`) is looked up as IPv4.
        """
        if not self._networks:
            return ()
        if packed[:12] == _MAPPED_IPV4:
            packed = packed[12:]
        size = len(packed)
        number = int.from_bytes(packed)
        listings = []
        for networks in self._networks:
            if networks.address_bytes == size and (record := networks.find(number)) is not None:
                text = networks.text(number)
                listings += [
                    AddressListing(feed, text, action_of(said, below=False)) for feed, said in self._combinations[record]
                ]
        return tuple(listings)

    def name_number(self, key: bytes) -> int | None:
        """The number of a listed name, given its `reversed_key`: what stands for it in other files. None: not listed."""
        return self._names.number(key)

    def network_number(self, network: str) -> int | None:
        """The number of a listed network, spelt as in `AddressListing`; None: not listed."""
        wanted = ipaddress.ip_network(network)
        before = 0
        for networks in self._networks:
            if (networks.address_bytes, networks.prefix_bits) == (wanted.max_prefixlen // 8, wanted.prefixlen):
                at = networks.at(int(wanted.network_address))
                return None if at is None else before + at
            before += networks.count
        return None

    def combination(self, number: int) -> tuple[tuple[str, int], ...]:
        """Every feed that lists the names of this combination, and what it says: `pdns.core.listing.with_actions`."""
        return self._combinations[number]

    def combinations(self) -> Iterator[tuple[bytes, int]]:
        """Every name, as its `reversed_key`, and its combination; in no particular order."""
        for key, _, combination in self._names.all_names():
            yield key, combination

    def numbered_names(self) -> Iterator[tuple[bytes, int, int]]:
        """Every name: its reversed key, its number and its combination; in no particular order."""
        return self._names.all_names()

    def numbered_networks(self) -> Iterator[tuple[bytes, int, int]]:
        """Every network: the bytes of its address and one of prefix length, its number in the annotations, its combination."""
        listed = (network for networks in self._networks for network in networks.listed())
        for number, (key, record) in enumerate(listed, self.names):
            yield key, number, record

    def listings(self) -> Iterator[Listing]:
        """Every listing of every name, in no particular order."""
        for key, record in self.combinations():
            name = from_reversed_key(key)
            for feed, said in self._combinations[record]:
                bits = bits_of(said)
                if bits & BLOCK_SUBTREE:
                    yield Listing(feed, name, _RULE_OF_BITS[bits & BLOCK_SUBTREE], allow=False)
                if bits & ALLOW_SUBTREE:
                    yield Listing(feed, name, _RULE_OF_BITS[bits >> 2], allow=True)


def _has_its_actions(manifest: Manifest) -> bool:
    """Whether its actions are sound, and every number of an action, and of the feed of a client, stands for one."""
    if not all(map(is_sound, manifest.actions or ())):
        return False
    count, feeds = len(manifest.actions or ()), len(manifest.feeds)
    named = {action_of(said, below=below) for part in manifest.combinations for _, said in part for below in (False, True)}
    clients = manifest.clients or ()
    return max(named, default=0) <= count and all(0 < at.action <= count and 0 <= at.feed < feeds for at in clients)
