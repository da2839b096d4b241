"""Whether a name or an address is blocked, for whom, and on whose word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from pdns.config.schema import Config
from pdns.core.clients import ClientTranslation
from pdns.core.embedded import Embeddings
from pdns.core.entry import Monitored, Verdict
from pdns.core.given import EVERY_FEED, GivenActions, is_exception
from pdns.core.listing import (
    ALLOW_NAME,
    BLOCK_BELOW,
    BLOCK_SUBTREE,
    AddressListing,
    ListedAction,
    Listings,
    Rule,
)
from pdns.core.local_rules import LOCAL, NO_RULES, LocalEntry, LocalRules
from pdns.wire import names


class Decision(NamedTuple):
    """`verdict` when it is blocked; `monitored` names each (feed, category) in monitor mode that would have blocked it."""

    verdict: Verdict | None = None
    monitored: Monitored = ()
    reason: str = ""  # an administrator's, of a name that is blocked here
    rule: str = ""  # what blocks it, as a feed would write it: `x.example`, `*.x.example`, `192.0.2.1 (192.0.2.0/24)`
    given: ListedAction | None = None  # what the feed answers, where that counts
    name: bytes = b""  # the name that `given` is for: the queried one, or one that the answer leads to
    stops_at: int = EVERY_FEED  # the place of the first feed that has no say, as a feed excepts the name from it


CLEAN = Decision()


class SharedDecision(NamedTuple):
    """What follows from the listings of a name, whichever name it is."""

    at: int  # which of the listings decided, in the order of `Listings.find`
    feed: str  # "" when only feeds in monitor mode would block
    category: str
    also: tuple[str, ...]  # other feeds that would block it
    monitored: Monitored
    below_only: bool = False  # the listing that decided is for what is below the listed name
    given: ListedAction | None = None  # as in a decision
    stops_at: int = EVERY_FEED


class AllowList:
    """Names that are never blocked: each with everything below it, or (`*.x`) only what is below."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._rules: dict[bytes, Rule] = {}
        for text in entries:
            below = text.startswith("*.")
            name = names.from_text(text[2:] if below else text)
            if not below or name not in self._rules:
                self._rules[name] = Rule.BELOW if below else Rule.SUBTREE

    def __len__(self) -> int:
        return len(self._rules)

    def allows(self, name: bytes) -> bool:
        """Whether `name` is on the list."""
        if not self._rules:
            return False
        return any(
            (rule := self._rules.get(ancestor)) is not None and (rule is Rule.SUBTREE or ancestor != name)
            for ancestor in names.ancestors(name)
        )


