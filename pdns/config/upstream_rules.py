"""Rules for upstreams: those of all names, those of groups, and those of zones. Values are returned in canonical spelling."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol, TypeVar

from msgspec.structs import replace

from pdns.config import addresses
from pdns.config.addresses import Endpoint, parse_zone_name
from pdns.config.credentials import secret_path
from pdns.config.feed_rules import check_authority
from pdns.config.groups import DEFAULT
from pdns.config.listener_rules import EncryptedSocket, reaches_itself
from pdns.config.schema import Group, Local, Upstream, Zone
from pdns.config.shape import Report, meant, show
from pdns.config.system import is_local, system_servers
from pdns.config.upstream_address import UpstreamAddress, parse_upstream
from pdns.wire.transport import Transport

MOST_ZONE_NAMES: Final = 20_000
MOST_SERVERS: Final = 256  # each takes descriptors and a place in metrics
_OWN_SETTINGS: Final = ("strategy", "fallback", "timeout_s", "case_randomisation", "ca_file")
_UNSET: Final = Zone()

T = TypeVar("T")


class UpstreamRuleContext(Protocol):
    """The part of `pdns.config.rules.RuleContext` that is needed here."""

    report: Report
    directory: Path
    resolv_conf: Path
    listening: dict[Endpoint, str]
    encrypted: dict[EncryptedSocket, str]
    groups: dict[str, tuple[str, str]]
    knows_all_groups: bool
    servers: set[str]
    never_forwarded: Mapping[str, str]

    def parse(self, key: str, text: str, parser: Callable[[str], T]) -> T | None: ...
    def canonical(self, key: str, texts: Iterable[str], parser: Callable[[str], object]) -> tuple[str, ...]: ...


def settle_upstream(upstream: Upstream, around: UpstreamRuleContext) -> Upstream:
    """`[upstream]`, the group of all names that no zone has."""
    around.groups[DEFAULT] = upstream.fallback, "upstream.fallback"
    return replace(
        upstream,
        servers=_servers("upstream.servers", upstream.servers, around),
        ca_file=_ca_file("upstream.ca_file", upstream.ca_file, around),
    )


def settle_local(local: Local, around: UpstreamRuleContext) -> Local:
    """`[local]`."""
    never_forward = around.canonical("local.never_forward", local.never_forward, parse_zone_name)
    around.never_forwarded = {name: f"local.never_forward[{index}]" for index, name in enumerate(never_forward)}
    path = partial(addresses.absolute_path, directory=around.directory)
    hosts_files = around.canonical("local.hosts_files", local.hosts_files, path)
    zone_files = around.canonical("local.zone_files", local.zone_files, path)
    return replace(local, never_forward=never_forward, hosts_files=hosts_files, zone_files=zone_files)


def settle_groups(groups: tuple[Group, ...], around: UpstreamRuleContext) -> tuple[Group, ...]:
    """Every `[[group]]`."""
    settled = []
    for index, group in enumerate(groups):
        at = f"group[{index}]"
        if group.name == DEFAULT:
            around.report.add(f"{at}.name", f'"{DEFAULT}" is the group of [upstream]; choose another')
        elif group.name in around.groups:
            around.report.add(f"{at}.name", f'"{group.name}" is already the name of another group')
        else:
            around.groups[group.name] = group.fallback, f"{at}.fallback"
        servers = _servers(f"{at}.servers", group.servers, around)
        settled.append(replace(group, servers=servers, ca_file=_ca_file(f"{at}.ca_file", group.ca_file, around)))
    around.knows_all_groups = DEFAULT in around.groups
    return tuple(settled)


def settle_zones(zones: tuple[Zone, ...], around: UpstreamRuleContext) -> tuple[Zone, ...]:
    """Every `[[zone]]`: with all its names in `names`, and a group or servers. Checks the fallbacks of all groups as well."""
    for name, (fallback, key) in around.groups.items():
        _check_fallback(key, name, fallback, around)
    taken: dict[str, str] = {}
    settled = [_zone(zone, f"zone[{index}]", taken, around) for index, zone in enumerate(zones)]
    if len(taken) > MOST_ZONE_NAMES:
        around.report.add("zone", f"expected at most {MOST_ZONE_NAMES:,} names in all zones, got {len(taken):,}")
    if len(around.servers) > MOST_SERVERS:
        expected = f"expected at most {MOST_SERVERS} different servers in [upstream], groups and zones"
        around.report.add("zone", f"{expected}, got {len(around.servers):,}: zones with the same servers can share a [[group]]")
    return tuple(settled)


def _zone(zone: Zone, at: str, taken: dict[str, str], around: UpstreamRuleContext) -> Zone:
    if bool(zone.name) == bool(zone.names):
        around.report.add(f"{at}.name", "expected either name or names")
        return zone
    keys = [(f"{at}.name", zone.name)] if zone.name else [(f"{at}.names[{i}]", text) for i, text in enumerate(zone.names)]
    settled = []
    for key, text in keys:
        name = around.parse(key, text, parse_zone_name)
        if name is None:
            continue
        if name in taken:
            around.report.add(key, f'"{name}" is already {taken[name]}')
        elif name in around.never_forwarded:
            around.report.add(key, f'"{name}" is also {around.never_forwarded[name]}: remove one of them')
        else:
            settled.append(name)
        taken.setdefault(name, key)
    return replace(zone, name="", names=tuple(settled), **_where(zone, at, around))


def _where(zone: Zone, at: str, around: UpstreamRuleContext) -> dict[str, object]:
    """The group or servers of `zone`."""
    if bool(zone.servers) == bool(zone.group):
        around.report.add(f"{at}.servers", 'expected either servers (an array, or "default" for those of [upstream]) or group')
        return {}
    if zone.servers and zone.servers != "default":
        _check_fallback(f"{at}.fallback", "", zone.fallback, around)
        servers = _servers(f"{at}.servers", zone.servers, around)
        return {"servers": servers, "ca_file": _ca_file(f"{at}.ca_file", zone.ca_file, around)}
    for key in _OWN_SETTINGS:
        if getattr(zone, key) != getattr(_UNSET, key):
            whose = "[upstream]" if zone.servers else f'the [[group]] "{zone.group}"'
            around.report.add(f"{at}.{key}", f"allowed only with addresses in servers: set it in {whose}")
    if isinstance(zone.dnssec, str):
        expected = "expected true or false: what is believed of its servers is set where they are"
        around.report.add(f"{at}.dnssec", f"{expected}, got {show(zone.dnssec)}")
    if zone.group:
        _is_known(f"{at}.group", zone.group, around)
    return {"servers": (), "group": zone.group or DEFAULT}


def _is_known(key: str, name: str, around: UpstreamRuleContext) -> bool:
    """Whether there is a group with this name. Reports one that does not exist, unless a section that may have it is broken."""
    if name in around.groups:
        return True
    if around.knows_all_groups:
        known = list(around.groups)
        reason = f"no [[group]] has this name, got {show(name)}{meant(name, known) or '; known: ' + ', '.join(known)}"
        around.report.add(key, reason)
    return False


def _check_fallback(key: str, name: str, fallback: str, around: UpstreamRuleContext) -> None:
    if not fallback or not _is_known(key, fallback, around):
        return
    course = [name]
    while fallback:
        if fallback in course:
            if fallback == name:
                around.report.add(key, f"leads back to itself: {' -> '.join((*course, name))}")
            return
        course.append(fallback)
        fallback = around.groups.get(fallback, ("", ""))[0]


def _servers(at: str, texts: Iterable[str], around: UpstreamRuleContext) -> tuple[str, ...]:
    servers: dict[tuple[str, Endpoint, str], tuple[UpstreamAddress, str]] = {}
    system: list[UpstreamAddress] = []
    system_key = ""
    for index, text in enumerate(texts):
        key = f"{at}[{index}]"
        if text == "system" and at == "upstream.servers":
            system_key = system_key or key
            system = system_servers(around.resolv_conf)
            for server in system:
                if not _own_listener(server, around):
                    servers.setdefault((server.transport, server.endpoint, server.path), (server, key))
            continue
        if text == "system":
            around.report.add(key, 'expected an address: "system" is allowed in upstream.servers only')
            continue
        parsed = around.parse(key, text, parse_upstream)
        if parsed is None:
            continue
        if ours := _own_listener(parsed, around):
            around.report.add(key, f"{parsed} would forward to itself: {ours} listens there")
        if parsed.transport is Transport.QUIC and find_spec("aioquic") is None:
            around.report.add(key, "quic:// needs a library that is not installed: pip install 'protective-dns[quic]'")
        first, first_key = servers.setdefault((parsed.transport, parsed.endpoint, parsed.path), (parsed, key))
        if first_key not in (key, system_key):
            around.report.add(key, f"{first.transport}://{first.endpoint}{first.path} is already {first_key}")
    if system_key and not system and not servers:
        # resolv.conf(5): the name server on this machine
        local = UpstreamAddress(Transport.UDP, "127.0.0.1", addresses.DNS_PORT, "")
        if not _own_listener(local, around):
            servers[local.transport, local.endpoint, local.path] = (local, system_key)
    if system_key and not servers:
        around.report.add(
            system_key, f'{around.resolv_conf} names no server but this one; say where to forward, such as "udp://9.9.9.9"'
        )
    found = tuple(str(server) for server, _ in servers.values())
    around.servers.update(found)
    return found


def _own_listener(upstream: UpstreamAddress, around: UpstreamRuleContext) -> str:
    """The key of the listener that a query to `upstream` would reach, or ""."""
    for (host, port), key in around.listening.items():
        if port == upstream.port and key.startswith("server."):
            listener, asked = ipaddress.ip_address(host), ipaddress.ip_address(upstream.host)
            if listener == asked or (listener.is_unspecified and listener.version == asked.version and is_local(upstream.host)):
                return key
    return reaches_itself(upstream, around.encrypted)


def _ca_file(key: str, text: str, around: UpstreamRuleContext) -> str:
    if not text:
        return ""
    path = around.parse(key, text, lambda path: secret_path(path, around.directory))
    if path is None:
        return ""
    check_authority(str(path), key, text, around)
    return str(path)
