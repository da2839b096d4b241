"""Zones between real servers: BIND, nsd and dnsmasq behind the program; validating and caching resolvers before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.asktable import differences
from tests.integration.realservers import Dnsmasq, Nsd, RealServer, Unbound
from tests.integration.running_pdns import SINKHOLE, RunningPdns, feed
from tests.integration.siteservers import DnsmasqZones, NamedZones, Resolved, Tree, UnboundZones, ValidatingNamed
from tests.integration.zonedata import (
    DOMAIN_CONTROLLER,
    HOME_NAMES,
    HOME_OPTIONS,
    INSECURE_NAMES,
    LISTED,
    OTHERWISE_THEIRS,
    RECORDS,
    SITE_SERVER,
    UNCHECKED,
)
from tests.integration.zonetable import BLOCKING, LOCAL_RECORDS, TABLE


class Behind(NamedTuple):
    """The servers behind the program: their ports, and the key of the root."""

    upstream: int
    controller: int
    site: int
    home: int
    anchor: str


class Site(NamedTuple):
    """The program, and what is behind it."""

    pdns: RunningPdns
    behind: Behind


def config(directory: Path, behind: Behind) -> dict[str, Any]:
    """What an administrator of the site would write."""
    return {
        "upstream": {"servers": [f"udp://127.0.0.1:{behind.upstream}"], "timeout_s": 3.0},
        "group": [{"name": "site", "servers": [f"udp://127.0.0.1:{behind.site}"]}],
        "zone": [
            {"names": list(DOMAIN_CONTROLLER), "servers": [f"udp://127.0.0.1:{behind.controller}"]},
            {"names": [name for name in SITE_SERVER if name not in UNCHECKED], "group": "site"},
            {"name": "www.corp.example", "servers": "default"},
            {"names": list(HOME_NAMES), "servers": [f"udp://127.0.0.1:{behind.home}"]},
            *({"name": name, "group": "site", "block": False, "dnssec": False} for name in UNCHECKED),
        ],
        "record": RECORDS,
        "rebinding": {"block_private_answers": True, "allow": ["public.example"]},
        "local": {"never_forward": ["priv", "fritz.box"], "forward_single_labels": False},
        "feed": [feed(directory, "listed", *LISTED)],
        "block": {"action": "sinkhole", "sinkhole": [SINKHOLE]},
    }


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    make = tmp_path_factory.mktemp
    tree = Tree(make("keys"))
    with (
        tree.serve(make("world")) as world,
        Unbound(make("upstream"), world.port, [tree.anchor], asks_for=OTHERWISE_THEIRS) as upstream,
        NamedZones(make("controller"), DOMAIN_CONTROLLER) as controller,
        Nsd(make("site"), SITE_SERVER) as site,
        DnsmasqZones(make("home"), HOME_OPTIONS, "nas.home.arpa") as home,
    ):
        yield Behind(upstream.port, controller.port, site.port, home.port, tree.anchor)


@pytest.fixture(scope="module")
def site(behind: Behind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("pdns")
    with RunningPdns(directory, config(directory, behind)) as pdns:
        yield Site(pdns, behind)


FRONTS: dict[str, Callable[[Path, Site], RealServer]] = {
    "dnsmasq": lambda directory, site: Dnsmasq(directory, site.pdns.dns_port),
    "named": lambda directory, site: ValidatingNamed(directory, site.pdns.dns_port, site.behind.anchor, INSECURE_NAMES),
    "resolved": lambda directory, site: Resolved(directory, site.pdns.dns_port),
    "unbound": lambda directory, site: Unbound(
        directory, site.pdns.dns_port, [site.behind.anchor], asks_for=OTHERWISE_THEIRS, insecure=INSECURE_NAMES
    ),
}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_clients_get_the_right_answers(site: Site, transport: str) -> None:
    """Every row of the table, twice: from the servers, and from the cache."""
    assert [differences(transport, site.pdns.dns_port, TABLE) for _ in range(2)] == [[], []]


@pytest.mark.parametrize("front", sorted(FRONTS))
def test_resolvers_in_front_get_the_right_answers(site: Site, front: str, tmp_path: Path) -> None:
    """Every row of the table, twice: what a resolver makes of the answers, and what it has cached of them."""
    with FRONTS[front](tmp_path, site) as resolver:
        assert [differences(front, resolver.port, TABLE) for _ in range(2)] == [[], []]


def test_another_resolver_with_these_zones_agrees(behind: Behind, tmp_path: Path) -> None:
    """An unbound with the same zones gives the answers of the table, but for those that only the program gives."""
    stubs = dict.fromkeys(DOMAIN_CONTROLLER, behind.controller) | dict.fromkeys(SITE_SERVER, behind.site)
    forwards = {".": behind.upstream, "www.corp.example": behind.upstream} | dict.fromkeys(HOME_NAMES, behind.home)
    rows = [row for row in TABLE if row not in (*BLOCKING, *LOCAL_RECORDS)]
    with UnboundZones(tmp_path, stubs, forwards) as unbound:
        assert differences("other", unbound.port, rows) == []
