"""Why a name or an address is listed, for people and for programs."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from pdns.answer_preview import answers_leading_to, answers_to, client_of_tenant, policy_number
from pdns.blockset.annotations import Annotation, Annotations
from pdns.blockset.generations import current_directory
from pdns.blockset.reader import Blockset
from pdns.config.addresses import parse_address
from pdns.config.groups import server_groups
from pdns.config.policies import policies_at
from pdns.config.schema import Config
from pdns.core.allow_list import AllowList
from pdns.core.embedded import Embeddings
from pdns.core.listing import AddressListing, Listing, Rule
from pdns.core.policy import Policy
from pdns.core.records import LocalRecords
from pdns.core.routes import DEFAULT_ROUTE, Routes
from pdns.core.special_names import SPECIAL_ZONES, UNDELEGATED_ZONES, SpecialNames
from pdns.errors import BlocksetError, InvalidAddress, InvalidName, OtherFormatError, PdnsError
from pdns.state import feed_status, overrides
from pdns.state.overrides import Overrides
from pdns.wire import names
from pdns.wire import protocol as p

_REACH = {Rule.EXACT: "this name only", Rule.SUBTREE: "the name and everything below it", Rule.BELOW: "everything below it"}
UNCONFIGURED = "no longer configured"
NO_STATES: Mapping[str, str] = MappingProxyType({})


class FeedStatement(msgspec.Struct, frozen=True, kw_only=True):
    """The listing of a name by one feed. Times are seconds since the epoch, 0 for unknown."""

    feed: str
    category: str
    mode: str  # block | monitor | no longer configured
    listed: str  # the name that is listed: the one that was asked about, or one above it; or the network
    rule: str  # exact | subtree | below | network
    allow: bool = False  # an exception
    disabled: bool = False  # the feed is switched off: its listing has no effect
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


class LocalStatement(msgspec.Struct, frozen=True, kw_only=True):
    """The local entry for a name, which beats every feed."""

    name: str  # the name itself or one above it; `*.x`: only what is below x
    action: str  # block | allow
    reason: str


class LocalRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The name whose local records answer, before every feed and special name."""

    name: str  # the name itself, or a wildcard
    source: str  # "[[record]]", or the path of a file


class RouteStatement(msgspec.Struct, frozen=True, kw_only=True):
    """Where a question goes that is not answered or blocked here, and why."""

    zone: str  # the name of the zone that decides; "": none does
    group: str
    servers: list[str]
    strategy: str  # fastest | ordered | parallel
    fallback: str  # the group that is asked when this one fails; "": none
    checked: bool = True  # feeds and blocks have a say
    states: dict[str, str] = {}  # server -> up | down | useless, as far as that is known


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the configuration that keeps a name from being blocked."""

    by: str  # "block.allow", or "tenant" or "policy" and its name: for clients of that tenant, or of those
    name: str  # the name itself or one above it; `*.x`: only what is below x


class PolicyStatement(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy of a client decides on a name, whatever it leads to."""

    policy: str
    outcome: str  # blocked | allowed | monitored | passes
    by: str = ""  # who says so: a feed, "local", "block.allow", "policy NAME" or "tenant"
    rule: str = ""  # the name that is listed, or that the entry is about: `x`, or `*.x`
    reason: str = ""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Every feed that lists a name or an address, and the local entry for it."""

    asked: str
    generation: int  # of the blockset; 0: there is none
    said: list[FeedStatement]
    local: LocalStatement | None = None
    record: LocalRecord | None = None
    allowed: list[Allowed] = []
    decision: PolicyStatement | None = None  # for the client that was asked about
    route: RouteStatement | None = None  # None for an address, and for a special-use name
    problem: str = ""  # why details are missing
    answers: dict[str, str] = {}  # query type -> what a client gets, where that was asked for


class UnknownError(PdnsError):
    """The listing is unknown: the blockset is missing, unreadable or from another version of the program.

    `advice` is what to do about it, if known.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(f"{reason}; {advice}" if advice else reason)
        self.advice = advice


