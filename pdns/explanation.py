"""All that is known of why a name or an address is listed, for people and for programs."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import msgspec

from pdns import feedstatus
from pdns.blockset import AddressListing, Blockset, Listing, Rule
from pdns.config import Config
from pdns.core import names
from pdns.errors import BlocksetError
from pdns.facts import Fact, Facts

_REACH = {Rule.EXACT: "this name only", Rule.SUBTREE: "the name and everything below it", Rule.BELOW: "everything below it"}
UNCONFIGURED = "no longer configured"


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What one feed says. Times are seconds since the epoch, 0 for unknown."""

    feed: str
    category: str
    mode: str  # block | monitor | no longer configured
    listed: str  # the name that is listed: the one that was asked about, or one above it; or the network
    rule: str  # exact | subtree | below | network
    allow: bool = False  # an exception
    threat: str = ""  # as the publisher calls it
    reference: str = ""
    published_s: float = 0.0  # first seen, as the publisher says
    first_seen_s: float = 0.0  # in this feed and here, to the day
    last_seen_s: float = 0.0  # when the feed last answered, and still listed it
    expires_s: float = 0.0  # when the publisher takes it back

    @property
    def reach(self) -> str:
        """The rule, in words."""
        if self.rule == "network":
            return "every address in it"
        return ("excepts " if self.allow else "") + _REACH[Rule[self.rule.upper()]]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Every feed that lists something."""

    asked: str
    generation: int  # of the blockset that says so; 0: there is none
    said: list[Said]
    problem: str = ""  # why less is known than could be


def of_name(config: Config, blockset: Blockset | None, name: bytes) -> Explanation:
    """Of a name in wire form and lower case."""
    if blockset is None:
        return Explanation(asked=names.to_text(name), generation=0, said=[])
    teller = _Teller(config, blockset)
    said = [teller.name(listing) for listing in blockset.lookup(name)]
    return Explanation(asked=names.to_text(name), generation=blockset.generation, said=said, problem=teller.problem)


def of_address(config: Config, blockset: Blockset | None, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Explanation:
    """Of an address that answers may lead to."""
    if blockset is None:
        return Explanation(asked=str(address), generation=0, said=[])
    teller = _Teller(config, blockset)
    said = [teller.address(listing) for listing in blockset.lookup_address(address.packed)]
    return Explanation(asked=str(address), generation=blockset.generation, said=said, problem=teller.problem)


class _Teller:
    def __init__(self, config: Config, blockset: Blockset) -> None:
        self._configured = {feed.name: feed for feed in config.feed}
        self._status = feedstatus.read(Path(config.state.dir)) or feedstatus.FeedsStatus()
        self._facts: Facts | None = None
        self.problem = ""
        try:
            self._facts = Facts(blockset)
        except BlocksetError as error:
            self.problem = str(error)

    def name(self, listing: Listing) -> Said:
        fact = self._facts.of(listing) if self._facts is not None else Fact()
        return self._said(listing.feed, names.to_text(listing.name), listing.rule.name.lower(), fact, allow=listing.allow)

    def address(self, listing: AddressListing) -> Said:
        fact = self._facts.of_address(listing) if self._facts is not None else Fact()
        return self._said(listing.feed, listing.network, "network", fact)

    def _said(self, name: str, listed: str, rule: str, fact: Fact, *, allow: bool = False) -> Said:
        feed, status = self._configured.get(name), self._status.feeds.get(name)
        return Said(
            feed=name,
            category=feed.category if feed is not None else "",
            mode=feed.mode if feed is not None else UNCONFIGURED,
            listed=listed,
            rule=rule,
            allow=allow,
            threat=fact.threat,
            reference=fact.reference,
            published_s=fact.published_s,
            first_seen_s=fact.first_seen_s,
            last_seen_s=status.last_success_s if status is not None else 0.0,
            expires_s=fact.expires_s,
        )
