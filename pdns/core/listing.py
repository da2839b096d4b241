"""What feeds say of a name or an address: bits, rules and listings."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

# What one feed says of one name, in bits: whether the name itself, and what is below it, is blocked or allowed.
BLOCK_NAME, BLOCK_BELOW, ALLOW_NAME, ALLOW_BELOW = 1, 2, 4, 8
BLOCK_SUBTREE, ALLOW_SUBTREE = BLOCK_NAME | BLOCK_BELOW, ALLOW_NAME | ALLOW_BELOW


class Rule(enum.IntEnum):
    """How far a listing reaches."""

    EXACT = 0  # the name only
    SUBTREE = 1  # the name and everything below it
    BELOW = 2  # everything below the name (`*.x`)


NXDOMAIN, NODATA, PASSTHRU, DROP, TCP_ONLY, LOCAL_DATA = "nxdomain", "nodata", "passthru", "drop", "tcp-only", "local-data"
NO_ACTION: Final = 0  # the number of "as the policy says"
MAX_ACTIONS: Final = 0xFFFF  # different ones that a blockset has
_ACTION_SHIFT: Final = 8  # bits and two numbers of actions are kept in one integer, which is the bits where there are no actions
_ACTION_BITS: Final = 16
_BITS: Final = BLOCK_SUBTREE | ALLOW_SUBTREE


class ListedAction(NamedTuple):
    """The answer that a feed gives to a name or address that it lists."""

    kind: str  # one of the six above, or an action of the configuration
    data: tuple[tuple[int, tuple[bytes, ...]], ...] = ()  # of local data: type and RDATA of each RRset, in the order of types

    def rdatas(self, rtype: int) -> tuple[bytes, ...]:
        """The RDATA of the local data of that type."""
        return next((rdatas for known, rdatas in self.data if known == rtype), ())


def is_sound(action: ListedAction) -> bool:
    """Whether it is one that a list can have: what a damaged file says need not be."""
    if action.kind != LOCAL_DATA:
        return action.kind in (NXDOMAIN, NODATA, PASSTHRU, DROP, TCP_ONLY) and not action.data
    return bool(action.data) and all(0 < rtype < 0xFFFF and rdatas for rtype, rdatas in action.data)


def with_actions(bits: int, at_name: int, below: int) -> int:
    """`bits`, with the numbers of the actions for the name and for what is below it."""
    return bits | at_name << _ACTION_SHIFT | below << _ACTION_SHIFT + _ACTION_BITS


def bits_of(said: int) -> int:
    """The bits that were given to `with_actions`."""
    return said & _BITS


def action_of(said: int, *, below: bool) -> int:
    """The number of an action that was given to `with_actions`."""
    return said >> _ACTION_SHIFT + _ACTION_BITS * below & MAX_ACTIONS


class Listing(NamedTuple):
    """What a feed says about a name."""

    feed: str
    name: bytes  # the listed name, wire form: the name that was asked about, or one above it
    rule: Rule
    allow: bool  # an exception of that feed
    action: int = NO_ACTION  # index into `Listings.actions`


class AddressListing(NamedTuple):
    """What a feed says about an address."""

    feed: str
    network: str  # "192.0.2.0/24", a single address as "192.0.2.1/32"
    action: int = NO_ACTION  # as of a name


class ClientListing(NamedTuple):
    """What a feed says about clients."""

    feed: str
    network: str  # as above
    action: int


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

    def said(self, code: int) -> Iterator[tuple[str, int, int, int]]:
        """What each feed says of a name with that code: feed, all its bits, those that reach the name that was asked for, and the
        number of the action for that name.
        """
        ...

    @property
    def actions(self) -> Sequence[ListedAction | None]:
        """By number, the answers that feeds give to what they list. The first is None: as the policy says."""
        ...

    @property
    def clients(self) -> Sequence[ClientListing]:
        """The networks of clients that feeds have an action for."""
        ...

    def lookup_address(self, packed: bytes) -> tuple[AddressListing, ...]:
        """Every listed network that holds the address (4 or 16 bytes), the longest prefix first."""
        ...