def host_of(asked: str) -> str:
    """The host in a URL, or before a port or a path; a name or an address as it is. Raises `InvalidName` where there is none."""
    try:
        if ipaddress.ip_network(asked).num_addresses == 1:
            return asked
    except ValueError:
        pass
    else:
        raise InvalidName("a network: ask about one of its addresses")
    if "\\" in asked or not any(mark in asked for mark in "/:?"):
        return asked
    try:
        host = urlsplit(asked if "://" in asked else f"//{asked}").hostname
    except ValueError:
        host = None
    if not host:
        raise InvalidName("a URL without a host")
    return host


def live_blockset(config: Config) -> Blockset | None:
    """The live blockset; None if no feed is configured. Raises `UnknownError`."""
    if not config.feed:
        return None
    try:
        return Blockset.open(current_directory(Path(config.state.dir)))
    except OtherFormatError as error:
        advice = "use the version of pdns that runs, or upgrade the running one to this version: SIGUSR2 to the supervisor"
        raise UnknownError(f"which feeds list it is not known: {error}", advice) from None
    except BlocksetError as error:
        raise UnknownError(f"which feeds list it is not known: {error}") from None


def explain(
    config: Config, asked: str, now_s: float, *, tenant: str = "", client: str = "", states: Mapping[str, str] = NO_STATES
) -> Explanation:
    """Explain a name or an address by the live blockset, with the answers for a client of `tenant` or at the address `client`.
    `states` of upstreams as `pdns.telemetry.upstream_states` has them.

    Raises `InvalidName`, `UnknownError`, `ValueError` for an unknown tenant or client, and the errors of `overrides.read`.
    """
    asked = host_of(asked)
    current = overrides.read(Path(config.state.dir)).at(now_s)
    blockset = live_blockset(config)
    if tenant and client:
        raise ValueError("expected one of tenant and client")
    try:
        who = str(parse_address(client)) if client else client_of_tenant(config, tenant)
    except LookupError as error:
        raise ValueError(str(error.args[0])) from None
    except InvalidAddress as error:
        raise ValueError(f"client: {error}") from None
    try:
        address = ipaddress.ip_address(asked)
    except ValueError:
        name = names.from_text(asked)
        answers = answers_to(config, blockset, current, name, who, now_s)
        decision = decision_for(config, blockset, current, name, who, now_s)
        return replace(of_name(config, blockset, current, name, states, now_s), answers=answers, decision=decision)
    answers = answers_leading_to(config, blockset, current, address, who, now_s)
    return replace(of_address(config, blockset, current, address), answers=answers)


def of_name(
    config: Config,
    blockset: Blockset | None,
    current: Overrides,
    name: bytes,
    states: Mapping[str, str] = NO_STATES,
    now_s: float = 0.0,
) -> Explanation:
    """Explain a name in wire form and lower case; `current` is in force."""
    teller = _Teller(config, blockset, current)
    said = [teller.name(listing) for listing in blockset.lookup(name)] if blockset is not None else []
    explanation = teller.explanation(names.to_text(name), said, _said_here(current, name))
    route = None if _is_special(config, name) else route_of(config, name, states)
    return replace(explanation, allowed=_allowed(config, name, now_s), record=_local_record(config, name), route=route)


def decision_for(
    config: Config, blockset: Blockset | None, current: Overrides, name: bytes, address: str, now_s: float
) -> PolicyStatement:
    """What is decided on a name in wire form and lower case, for the client at `address`."""
    policy = Policy(config, current.rules(0.0), now_s)
    number = policy_number(config, policy, blockset, address)
    decision = policy.decide(blockset, number, name)
    by, outcome = decision.by, "allowed" if decision.by else "passes"
    if decision.verdict is not None:
        outcome = "blocked"
    elif decision.monitored:
        by, outcome = ", ".join(feed for feed, _ in decision.monitored), "monitored"
    settings = policy.settings(number)
    return PolicyStatement(policy=settings.name, outcome=outcome, by=by, rule=decision.rule, reason=decision.reason)


