"""`pdns check`: validates a configuration and prints a summary of it."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from msgspec import UNSET
from msgspec.structs import replace
from rich.console import Console
from rich.text import Text

from pdns.cli.discovery import discovery_notes, discovery_summary
from pdns.cli.listener_summary import listener_summary, listener_warnings
from pdns.cli.policy import show_diff
from pdns.config.addresses import source_path, without_secrets
from pdns.config.fleet_rules import node_name, ring_of
from pdns.config.groups import DEFAULT, server_groups
from pdns.config.load import default_config_path, load
from pdns.config.memory_need import memory_notes
from pdns.config.per_worker import worker_count
from pdns.config.policies import DEFAULT_POLICY
from pdns.config.schema import Config, Feed, Group, Upstream, Zone
from pdns.config.system import RESOLV_CONF, system_servers
from pdns.core.records import LocalRecords
from pdns.core.routes import DEFAULT_ROUTE, Route, Routes
from pdns.core.special_names import SPECIAL_ZONES, UNDELEGATED_ZONES, SpecialNames
from pdns.errors import ConfigErrors
from pdns.files.records import DamagedError
from pdns.files.safe_files import open_regular
from pdns.state import live_config
from pdns.wire import names
from pdns.wire import protocol as p

EXIT_INVALID = 2
MOST_SHOWN = 20  # zones, and names of one

_SMALL_PREFIX = {4: 24, 6: 64}  # of networks that may hold load balancers alone


def command(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="The file to check [default: as for serve]"),
    ] = None,
    *,
    compare: Annotated[
        bool, typer.Option("--diff", help="Show what would change for the names blocked in the last 7 days, if it were in force")
    ] = False,
) -> None:
    """Check a configuration without starting anything. If it has errors, print them and exit with 2."""
    code = check(config)
    raise typer.Exit(compare_with_running(config) if compare and not code else code)


def compare_with_running(config: Path | None) -> int:
    """Prints what a valid configuration would change for the names that the running server has met. Returns 2 without one."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    new = load(default_config_path(config))
    try:
        running = live_config.read(Path(new.state.dir)).config
    except (OSError, DamagedError):
        errors.print(Text(f"no server has used {new.state.dir}: `pdns policy diff OLD NEW` compares two files", "red"))
        return EXIT_INVALID
    old = replace(running, state=new.state)
    return show_diff(old, new, Console(highlight=False), errors, as_json=False)


def check(config: Path | None) -> int:
    """Prints a summary of the configuration to stdout and returns 0, or every error in it to stderr and returns 2."""
    path = default_config_path(config)
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        loaded = load(path)
    except ConfigErrors as failure:
        for error in failure.errors:
            errors.print(Text.assemble((str(error), "red")))
        return EXIT_INVALID
    output = Console(soft_wrap=True, highlight=False)
    label = ""
    for title, value in [("file", str(path)), *summary(loaded)]:
        label, shown = title, title if title != label else ""
        output.print(Text.assemble((f"{shown:<10}", "bold"), value))
    for note in notes(loaded):
        errors.print(Text.assemble(("note: ", "yellow"), note))
    return 0


