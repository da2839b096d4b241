"""Rules for each section beyond the types of its values. Values are returned in canonical spelling."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from pdns.config import addresses
from pdns.config.addresses import Endpoint
from pdns.config.admin_rules import settle_admin
from pdns.config.admin_schema import Metrics
from pdns.config.balancer_rules import settle_balancers
from pdns.config.block_page_rules import settle_block_page
from pdns.config.canary_rules import settle_canaries
from pdns.config.credentials import secret_path
from pdns.config.dns64_rules import settle_dns64
from pdns.config.feed_rules import settle_source
from pdns.config.findings_rules import settle_findings
from pdns.config.fleet_rules import settle_fleet
from pdns.config.listener_rules import EncryptedSocket, clash, settle_listeners
from pdns.config.policy_rules import settle_policies, settle_sinkhole, settle_tenants
from pdns.config.publish_rules import settle_published
from pdns.config.record_rules import settle_records
from pdns.config.report_rules import settle_mail, settle_reports
from pdns.config.schema import (
    Access,
    Block,
    Cache,
    Feed,
    Feeds,
    Guard,
    Quality,
    Rebinding,
    Server,
    State,
)
from pdns.config.shape import Report, meant, show
from pdns.config.sink_rules import settle_sinks
from pdns.config.system import RESOLV_CONF, default_state_dir
from pdns.config.upstream_rules import settle_groups, settle_local, settle_upstream, settle_zones
from pdns.config.value_types import CATEGORIES, GUARD_KINDS
from pdns.errors import InvalidAddress
from pdns.files.safe_files import open_regular

METRICS_PORT: Final = 9153
RESERVED_FEED: Final = "local"  # blocks by administrators count under this feed name
MOST_WORKERS: Final = 64
_IDENTITY: Final = re.compile(r"[ -~]{0,64}")

T = TypeVar("T")


@dataclass
class RuleContext:
    """What the rules need besides the section itself."""

    report: Report
    directory: Path  # absolute; where relative paths start
    resolv_conf: Path = RESOLV_CONF
    certificates_in_force: Container[tuple[str, ...]] = ()  # files that may be broken now
    # Filled while checking:
    listening: dict[Endpoint, str] = field(default_factory=dict)  # endpoint -> the key that names it
    encrypted: dict[EncryptedSocket, str] = field(default_factory=dict)  # the same, of encrypted listeners
    tenants: Collection[str] | None = None  # their names; None: the section has the wrong shape
    groups: dict[str, tuple[str, str]] = field(default_factory=dict)  # group of upstreams -> its fallback, the key of that
    knows_all_groups: bool = False  # the sections that name groups have the right shape
    servers: set[str] = field(default_factory=set)  # of all groups and zones
    never_forwarded: Mapping[str, str] = field(default_factory=dict)  # name -> the key that names it
    nat64_prefixes: Mapping[str, str] = field(default_factory=dict)  # prefix -> the key that names it
    feeds: tuple[str, ...] | None = None  # their names; None: not known
    policies: Collection[str] | None = None  # likewise
    sends_mail: bool = False

    def parse(self, key: str, text: str, parser: Callable[[str], T]) -> T | None:
        """`text` parsed by `parser`; None after reporting that it is not valid."""
        try:
            return parser(text)
        except InvalidAddress as error:
            self.report.add(key, f"{error.reason}, got {show(text)}")
            return None

    def parse_all(self, key: str, texts: Iterable[str], parser: Callable[[str], T]) -> dict[T, str]:
        """The valid values of `texts`, parsed and without repetitions, each with its first key."""
        parsed: dict[T, str] = {}
        for index, text in enumerate(texts):
            if (value := self.parse(f"{key}[{index}]", text, parser)) is not None:
                parsed.setdefault(value, f"{key}[{index}]")
        return parsed

    def file(self, key: str, text: str) -> Path | None:
        """The path of a readable regular file; None after reporting that it cannot be read. Does not wait for a pipe."""
        path = self.parse(key, text, lambda path: secret_path(path, self.directory))
        try:
            if path is not None:
                os.close(open_regular(path, follow_links=True))
        except OSError as error:
            self.report.add(key, f"cannot be read: {path}: {error.strerror}")
            return None
        return path

    def listen(self, endpoint: Endpoint, key: str, *, udp: bool = False) -> None:
        """Report an endpoint that another key has already. `udp`: it is bound over UDP as well as TCP."""
        taken = self.listening.get(endpoint) or clash(self.encrypted, endpoint, tcp=True, udp=udp)
        if taken and endpoint.port:
            self.report.add(key, f"{endpoint} is already {taken}")
        self.listening.setdefault(endpoint, key)

    def canonical(self, key: str, texts: Iterable[str], parser: Callable[[str], object]) -> tuple[str, ...]:
        return tuple(map(str, self.parse_all(key, texts, parser)))


def settle(name: str, section: Any, around: RuleContext) -> Any:
    """`section` (the field `name` of `Config`) in canonical form. Broken rules are reported."""
    if name == "tenant":
        around.tenants = {tenant.name for tenant in section}
    rule = _RULES.get(name)
    return rule(section, around) if rule else section


def _server(server: Server, around: RuleContext) -> Server:
    listen = []
    for index, text in enumerate(server.listen):
        endpoint = around.parse(key := f"server.listen[{index}]", text, addresses.parse_endpoint)
        if endpoint is not None:
            around.listen(endpoint, key)
            listen.append(str(endpoint))
    if server.workers > MOST_WORKERS:
        expected = f"expected 0 (one a core) or at most {MOST_WORKERS}"
        around.report.add("server.workers", f"{expected}, got {server.workers}")
    if not _IDENTITY.fullmatch(server.identity):
        around.report.add("server.identity", f'expected at most 64 printable ASCII characters, got "{server.identity}"')
    balancers = settle_balancers(server.proxy_protocol_from, "server.proxy_protocol_from", around)
    return replace(server, listen=tuple(listen), proxy_protocol_from=balancers)


def _quality(quality: Quality, around: RuleContext) -> Quality:
    return replace(quality, benign=tuple(str(around.directory / Path(text).expanduser()) for text in quality.benign))


def _metrics(metrics: Metrics, around: RuleContext) -> Metrics:
    endpoint = around.parse("metrics.listen", metrics.listen, lambda text: addresses.parse_endpoint(text, METRICS_PORT))
    if endpoint is None:
        return metrics
    around.listen(endpoint, "metrics.listen")
    return replace(metrics, listen=str(endpoint), hosts=around.canonical("metrics.hosts", metrics.hosts, addresses.parse_host))


def _known(key: str, values: Iterable[str], known: Sequence[str], around: RuleContext) -> None:
    for index, value in enumerate(values):
        if value not in known:
            around.report.add(f"{key}[{index}]", f"expected one of {', '.join(known)}, got {show(value)}{meant(value, known)}")


def _guard(guard: Guard, around: RuleContext) -> Guard:
    path = around.file("guard.popularity", guard.popularity) if guard.popularity else None
    if guard.popularity_refuse > guard.popularity_hold:
        expected = f"expected at most guard.popularity_hold ({guard.popularity_hold})"
        around.report.add("guard.popularity_refuse", f"{expected}, got {guard.popularity_refuse}")
    _known("guard.policy_categories", guard.policy_categories, CATEGORIES, around)
    _known("guard.skip", guard.skip, GUARD_KINDS, around)
    protect = around.canonical("guard.protect", guard.protect, addresses.parse_allowed)
    return replace(guard, popularity=str(path or ""), protect=protect)


def _cache(cache: Cache, around: RuleContext) -> Cache:
    if cache.min_ttl_s > cache.max_ttl_s:
        around.report.add("cache.min_ttl_s", f"expected at most cache.max_ttl_s ({cache.max_ttl_s}), got {cache.min_ttl_s}")
    return cache


def _block(block: Block, around: RuleContext) -> Block:
    sinkhole = settle_sinkhole(block.sinkhole, "block.sinkhole", around)
    allow = around.canonical("block.allow", block.allow, addresses.parse_allowed)
    around.nat64_prefixes = around.parse_all("block.nat64_prefixes", block.nat64_prefixes, addresses.parse_nat64_prefix)
    return replace(block, sinkhole=sinkhole, allow=allow, nat64_prefixes=tuple(around.nat64_prefixes))


def _rebinding(rebinding: Rebinding, around: RuleContext) -> Rebinding:
    return replace(rebinding, allow=around.canonical("rebinding.allow", rebinding.allow, addresses.parse_allowed))


def _feeds(feeds: tuple[Feed, ...], around: RuleContext) -> tuple[Feed, ...]:
    around.feeds = tuple(feed.name for feed in feeds)
    _unique("feed", [feed.name for feed in feeds], around)
    for index, feed in enumerate(feeds):
        _content(feed, f"feed[{index}]", around)
        if feed.name == RESERVED_FEED:
            around.report.add(f"feed[{index}].name", f'"{feed.name}" is reserved; choose another')
    return tuple(settle_source(feed, f"feed[{index}]", around) for index, feed in enumerate(feeds))


def _all_feeds(feeds: Feeds, around: RuleContext) -> Feeds:
    listen = around.parse_all("feeds.publish_listen", feeds.publish_listen, addresses.parse_endpoint)
    feeds = replace(feeds, publish_listen=tuple(map(str, listen)))
    if feeds.publish_listen != Feeds().publish_listen:
        for published, key in listen.items():
            around.listen(published, key, udp=True)
    if not feeds.notify_listen:
        return feeds
    endpoint = around.parse("feeds.notify_listen", feeds.notify_listen, addresses.parse_endpoint)
    if endpoint is None:
        return feeds
    around.listen(endpoint, "feeds.notify_listen", udp=True)
    return replace(feeds, notify_listen=str(endpoint))


def _content(feed: Feed, key: str, around: RuleContext) -> None:
    """Checks the category, and that the keys of a format are set with that format only."""
    _known(f"{key}.guard_skip", feed.guard_skip, GUARD_KINDS, around)
    if feed.category not in CATEGORIES:
        around.report.add(
            f"{key}.category",
            f"expected one of {', '.join(CATEGORIES)}, got {show(feed.category)}{meant(feed.category, CATEGORIES)}",
        )
    is_json = feed.format in ("json", "jsonl")
    if is_json and not feed.json_path:
        around.report.add(f"{key}.json_path", f'required with format = "{feed.format}", such as "data[].host"')
    if feed.json_path and not is_json:
        around.report.add(f"{key}.json_path", f'only for format = "json" or "jsonl", not "{feed.format}"')
    if feed.active_until and not is_json and feed.format != "csv":
        around.report.add(f"{key}.active_until", f'only for format = "csv", "json" or "jsonl", not "{feed.format}"')
    if feed.active_until and feed.format == "csv" and feed.column.isdecimal() != feed.active_until.isdecimal():
        around.report.add(f"{key}.active_until", "expected a name where column has one, and a number where that has one")
    if feed.column and feed.format != "csv":
        around.report.add(f"{key}.column", f'only for format = "csv", not "{feed.format}"')
    if feed.column.isdecimal() and not int(feed.column):
        around.report.add(f"{key}.column", 'the first column is 1, got "0"')


def _unique(section: str, labels: list[str], around: RuleContext) -> None:
    for index, label in enumerate(labels):
        if (first := labels.index(label)) < index:
            around.report.add(f"{section}[{index}].name", f'"{label}" is already {section}[{first}]')


def _access(access: Access, around: RuleContext) -> Access:
    return replace(access, networks=around.canonical("access.networks", access.networks, addresses.parse_network))


def _state(state: State, around: RuleContext) -> State:
    path = around.parse(
        "state.dir", state.dir or default_state_dir(), lambda text: addresses.absolute_path(text, around.directory)
    )
    if path is not None and os.path.exists(path) and not os.path.isdir(path):  # noqa: PTH110, PTH112 (Path's raise on EACCES)
        around.report.add("state.dir", f"expected a directory, got {show(str(path))}")
    return replace(state, dir=os.path.realpath(path) if path else "")  # below it no link is followed


_RULES: Final[dict[str, Callable[[Any, RuleContext], Any]]] = {
    "server": _server,
    "listener": settle_listeners,
    "upstream": settle_upstream,
    "canaries": settle_canaries,
    "cache": _cache,
    "block": _block,
    "local": settle_local,
    "rebinding": _rebinding,
    "dns64": settle_dns64,
    "group": settle_groups,
    "zone": settle_zones,
    "record": lambda records, around: settle_records(records, around.report),
    "feed": _feeds,
    "feeds": _all_feeds,
    "publish": settle_published,
    "guard": _guard,
    "policy": settle_policies,
    "tenant": settle_tenants,
    "access": _access,
    "state": _state,
    "metrics": _metrics,
    "admin": settle_admin,
    "block_page": settle_block_page,
    "mail": settle_mail,
    "report": settle_reports,
    "quality": _quality,
    "findings": settle_findings,
    "fleet": settle_fleet,
    "sink": settle_sinks,
}