def of_address(
    config: Config, blockset: Blockset | None, current: Overrides, address: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> Explanation:
    """Explain an address in answers."""
    teller = _Teller(config, blockset, current)
    listings = Embeddings.of(config).lookup(blockset, address.packed) if blockset is not None else ()
    said = [teller.address(listing) for listing in listings]
    return teller.explanation(str(address), said, None)


def route_of(config: Config, name: bytes, states: Mapping[str, str]) -> RouteStatement:
    """Where questions for a name in wire form and lower case go."""
    found = Routes(config).find(name)
    apex, route = found if found is not None else (b"", DEFAULT_ROUTE)
    group = server_groups(config)[route.group]
    return RouteStatement(
        zone=names.to_text(apex) if apex else "",
        group=route.group,
        servers=list(group.servers),
        strategy=group.strategy,
        fallback=group.fallback,
        checked=route.block,
        states={server: states[server] for server in group.servers if server in states},
    )


def _is_special(config: Config, name: bytes) -> bool:
    """Whether no type of a name is forwarded: a special-use name, or one of `local.never_forward`."""
    zones = (*SPECIAL_ZONES, *UNDELEGATED_ZONES)
    special = SpecialNames(zones, Routes(config).apexes, config.local.never_forward)
    return special.answer(name, p.TXT, 0.0) is not None


def _said_here(current: Overrides, name: bytes) -> LocalStatement | None:
    entry = current.rules(0.0).everyones.find(name)
    if entry is None:
        return None
    spelt = ("*." if entry.below_only else "") + names.to_text(entry.name)
    return LocalStatement(name=spelt, action="allow" if entry.allow else "block", reason=entry.reason)


def _local_record(config: Config, name: bytes) -> LocalRecord | None:
    owner, source = LocalRecords.of(config).source(name)
    return LocalRecord(name=names.to_text(owner), source=source) if owner else None


def _allowed(config: Config, name: bytes, now_s: float) -> list[Allowed]:
    lists = [("block.allow", config.block.allow), *((f"tenant {tenant.name}", tenant.allow) for tenant in config.tenant)]
    lists += [
        (f"policy {settings.name}", tuple(entry.name for entry in settings.entries if entry.allow))
        for settings in policies_at(config, now_s).settings.values()
    ]
    return [Allowed(by=by, name=entry) for by, entries in lists for entry in entries if AllowList([entry]).allows(name)]


class _Teller:
    def __init__(self, config: Config, blockset: Blockset | None, current: Overrides) -> None:
        self._disabled = current.disabled
        self._generation = blockset.generation if blockset is not None else 0
        self._configured = {feed.name: feed for feed in config.feed}
        self._status = feed_status.read(Path(config.state.dir)) or feed_status.FeedsStatus()
        self._facts: Annotations | None = None
        self._problem = ""
        try:
            self._facts = Annotations(blockset) if blockset is not None else None
        except BlocksetError as error:
            self._problem = str(error)

    def explanation(self, asked: str, said: list[FeedStatement], local: LocalStatement | None) -> Explanation:
        return Explanation(asked=asked, generation=self._generation, said=said, local=local, problem=self._problem)

    def name(self, listing: Listing) -> FeedStatement:
        fact = self._facts.of(listing) if self._facts is not None else Annotation()
        return self._said(listing.feed, names.to_text(listing.name), listing.rule.name.lower(), fact, allow=listing.allow)

    def address(self, listing: AddressListing) -> FeedStatement:
        fact = self._facts.of_address(listing) if self._facts is not None else Annotation()
        return self._said(listing.feed, listing.network, "network", fact)

    def _said(self, name: str, listed: str, rule: str, fact: Annotation, *, allow: bool = False) -> FeedStatement:
        feed, status = self._configured.get(name), self._status.feeds.get(name)
        return FeedStatement(
            feed=name,
            category=feed.category if feed is not None else "",
            mode=feed.mode if feed is not None else UNCONFIGURED,
            listed=listed,
            rule=rule,
            allow=allow,
            disabled=name in self._disabled,
            threat=fact.threat,
            reference=fact.reference,
            published_s=fact.published_s,
            first_seen_s=fact.first_seen_s,
            last_seen_s=status.last_success_s if status is not None else 0.0,
            expires_s=fact.expires_s,
        )