class Policy:
    """The rules of one configuration, and of an administrator. Tenants with the same allowlist share a policy number, and so
    its cache entries.

    Who beats whom: an allowlist of the configuration, everyone's or the tenant's; then the most specific local entry; then feeds.
    """

    def __init__(self, config: Config, local: LocalRules = NO_RULES) -> None:
        self._feeds = {
            feed.name: (order, feed.category, feed.mode == "block")
            for order, feed in enumerate(config.feed)
            if feed.name not in local.disabled
        }
        self.given = GivenActions(config)
        self._local = local
        self._action = config.block.action
        self._embeddings = Embeddings.of(config)
        numbers: dict[tuple[str, ...], int] = {(): 0}
        self.tenant_policies = [numbers.setdefault(tuple(sorted(set(tenant.allow))), len(numbers)) for tenant in config.tenant]
        self._decided_for: Listings | None = None  # the blockset that the shared decisions are of
        self._shared_decisions: dict[int | tuple[int, ...], SharedDecision | None] = {}
        self._allow = [AllowList((*config.block.allow, *own)) for own in numbers]
        # Answers to clients that the DNS64 serves differ from those to others, so that these need policies of their own.
        self._split_at = len(self._allow) if config.dns64.prefix and config.dns64.networks else 0
        self.translation = ClientTranslation(config.dns64.networks, self._split_at)
        if self._split_at:
            self._allow *= 2

    def is_translated(self, policy: int) -> bool:
        """Whether the clients of `policy` are among those that a DNS64 serves, if there is one."""
        return policy >= self._split_at

    @property
    def has_allowlist(self) -> list[bool]:
        """Of each policy, whether an allowlist could take anything out of blocking."""
        return [bool(allow) or self._local.allows_any for allow in self._allow]

    def _allowlist(self, policy: int) -> AllowList:
        """That of everyone for a policy that is no more: a question may be out while policies change."""
        return self._allow[policy if policy < len(self._allow) else 0]

    def allows(self, policy: int, name: bytes) -> bool:
        """Whether an allowlist or a local entry takes `name`, and all that it leads to, out of blocking."""
        if self._allowlist(policy).allows(name):
            return True
        return self._local.allows_any and (entry := self._local.find(name)) is not None and entry.allow

    def blocked_locally(self, policy: int, name: bytes, filter_key: bytes) -> LocalEntry | None:
        """The local entry that blocks `name`, whose last two labels are `filter_key`, if one does."""
        if not self._local.may_block(filter_key):
            return None
        entry = self._local.find(name)
        return None if entry is None or entry.allow or self._allowlist(policy).allows(name) else entry

    def decide(self, blockset: Listings | None, policy: int, name: bytes) -> Decision:
        """What is said of `name`, here and by the feeds. An allowlist beats both; within one feed the more specific listing
        wins, and an exception wins over a listing of the same name. Feeds in monitor mode never block.
        """
        filter_key = names.filter_key(name)
        if (entry := self.blocked_locally(policy, name, filter_key)) is not None:
            rule = _rule(entry.name, below_only=entry.below_only)
            return Decision(Verdict(LOCAL, LOCAL, entry.name, self._action), (), entry.reason, rule)
        found = blockset.find(filter_key, names.reversed_key(name)) if blockset is not None else ()
        shared = self.decide_listings(blockset, found) if blockset is not None and found else None
        if shared is None or self.allows(policy, name):
            return CLEAN
        if not shared.feed:
            return Decision(None, shared.monitored, stops_at=shared.stops_at)
        listed = name[len(name) - found[shared.at][0] :]
        action = shared.given.kind if shared.given is not None else self._action
        verdict = Verdict(shared.feed, shared.category, listed, action, shared.also)
        return Decision(verdict, shared.monitored, "", _rule(listed, below_only=shared.below_only), shared.given, name)

    def decide_listings(self, blockset: Listings, found: Sequence[tuple[int, int]]) -> SharedDecision | None:
        """The verdict on what `Listings.find` found, allowlists aside; None when nothing of it blocks, in earnest or not."""
        if blockset is not self._decided_for:
            self._decided_for = blockset
            self._shared_decisions = {}
        codes = found[0][1] if len(found) == 1 else tuple(code for _, code in found)
        try:
            return self._shared_decisions[codes]
        except KeyError:
            return self._shared_decisions.setdefault(codes, self._decide_listings(blockset, found))

    def _decide_listings(self, blockset: Listings, found: Sequence[tuple[int, int]]) -> SharedDecision | None:
        said: dict[str, tuple[int, int, int]] = {}
        allowing: set[str] = set()
        for at, (_, code) in enumerate(found):  # the most specific first
            for feed, bits, reaching, action in blockset.said(code):
                if reaching and feed not in said:
                    said[feed] = (at, bits & BLOCK_SUBTREE, action)
                    if reaching & ALLOW_NAME:
                        allowing.add(feed)
        stops_at = self.given.stops_at(blockset, ((feed, said[feed][2]) for feed in said if feed in self._feeds))
        blocking = [feed for feed in said if feed not in allowing and feed in self._feeds and self._feeds[feed][0] < stops_at]
        if not blocking:
            return None if stops_at == EVERY_FEED else SharedDecision(0, "", "", (), (), stops_at=stops_at)
        earnest, monitored = self._weigh(blocking)
        if not earnest:
            return SharedDecision(0, "", "", (), monitored, stops_at=stops_at)
        chosen, *also = earnest
        at, bits, action = said[chosen]
        given = self.given.action(blockset, chosen, action)
        return SharedDecision(at, chosen, self._feeds[chosen][1], tuple(also), monitored, bits == BLOCK_BELOW, given)

    def decide_address(self, blockset: Listings | None, packed: bytes, name: bytes) -> Decision:
        """What the feeds say of an address that `name` leads to."""
        listings = self.listings(blockset, packed) if blockset is not None else ()
        if not listings or blockset is None:
            return CLEAN
        first: dict[str, AddressListing] = {}  # of each feed, that of the longest prefix
        for listing in listings:
            if listing.feed in self._feeds:
                first.setdefault(listing.feed, listing)
        stops_at = self.given.stops_at(blockset, ((listing.feed, listing.action) for listing in first.values()))
        feeds = [
            feed
            for feed, listing in first.items()
            if self._feeds[feed][0] < stops_at and not (listing.action and is_exception(blockset, listing.action))
        ]
        if not feeds:
            return CLEAN
        earnest, monitored = self._weigh(feeds)
        if not earnest:
            return Decision(None, monitored)
        chosen, *also = earnest
        given = self.given.action(blockset, chosen, first[chosen].action)
        verdict = Verdict(chosen, self._feeds[chosen][1], name, self._action if given is None else given.kind, tuple(also))
        return Decision(verdict, monitored, "", _address_rule(packed, first[chosen].network), given, name)

    def within(self, decision: Decision, stops_at: int) -> Decision:
        """`decision`, of something that a name leads to, without the feeds from that place on."""
        if stops_at == EVERY_FEED or decision is CLEAN:
            return decision
        verdict, place = decision.verdict, self.given.place
        monitored = tuple(one for one in decision.monitored if place(one[0]) < stops_at)
        if verdict is None or (verdict.feed != LOCAL and place(verdict.feed) >= stops_at):
            return Decision(None, monitored)
        also = tuple(feed for feed in verdict.also if place(feed) < stops_at)
        return decision._replace(verdict=verdict._replace(also=also), monitored=monitored)

    def listings(self, blockset: Listings, packed: bytes) -> tuple[AddressListing, ...]:
        """What the feeds list of an address, also of an IPv4 address that is reached through it."""
        return self._embeddings.lookup(blockset, packed)

    def _weigh(self, feeds: Sequence[str]) -> tuple[list[str], Monitored]:
        """Those of `feeds` that block, the one that decides first; and those in monitor mode, with their categories."""
        earnest = sorted((feed for feed in feeds if self._feeds[feed][2]), key=lambda feed: self._feeds[feed][0])
        return earnest, tuple((feed, self._feeds[feed][1]) for feed in feeds if not self._feeds[feed][2])


def merge(first: Decision, second: Decision) -> Decision:
    """Both: the first verdict there is, everything monitored once."""
    if second is CLEAN:
        return first
    if first is CLEAN:
        return second
    decided = first if first.verdict is not None else second
    return decided._replace(
        monitored=tuple(dict.fromkeys(first.monitored + second.monitored)), stops_at=min(first.stops_at, second.stops_at)
    )


def _rule(listed: bytes, *, below_only: bool) -> str:
    return "*." * below_only + names.to_text(listed)


def _address_rule(packed: bytes, network: str) -> str:
    address = ip_address(packed)
    return str(address) if network == f"{address}/{address.max_prefixlen}" else f"{address} ({network})"
