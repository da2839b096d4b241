"""Whether a name or an address is blocked, for whom, and on whose word: docs/policy.md is the table of who beats whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import NamedTuple, Self

from pdns.config.policies import DEFAULT_POLICY, NamedEntry, PolicySettings, policies_at
from pdns.config.schema import Config
from pdns.config.value_types import PolicyMode
from pdns.core.client_rules import CLIENT_RULE, MARK_SHIFT, MARKS, ClientRule, ClientRules
from pdns.core.clients import ClientTranslation
from pdns.core.embedded import Embeddings
from pdns.core.entry import Monitored, Verdict
from pdns.core.given import EVERY_FEED, GivenActions, is_exception
from pdns.core.listing import ALLOW_NAME, BLOCK_BELOW, BLOCK_SUBTREE, PASSTHRU, AddressListing, ListedAction, Listings
from pdns.core.local_rules import LOCAL, NO_RULES, EntryTable, LocalEntry, LocalRules, may_have, most_specific, nearest
from pdns.wire import names

TRANSLATED = 0x8000  # added to the policy number of clients that a DNS64 serves, where it does not serve all
_UNBLOCKED = ((LOCAL, LOCAL),)


class Decision(NamedTuple):
    """`verdict` when it is blocked; `monitored` names each (feed, category) in monitor mode that would have blocked it."""

    verdict: Verdict | None = None
    monitored: Monitored = ()
    reason: str = ""  # of the entry that decided
    rule: str = ""  # what decided, as a feed would write it: `x.example`, `*.x.example`, `192.0.2.1 (192.0.2.0/24)`
    by: str = ""  # who decided: a feed, `local`, `block.allow`, `policy NAME` or `tenant`; "" for no one
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


class _Feed(NamedTuple):
    order: int
    category: str
    mode: PolicyMode


class _Numbered(NamedTuple):
    """One policy as some tenants have it."""

    settings: PolicySettings
    own: EntryTable  # the tenant's entries
    layers: tuple[EntryTable, ...]  # those of its policy, then those of each policy that this one inherits from
    feeds: dict[str, _Feed]  # those that have a say
    paused: bool  # nothing is blocked: what would be is monitored


_Identity = tuple[str, tuple[str, ...], tuple[LocalEntry, ...], bool]
_EVERYONE: _Identity = (DEFAULT_POLICY, (), (), False)


class SettledPolicies:
    """The policies of a configuration at one time. Tables of entries are made once, for all policies that have them."""

    def __init__(self, config: Config, now_s: float) -> None:
        self._config, self._now_s = config, now_s
        self.policies = policies_at(config, now_s)
        self._tables: dict[int, EntryTable] = {}

    def holds(self, config: Config, now_s: float) -> bool:
        """Whether the policies of `config` are the same at `now_s`."""
        return config is self._config and self._now_s <= now_s < self.policies.until_s

    def table(self, entries: tuple[NamedEntry, ...]) -> EntryTable:
        """Of some `entries` of `policies`."""
        return self._tables.get(id(entries)) or self._tables.setdefault(id(entries), EntryTable(map(_entry, entries)))


class Policy:
    """All policies of one configuration, and of administrators, at one time. Tenants whose policies are equal have the same
    policy number, and so share cached answers. Number 0 is for clients of no tenant.
    """

    def __init__(self, config: Config, local: LocalRules = NO_RULES, now_s: float = 0.0, before: Self | None = None) -> None:
        """`now_s`, in seconds since the epoch, decides which schedules and entries are in force until `until_s`. Policies that
        were there `before` keep their numbers, as questions may be out.
        """
        known = before.settled if before is not None else None
        self.settled: SettledPolicies = known if known and known.holds(config, now_s) else SettledPolicies(config, now_s)
        policies = self.settled.policies
        self.until_s = policies.until_s
        self.given = GivenActions(config)
        self._embeddings = Embeddings.of(config)
        self._everyones = (self.settled.table(policies.everyones), local.everyones)
        self.numbers: dict[_Identity, int] = {}
        self.tenant_policies = self._number(config, local, before)
        self.numbered: dict[int, _Numbered] = {}
        for identity, number in self.numbers.items():
            name, allow, entries, paused = identity
            settings = policies.settings[name]
            own = EntryTable((*(_allowed(text) for text in allow), *entries))
            feeds = {
                feed.name: _Feed(order, feed.category, "monitor" if paused else mode)
                for order, feed in enumerate(config.feed)
                if (mode := settings.modes[feed.name]) != "off" and feed.name not in local.disabled
            }
            layers = tuple(map(self.settled.table, settings.layers))
            self.numbered[number] = _Numbered(settings, own, layers, feeds, paused)
        self._gone = {number: one for number, one in before.numbered.items() if number not in self.numbered} if before else {}
        every = self._every_table()
        self.blocked_filter_keys = _union([table.blocked_filter_keys for table in every])
        """The last two labels, or the last one, of every name that an entry blocks for anybody."""
        self.allowed_filter_keys = _union([table.allowed_filter_keys for table in every])
        """Likewise of every name that an entry allows."""
        self.entry_filter_keys = _union([self.blocked_filter_keys, self.allowed_filter_keys])
        """Both."""
        self.forwards_unready = any(one.settings.forwards_unready for one in self.numbered.values())
        self._marks = MARKS if max(self.numbered) < 1 << MARK_SHIFT else 0
        self._decided_for: Listings | None = None  # the blockset that the shared decisions are of
        self._client_rules: ClientRules | None = None  # of that blockset
        self._shared_decisions: dict[tuple[int, int | tuple[int, ...]], SharedDecision | None] = {}
        # Answers to clients that the DNS64 serves differ from those to others, so that these need policies of their own.
        self._translates_some = bool(config.dns64.prefix and config.dns64.networks)
        self.translation = ClientTranslation(config.dns64.networks, TRANSLATED if self._translates_some else 0)

    def _every_table(self) -> list[EntryTable]:
        tables = [*self._everyones, *(table for one in self.numbered.values() for table in (one.own, *one.layers))]
        return list({id(table): table for table in tables}.values())

    def _number(self, config: Config, local: LocalRules, before: Self | None) -> list[int]:
        """The policy number of each tenant."""
        known: Mapping[_Identity, int] = before.numbers if before is not None else {_EVERYONE: 0}
        wanted = [_EVERYONE]
        for tenant in config.tenant:
            allow = tuple(sorted(set(tenant.allow)))
            wanted.append((tenant.policy, allow, local.tenants.get(tenant.name, ()), tenant.name in local.paused))
        self.numbers = {identity: known[identity] for identity in wanted if identity in known}
        taken = set(known.values())
        number = 0
        for identity in wanted:
            if identity not in self.numbers:
                while number in taken:
                    number += 1
                taken.add(number)
                self.numbers[identity] = number
        return [self.numbers[identity] for identity in wanted[1:]]

    def _of(self, number: int) -> _Numbered:
        """Of a policy that is gone, as it was before the last change: a question may be out. After that, that of everyone."""
        number &= ~(TRANSLATED | self._marks)
        return self.numbered.get(number) or self._gone.get(number) or self.numbered[0]

    def client_rules(self, blockset: Listings | None) -> ClientRules | None:
        """What feeds answer clients whatever they ask, if there are such feeds."""
        if blockset is None or not self.given or not self._marks:
            return None
        self._decide_for(blockset)
        return self._client_rules

    def _decide_for(self, blockset: Listings) -> None:
        if blockset is not self._decided_for:
            self._decided_for = blockset
            self._shared_decisions = {}
            lists_clients = self.given and self._marks and blockset.clients
            self._client_rules = ClientRules(blockset, self.given, self.mode) if lists_clients else None

    def _client_rule(self, blockset: Listings | None, policy: int) -> ClientRule | None:
        rules = self.client_rules(blockset) if policy & self._marks else None
        rule = rules.of(policy) if rules is not None else None
        return rule if rule is not None and rule.feed in self._of(policy).feeds else None

    def settings(self, policy: int) -> PolicySettings:
        """What the configuration says of a policy."""
        return self._of(policy).settings

    def mode(self, policy: int, feed: str) -> PolicyMode:
        """What a feed may do for the clients of `policy`, now."""
        found = self._of(policy).feeds.get(feed)
        return "off" if found is None else found.mode

    def is_translated(self, policy: int) -> bool:
        """Whether the clients of `policy` are among those that a DNS64 serves, if there is one."""
        return not self._translates_some or policy >= TRANSLATED

    def allows(self, policy: int, name: bytes) -> bool:
        """Whether an entry takes `name`, and all that it leads to, out of blocking."""
        if not may_have(self.allowed_filter_keys, names.filter_key(name)):
            return False
        entry = self._find(self._of(policy), name)
        return entry is not None and entry.allow

    def _find(self, one: _Numbered, name: bytes) -> LocalEntry | None:
        """The entry that decides: the tenant's and those of its policy come before everyone's."""
        entry = one.own.find(name)
        if one.layers:
            entry = most_specific((entry, nearest(table.find(name) for table in one.layers)))
        if entry is not None:
            return entry
        return most_specific(table.find(name) for table in self._everyones)

    def entry_names(self) -> Iterator[bytes]:
        """Every name that there is an entry about, for anybody."""
        for table in self._every_table():
            yield from table.names()

    def decide_here(self, policy: int, name: bytes, filter_key: bytes) -> Decision | None:
        """The decision on `name`, whose last two labels are `filter_key`, if an entry blocks it; feeds aside."""
        if not may_have(self.blocked_filter_keys, filter_key):
            return None
        one = self._of(policy)
        entry = self._find(one, name)
        return None if entry is None or entry.allow else _blocked_by(entry, one)

    def decide(self, blockset: Listings | None, policy: int, name: bytes) -> Decision:
        """What is said of `name`, here and by the feeds. An entry beats every feed; within one feed the more specific listing
        wins, and an exception wins over a listing of the same name. Feeds in monitor mode never block.
        """
        filter_key = names.filter_key(name)
        found = blockset.find(filter_key, names.reversed_key(name)) if blockset is not None else ()
        shared = self.decide_listings(blockset, found, policy) if blockset is not None and found else None
        one = self._of(policy)
        if may_have(self.entry_filter_keys, filter_key) and (entry := self._find(one, name)) is not None:
            if entry.allow:
                return Decision(None, (), entry.reason, entry.rule, entry.source)
            here = _blocked_by(entry, one)
            return here if shared is None else here._replace(monitored=here.monitored + shared.monitored)
        client = self._client_rule(blockset, policy) if shared is None or not shared.feed else None
        if client is not None and (shared is None or client.place < shared.stops_at):
            return self._decide_client(client, policy, name, () if shared is None else shared.monitored)
        if shared is None:
            return CLEAN
        if not shared.feed:
            return Decision(None, shared.monitored, stops_at=shared.stops_at)
        listed = name[len(name) - found[shared.at][0] :]
        given = shared.given
        action = one.settings.action_of(shared.category) if given is None else given.kind
        verdict = Verdict(shared.feed, shared.category, listed, action, shared.also)
        rule = _rule(listed, below_only=shared.below_only)
        return Decision(verdict, shared.monitored, "", rule, shared.feed, given, name)

    def _decide_client(self, rule: ClientRule, policy: int, name: bytes, monitored: Monitored) -> Decision:
        """The decision about a client that a feed lists, on a name that no feed before it blocks."""
        one = self._of(policy)
        category = one.feeds[rule.feed].category
        if not _acts(rule.feed, one.feeds):
            return Decision(None, (*monitored, *(((rule.feed, category),) if rule.action.kind != PASSTHRU else ())))
        if rule.action.kind == PASSTHRU:
            return Decision(None, monitored, stops_at=rule.place)
        verdict = Verdict(rule.feed, category, name, rule.action.kind)
        return Decision(verdict, monitored, "", CLIENT_RULE, rule.feed, rule.action, name)

    def decide_listings(self, blockset: Listings, found: Sequence[tuple[int, int]], policy: int) -> SharedDecision | None:
        """The verdict on what `Listings.find` found, entries aside; None when nothing of it blocks, in earnest or not."""
        self._decide_for(blockset)
        key = (policy & ~TRANSLATED, found[0][1] if len(found) == 1 else tuple(code for _, code in found))
        try:
            return self._shared_decisions[key]
        except KeyError:
            feeds = self._of(policy).feeds
            rule = self._client_rule(blockset, policy)
            if rule is not None and _acts(rule.feed, feeds):
                feeds = {name: feed for name, feed in feeds.items() if feed.order < rule.place}
            return self._shared_decisions.setdefault(key, self._decide_listings(blockset, found, feeds))

    def _decide_listings(
        self, blockset: Listings, found: Sequence[tuple[int, int]], feeds: Mapping[str, _Feed]
    ) -> SharedDecision | None:
        said: dict[str, tuple[int, int, int]] = {}
        allowing: set[str] = set()
        for at, (_, code) in enumerate(found):  # the most specific first
            for feed, bits, reaching, action in blockset.said(code):
                if reaching and feed not in said:
                    said[feed] = (at, bits & BLOCK_SUBTREE, action)
                    if reaching & ALLOW_NAME:
                        allowing.add(feed)
        stops_at = self.given.stops_at(blockset, ((feed, said[feed][2]) for feed in said if _acts(feed, feeds)))
        blocking = [feed for feed in said if feed not in allowing and feed in feeds and feeds[feed].order < stops_at]
        if not blocking:
            return None if stops_at == EVERY_FEED else SharedDecision(0, "", "", (), (), stops_at=stops_at)
        earnest, monitored = _weigh(blocking, feeds)
        if not earnest:
            return SharedDecision(0, "", "", (), monitored, stops_at=stops_at)
        chosen, *also = earnest
        at, bits, action = said[chosen]
        given = self.given.action(blockset, chosen, action)
        return SharedDecision(at, chosen, feeds[chosen].category, tuple(also), monitored, bits == BLOCK_BELOW, given)

    def decide_address(self, blockset: Listings | None, policy: int, packed: bytes, name: bytes) -> Decision:
        """What the feeds say of an address that `name` leads to."""
        listings = self.listings(blockset, packed) if blockset is not None else ()
        if not listings or blockset is None:
            return CLEAN
        one = self._of(policy)
        first: dict[str, AddressListing] = {}  # of each feed, that of the longest prefix
        for listing in listings:
            if listing.feed in one.feeds:
                first.setdefault(listing.feed, listing)
        acting = ((feed, listing.action) for feed, listing in first.items() if _acts(feed, one.feeds))
        stops_at = self.given.stops_at(blockset, acting)
        blocking = [
            feed
            for feed, listing in first.items()
            if one.feeds[feed].order < stops_at and not (listing.action and is_exception(blockset, listing.action))
        ]
        if not blocking:
            return CLEAN
        earnest, monitored = _weigh(blocking, one.feeds)
        if not earnest:
            return Decision(None, monitored)
        chosen, *also = earnest
        given = self.given.action(blockset, chosen, first[chosen].action)
        category = one.feeds[chosen].category
        action = one.settings.action_of(category) if given is None else given.kind
        verdict = Verdict(chosen, category, name, action, tuple(also))
        return Decision(verdict, monitored, "", _address_rule(packed, first[chosen].network), chosen, given, name)

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


def _blocked_by(entry: LocalEntry, one: _Numbered) -> Decision:
    """The decision on a name that an entry blocks."""
    if one.paused:
        return Decision(None, _UNBLOCKED, entry.reason, entry.rule, entry.source)
    verdict = Verdict(LOCAL, LOCAL, entry.name, one.settings.action_of(LOCAL))
    return Decision(verdict, (), entry.reason, entry.rule, entry.source)


def merge(first: Decision, second: Decision) -> Decision:
    """Both: the first verdict there is, everything monitored once."""
    if second is CLEAN:
        return first
    if first is CLEAN:
        return second
    decided = first if first.verdict is not None else second
    monitored = tuple(dict.fromkeys(first.monitored + second.monitored))
    return decided._replace(monitored=monitored, stops_at=min(first.stops_at, second.stops_at))


def _acts(feed: str, feeds: Mapping[str, _Feed]) -> bool:
    return feed in feeds and feeds[feed].mode == "block"


def _weigh(names_of_feeds: Sequence[str], feeds: Mapping[str, _Feed]) -> tuple[list[str], Monitored]:
    """Those that block, the one that decides first; and those in monitor mode, with their categories."""
    earnest = sorted((name for name in names_of_feeds if feeds[name].mode == "block"), key=lambda name: feeds[name].order)
    return earnest, tuple((name, feeds[name].category) for name in names_of_feeds if feeds[name].mode != "block")


def _entry(entry: NamedEntry) -> LocalEntry:
    below = entry.name.startswith("*.")
    return LocalEntry(names.from_text(entry.name[2 * below :]), below, entry.allow, entry.reason, entry.source)


def _allowed(text: str) -> LocalEntry:
    return _entry(NamedEntry(name=text, allow=True, reason="", source="tenant"))


def _union(sets: Sequence[frozenset[bytes]]) -> frozenset[bytes]:
    """One of them as it is where the others are empty."""
    full = [one for one in sets if one]
    return full[0] if len(full) == 1 else frozenset().union(*full)


def _rule(listed: bytes, *, below_only: bool) -> str:
    return "*." * below_only + names.to_text(listed)


def _address_rule(packed: bytes, network: str) -> str:
    address = ip_address(packed)
    return str(address) if network == f"{address}/{address.max_prefixlen}" else f"{address} ({network})"