def summary(config: Config) -> Iterator[tuple[str, str]]:
    """The summary of the configuration, as titles and values. A title repeats for each of its values."""
    for endpoint in config.server.listen:
        yield "listens", f"{endpoint} (UDP and TCP)"
    for line in listener_summary(config):
        yield "encrypted", line
    for network in config.server.proxy_protocol_from:
        yield "balancers", f"{network} (PROXY protocol)"
    workers = worker_count(config.server.workers)
    yield "workers", f"{workers}{'' if config.server.workers else ', one a core'}"
    for server in config.upstream.servers:
        yield "forwards", server
    if config.upstream.fallback or config.upstream.strategy != "fastest":
        yield "forwards", _course(config.upstream).strip()
    for group in config.group:
        yield "groups", f"{group.name}  {', '.join(group.servers)}{_course(group)}"
    for zone in config.zone[:MOST_SHOWN]:
        own = f"{', '.join(zone.servers)}{_course(zone)}"
        where = own if zone.servers else "[upstream]" if zone.group == DEFAULT else f"group {zone.group}"
        unchecked = "" if zone.block else ", not checked by feeds and local blocks"
        yield "zones", f"{', '.join(zone.names[:MOST_SHOWN])}  to {where}{unchecked}"
    if len(config.zone) > MOST_SHOWN:
        yield "zones", f"and {len(config.zone) - MOST_SHOWN:,} more"
    sinkhole = f" to {', '.join(config.block.sinkhole)}" if config.block.action == "sinkhole" else ""
    yield "blocks", f"with {config.block.action}{sinkhole}, for {config.block.ttl_s} s"
    if config.rebinding.block_private_answers:
        allowed = f", except {', '.join(config.rebinding.allow[:MOST_SHOWN])}" if config.rebinding.allow else ""
        yield "refuses", f"private addresses of public names{allowed}"
    if config.dns64.prefix:
        yield "dns64", f"{config.dns64.prefix}, for {', '.join(config.dns64.networks[:MOST_SHOWN]) or 'all clients'}"
    width = max((len(feed.name) for feed in config.feed), default=0)
    for feed in config.feed:
        traits = ", ".join(
            [feed.category, f"every {feed.refresh_s} s", *["required"] * feed.required, *["monitor"] * (feed.mode == "monitor")]
        )
        yield "feeds", f"{feed.name:<{width}}  {without_secrets(feed.url)} ({traits})"
    if not config.feed:
        yield "feeds", "those of the fleet's publisher" if config.fleet.role == "node" else "none"
    for policy in config.policy:
        origin = f", as {policy.inherits or DEFAULT_POLICY}" if policy.name != DEFAULT_POLICY else ""
        used = sum(tenant.policy == policy.name for tenant in config.tenant)
        yield "policies", f"{policy.name}{origin} ({used:,} tenant{'s' * (used != 1)})"
    shown = config.tenant[:MOST_SHOWN]
    width = max((len(tenant.name) for tenant in shown), default=0)
    for tenant in shown:
        policy_name = f"  (policy {tenant.policy})" if config.policy else ""
        yield "tenants", f"{tenant.name:<{width}}  {_shortened(tenant.networks)}{policy_name}"
    if len(config.tenant) > MOST_SHOWN:
        yield "tenants", f"and {len(config.tenant) - MOST_SHOWN:,} more"
    if not config.tenant:
        yield "tenants", "none"
    for endpoint in config.block_page.listen:
        yield "page", f"http://{endpoint}"
    for published in config.publish:
        served = f" on {', '.join(config.feeds.publish_listen)}" if published.allow_transfer or published.tsig_name else ""
        yield "publishes", f"{published.zone}{served} (policy {published.policy})"
    if config.loaded_records is not UNSET:
        local = LocalRecords.of(config)
        files = [*config.local.hosts_files, *config.local.zone_files]
        yield "records", f"for {len(local):,} names{', also from ' if files else ''}{', '.join(files)}"
    if config.fleet.role != "standalone":
        ring = f" {node_name(config.fleet)}, ring {ring_of(config.fleet)}" if config.fleet.role == "node" else ""
        yield "fleet", f"{config.fleet.role}{ring}, store {config.fleet.store}"
    yield from discovery_summary(config)
    yield "access", ", ".join(config.access.networks)
    yield "state", config.state.dir
    yield "metrics", f"http://{config.metrics.listen}/metrics"
    if config.admin.token_file:
        yield "admin", f"http://{config.admin.listen}/api"


def _shortened(texts: tuple[str, ...]) -> str:
    more = f" and {len(texts) - MOST_SHOWN:,} more" if len(texts) > MOST_SHOWN else ""
    return ", ".join(texts[:MOST_SHOWN]) + more


def _course(group: Upstream | Group | Zone) -> str:
    """How several servers are asked, and what follows if they fail; empty when there is only one."""
    parts: list[str] = [group.strategy] if len(group.servers) > 1 or group.strategy != "fastest" else []
    parts += [f"fallback {group.fallback}"] if group.fallback else []
    return f" ({', '.join(parts)})" if parts else ""


