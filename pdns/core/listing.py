"""What feeds say of a name or an address: bits, rules and listings."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

# What one feed says of one name, in bits: whether the name itself, and what is below it, is blocked or allowed.
BLOCK_NAME, BLOCK_BELOW, ALLOW_NAME, ALLOW_BELOW = 1, 2, 4, 8
BLOCK_SUBTREE, ALLOW_SUBTREE = BLOCK_NAME | BLOCK_BELOW, ALLOW_NAME | ALLOW_BELOW


class Rule(enum.IntEnum):
    """How far a listing reaches."""

    EXACT = 0  # the name only
    SUBTREE = 1  # the name and everything below it
    BELOW = 2  # everything below the name (`*.x`)


class Listing(NamedTuple):
    """What a feed says about a name."""

    feed: str
    name: bytes  # the listed name, wire form: the name that was asked about, or one above it
    rule: Rule
    allow: bool  # an exception of that feed


class AddressListing(NamedTuple):
    """What a feed says about an address."""

    feed: str
    network: str  # "192.0.2.0/24", a single address as "192.0.2.1/32"


class ListedFeed(Protocol):
    """One feed's part of a blockset."""

    @property
    def source(self) -> str:
        """The `source_fingerprint` of the settings that it was parsed with."""
        ...


class Listings(Protocol):
    """The listings of one generation: what a decision reads of a blockset. Immutable."""

    @property
    def feeds(self) -> Mapping[str, ListedFeed]:
        """Every feed that it holds, by name."""
        ...

    @property
    def lists_addresses(self) -> bool:
        """Whether any address or network is listed."""
        ...

    def find(self, filter_key: bytes, key: bytes) -> Sequence[tuple[int, int]]:
        """The listed names at and above one name, the most specific first: the wire length of each, and its code for `said`."""
        ...

    def said(self, code: int) -> Iterator[tuple[str, int, int]]:
        """What each feed says of a name with that code: feed, all its bits, and those that reach the name that was asked for."""
        ...

    def lookup_address(self, packed: bytes) -> tuple[AddressListing, ...]:
        """Every listed network that holds the address (4 or 16 bytes), the longest prefix first."""
        ...
