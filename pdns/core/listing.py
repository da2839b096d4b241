"""What feeds say of a name or an address: bits, rules and listings."""

from __future__ import annotations

import enum
from typing import NamedTuple

# What one feed says of one name, in bits: whether the name itself, and what is below it, is blocked or allowed.
BLOCK_NAME, BLOCK_BELOW, ALLOW_NAME, ALLOW_BELOW = 1, 2, 4, 8
BLOCK_SUBTREE, ALLOW_SUBTREE = BLOCK_NAME | BLOCK_BELOW, ALLOW_NAME | ALLOW_BELOW


class Rule(enum.IntEnum):
    """How far a listing reaches."""

    EXACT = 0  # the name only
    SUBTREE = 1  # the name and everything below it
    BELOW = 2  # everything below the name (`*.x`)


class Listing(NamedTuple):
    """A feed's word on a name."""

    feed: str
    name: bytes  # the listed name, wire form: the name that was asked about, or one above it
    rule: Rule
    allow: bool  # an exception of that feed


class AddressListing(NamedTuple):
    """A feed's word on an address."""

    feed: str
    network: str  # "192.0.2.0/24", a single address as "192.0.2.1/32"