def notes(config: Config, resolv_conf: Path = RESOLV_CONF) -> Iterator[str]:
    """Warnings about settings that are valid but rarely intended."""
    if config.upstream.servers == ("udp://127.0.0.1:53",) and not system_servers(resolv_conf):
        yield f"{resolv_conf} names no server, so queries go to port 53 of this machine; say where else in upstream.servers"
    yield from memory_notes(config, worker_count(config.server.workers))
    yield from listener_warnings(config)
    if not config.feed and config.fleet.role != "node":
        yield "no [[feed]]: nothing is blocked"
    if config.loaded_records is not UNSET:
        yield from config.loaded_records.notes
    for network in map(ipaddress.ip_network, config.access.networks):
        if network.prefixlen == 0:
            yield f"access.networks: {network}: an open resolver will be found and used to attack others"
    for network in map(ipaddress.ip_network, config.server.proxy_protocol_from):
        if network.prefixlen < _SMALL_PREFIX[network.version]:
            yield f"server.proxy_protocol_from: {network}: whoever is in it can claim to be any client; list only load balancers"
    for feed in config.feed:
        path = source_path(feed.url)
        if path is not None and not path.exists():
            need = "the server is not ready before it is there" if feed.required else "it lists nothing until it is there"
            yield f"feed {feed.name}: no such file or directory: {path}: {need}"
        yield from _secrets(feed)
    yield from discovery_notes(config)
    yield from _overlaps(config)
    yield from _shadowed(config)
    yield from _overlaid(config)


def _overlaid(config: Config) -> Iterator[str]:
    """Zones with names that local records answer for."""
    routes = Routes(config)
    found: dict[bytes, list[bytes]] = {}
    for name in LocalRecords.of(config).names() if routes else ():
        zone = routes.find(name)
        if zone is not None and zone[1].zone:
            found.setdefault(zone[0], []).append(name)
    for apex, those in found.items():
        count, such = f"{len(those):,} name{'s' * (len(those) > 1)}", names.to_text(min(those))
        yield f'zone "{names.to_text(apex)}": local records come before its servers: {count}, such as "{such}"'


def _shadowed(config: Config) -> Iterator[str]:
    """Zones that change nothing, since the zone above them, or no zone, has the same settings."""
    routes, groups = Routes(config), server_groups(config)
    special = SpecialNames(
        (*SPECIAL_ZONES, *UNDELEGATED_ZONES), (), config.local.never_forward, single_labels=not config.local.forward_single_labels
    )  # which would be answered here if there were no zone

    def settings(route: Route) -> tuple[object, ...]:
        return groups[route.group], route.block, route.dnssec, route.private_answers

    for zone in config.zone:
        for text in zone.names:
            name = names.from_text(text)
            above = routes.find(names.parent(name)) if name != names.ROOT else None
            before = above[1] if above is not None else DEFAULT_ROUTE
            if special.answer(name, p.A, 0.0) is None and settings(routes.of(name)) == settings(before):
                those = f'"{names.to_text(above[0])}" above it has' if above is not None else "[upstream] has"
                yield f'zone "{text}" changes nothing: {those} the same servers and settings'


def _secrets(feed: Feed) -> Iterator[str]:
    """Missing files and variables that a feed needs for fetching. The server starts anyway, with the last-good copy."""
    without = "the feed cannot be fetched until it is there"
    for key in ("token_file", "tsig_secret_file", "client_cert_file", "client_key_file"):
        if path := getattr(feed, key):
            try:
                os.close(open_regular(Path(path), follow_links=True))
            except OSError as error:
                yield f"feed {feed.name}: {key}: {path}: {error.strerror}: {without}"
    if feed.token_env and not os.environ.get(feed.token_env):
        yield f"feed {feed.name}: token_env: {feed.token_env} is not set here; it must be where pdns serve is started"


def _overlaps(config: Config) -> Iterator[str]:
    """Networks of tenants inside networks of other tenants, and the tenant that their clients belong to."""
    owned = {ipaddress.ip_network(text): tenant.name for tenant in config.tenant for text in tenant.networks}
    lengths = sorted({(network.version, network.prefixlen) for network in owned}, reverse=True)
    for inner, owner in owned.items():
        for version, length in lengths:
            if version != inner.version or length >= inner.prefixlen:
                continue
            outer = inner.supernet(new_prefix=length)
            if (name := owned.get(outer, owner)) != owner:
                yield f'tenants overlap: {inner} of "{owner}" is inside {outer} of "{name}": clients belong to "{owner}"'
                break
