"""Every recipe of docs/recipes.md runs between real servers, and is asked what it is about."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rdatatype
import pytest

from tests.integration.realanswers import has, rcode, records
from tests.integration.realservers import Nsd, RealServer, Unbound, ask
from tests.integration.recipes import LISTED, Recipe, recipes
from tests.integration.recipeservers import Controller, CoreDns, DnsDist, HaProxy, NamedWith, UnboundWith, at
from tests.integration.running_pdns import ROOT, SINKHOLE, RunningPdns
from tests.integration.serving import accepts
from tests.integration.siteservers import NamedZones, Tree
from tests.integration.zonedata import DOMAIN_CONTROLLER, OTHERWISE_THEIRS, SERVICES, SITE_SERVER, zone

RECIPES = recipes()
MALWARE = LISTED[0]
BLOCKED = [f"{MALWARE}. A {SINKHOLE}"]
CONTROLLED = {**DOMAIN_CONTROLLER, **{name: SITE_SERVER[name] for name in ("_msdcs.corp.example", "lan")}}
MAIL_LISTS = {
    "zen.spamhaus.org": SITE_SERVER["zen.dnsbl.example"],
    "dbl.spamhaus.org": zone("listed.test IN A 127.0.1.2", f"{MALWARE} IN A 127.0.1.4"),
    "bl.spamcop.net": zone("2.0.0.127 IN A 127.0.0.2"),
}


class Around(NamedTuple):
    """The servers that the recipes speak of: the addresses of the page, and where they are here."""

    addresses: dict[str, int]
    anchor: str

    def run(self, directory: Path, heading: str) -> RunningPdns:
        """The program as the recipe has it."""
        return RunningPdns(directory, RECIPES[heading].config(directory, self.addresses))


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Around]:
    make = tmp_path_factory.mktemp
    tree = Tree(make("keys"))
    lists = RECIPES["DNS blocklists of a mail server"].text("interface:")
    with (
        tree.serve(make("world")) as world,
        Unbound(make("upstream"), world.port, [tree.anchor], asks_for=OTHERWISE_THEIRS) as upstream,
        NamedZones(make("controller"), CONTROLLED) as controller,
        Nsd(make("lists"), MAIL_LISTS) as mail_lists,
        UnboundWith(make("recursive"), lists, stubs(mail_lists.port)) as recursive,
    ):
        addresses = {
            "tls://9.9.9.9#dns.quad9.net": upstream.port,
            "tls://149.112.112.112#dns.quad9.net": upstream.port,
            "udp://10.1.1.1": controller.port,
            "udp://10.1.1.2": controller.port,
            "udp://127.0.0.1:5335": recursive.port,
        }
        yield Around(addresses, tree.anchor)


def stubs(port: int) -> str:
    """Where the zones of blocklists are: a recursive resolver finds them by the root's delegations."""
    return "".join(f'stub-zone:\n    name: "{name}"\n    stub-addr: 127.0.0.1@{port}\n' for name in MAIL_LISTS)


def answer(port: int, name: str, qtype: str = "A") -> tuple[str, list[str]]:
    message = ask(port, name, qtype)
    return rcode(message), records(message.answer)


@pytest.mark.parametrize("recipe", [pytest.param(recipe, id=heading) for heading, recipe in RECIPES.items()])
def test_a_recipe_is_short_and_whole(recipe: Recipe) -> None:
    """At most a dozen lines, with its upstreams, and a way to see that it works."""
    assert len(recipe.toml.splitlines()) <= 12
    assert "[upstream]" in recipe.toml
    assert "dig @" in recipe.consoles[-1]


def test_every_recipe_is_run() -> None:
    """A new recipe needs a test here."""
    source = Path(__file__).read_text(encoding="utf-8")
    assert [heading for heading in RECIPES if f'"{heading}"' not in source] == []


def test_active_directory_in_front(around: Around, tmp_path: Path) -> None:
    """Clients of a controller get its own names and public ones; listed names are blocked, and the domain never leaves."""
    with (
        around.run(tmp_path, "Active Directory in front of pdns") as pdns,
        Controller(tmp_path / "controller", CONTROLLED, pdns.dns_port) as controller,
    ):
        assert answer(controller.port, MALWARE) == ("NOERROR", BLOCKED)
        assert answer(controller.port, "dc1.corp.example") == ("NOERROR", ["dc1.corp.example. A 10.1.0.1"])
        assert answer(controller.port, "www.public.example") == ("NOERROR", ["www.public.example. A 192.0.2.80"])
        for name in ("dc1.corp.example", "publiconly.corp.example", "dc1.corp", "printer"):
            assert answer(pdns.dns_port, name) == ("NXDOMAIN", [])


def test_active_directory_behind(around: Around, tmp_path: Path) -> None:
    """Clients find the controllers by name and by address; a controller that forwards here makes no loop."""
    with (
        around.run(tmp_path, "Active Directory behind pdns") as pdns,
        Controller(tmp_path / "controller", CONTROLLED, pdns.dns_port) as controller,
    ):
        pdns.write_config({**RECIPES["Active Directory behind pdns"].config(tmp_path, around.addresses | both(controller))})
        pdns.reload()
        for port in (pdns.dns_port, controller.port):
            assert answer(port, "_ldap._tcp.dc._msdcs.corp.example", "SRV") == (
                "NOERROR",
                [f"_ldap._tcp.dc._msdcs.corp.example. SRV 0 100 389 dc{number}.corp.example." for number in (1, 2)],
            )
            assert answer(port, "1.0.1.10.in-addr.arpa", "PTR")[1] == ["1.0.1.10.in-addr.arpa. PTR dc1.corp.example."]
            assert answer(port, "nowhere.corp.example") == ("NXDOMAIN", [])
            assert answer(port, "www.public.example")[1] == ["www.public.example. A 192.0.2.80"]
            assert answer(port, MALWARE) == ("NOERROR", BLOCKED)


def both(controller: RealServer) -> dict[str, int]:
    """That one for both controllers of the page."""
    return {"udp://10.1.1.1": controller.port, "udp://10.1.1.2": controller.port}


def test_split_horizon(around: Around, tmp_path: Path) -> None:
    """Internal names are internal, exceptions are public, and aliases lead from one to the other."""
    with around.run(tmp_path, "Split horizon, with exceptions") as pdns:
        for name, address in {"www": SERVICES, "autodiscover": "203.0.113.12", "vpn": "10.1.0.9"}.items():
            assert answer(pdns.dns_port, f"{name}.corp.example") == ("NOERROR", [f"{name}.corp.example. A {address}"])
        assert answer(pdns.dns_port, "publiconly.corp.example") == ("NXDOMAIN", [])
        assert pdns.addresses("to-www.corp.example") == [SERVICES]
        assert pdns.addresses("out.corp.example") == ["192.0.2.80"]
        assert pdns.addresses("vpn.public.example") == ["10.1.0.9"]


def test_blocklists_of_a_mail_server(around: Around, tmp_path: Path) -> None:
    """Answers in 127/8 come as they are, and so do those about listed names, which are blocked as such."""
    with around.run(tmp_path, "DNS blocklists of a mail server") as pdns:
        test_name = "2.0.0.127.zen.spamhaus.org"
        assert sorted(pdns.addresses(test_name)) == ["127.0.0.10", "127.0.0.2", "127.0.0.4"]
        assert len(answer(pdns.dns_port, test_name, "TXT")[1]) == 2
        assert answer(pdns.dns_port, "1.0.0.127.zen.spamhaus.org") == ("NXDOMAIN", [])
        assert pdns.addresses(f"{MALWARE}.dbl.spamhaus.org") == ["127.0.1.4"]
        assert pdns.addresses("2.0.0.127.bl.spamcop.net") == ["127.0.0.2"]
        assert pdns.addresses("www.public.example") == ["192.0.2.80"]
        assert answer(pdns.dns_port, MALWARE) == ("NOERROR", BLOCKED)


@pytest.mark.parametrize("name", ["dnsdist", "haproxy"])
def test_behind_a_load_balancer(around: Around, tmp_path: Path, name: str) -> None:
    """The query of a client counts for its own tenant, over UDP and TCP; nothing is answered that has no header."""
    heading = "Behind a load balancer"
    with around.run(tmp_path, heading) as pdns:
        server: RealServer
        if name == "dnsdist":
            server = DnsDist(tmp_path / name, RECIPES[heading].text("setLocal"), pdns.dns_port)
        else:
            server = HaProxy(tmp_path / name, RECIPES[heading].text("frontend"), pdns.dns_port)
        with server as balancer:
            for tcp in (True,) if name == "haproxy" else (False, True):
                query = dns.message.make_query("www.public.example", "A")
                send = dns.query.tcp if tcp else dns.query.udp
                pdns.wait_for(partial(accepts, "127.0.0.1", balancer.port), "it listens")
                reply = send(query, "127.0.0.1", port=balancer.port, source="127.0.0.7", timeout=60)
                assert records(reply.answer) == ["www.public.example. A 192.0.2.80"]
                pdns.wait_for_value(1, "queries_total", tenant="libraries", transport="tcp" if tcp else "udp")
        with pytest.raises(dns.exception.Timeout):
            pdns.ask("www.public.example", timeout_s=1.0)
        assert pdns.value("dropped_total", reason="proxy_no_header") > 0


def test_a_home_network(around: Around, tmp_path: Path) -> None:
    """Names of the hosts file and of the wildcard, their addresses back, and no other name below `lan`."""
    heading = "A home network"
    (tmp_path / "hosts").write_text(RECIPES[heading].text("nas.lan"))
    with around.run(tmp_path, heading) as pdns:
        port = pdns.dns_port
        for name, qtype, right in (
            ("nas.lan", "A", "192.168.1.10"),
            ("nas.lan", "AAAA", "fd00:1::10"),
            ("nas", "A", "192.168.1.10"),
            ("printer.lan", "A", "192.168.1.20"),
            ("photos.apps.lan", "A", "192.168.1.10"),
            ("20.1.168.192.in-addr.arpa", "PTR", "printer.lan."),
            ("www.public.example", "A", "192.0.2.80"),
        ):
            assert answer(port, name, qtype) == ("NOERROR", [f"{name}. {qtype} {right}"])
        assert answer(port, "tv.lan") == ("NXDOMAIN", [])
        assert answer(port, "nas.lan", "MX") == ("NOERROR", [])
        assert answer(port, MALWARE) == ("NOERROR", BLOCKED)
        (tmp_path / "hosts").write_text("192.168.1.11 nas.lan\n")
        pdns.wait_for(lambda: pdns.addresses("nas.lan") == ["192.168.1.11"], "the hosts file has been read again")


def test_an_ipv6_only_site(around: Around, tmp_path: Path) -> None:
    """A name with IPv4 alone has addresses behind the prefix; IPv6 stays as it is, and listed names are blocked."""

    def addresses(name: str) -> list[str]:
        answered = pdns.ask(name, "AAAA", where="::1").answer
        return sorted(str(record) for rrset in answered if rrset.rdtype == dns.rdatatype.AAAA for record in rrset)

    with around.run(tmp_path, "An IPv6-only site") as pdns:
        assert addresses("mail.public.example") == ["64:ff9b::c000:219"]
        assert addresses("www.public.example") == ["2001:db8::80"]
        assert addresses("ipv4only.arpa") == ["64:ff9b::c000:aa", "64:ff9b::c000:ab"]
        assert pdns.rcode("nowhere.public.example", qtype="AAAA", where="::1") == "NXDOMAIN"
        assert "64:ff9b" not in pdns.ask(MALWARE, "AAAA", where="::1").to_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a network namespace")
def test_a_pair(tmp_path: Path) -> None:
    """The shared address is answered at by the machine that has it, with the file as it is, in a network of its own."""
    heading = "A pair with keepalived"
    command = ["unshare", "-n", sys.executable, "-m", "tests.integration.recipepair", str(tmp_path), heading]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_kubernetes(around: Around, tmp_path: Path) -> None:
    """What search lists make of names never reaches an upstream; names of zones and public names are resolved."""
    with around.run(tmp_path, "Kubernetes") as pdns:
        for suffix in ("nodes.example", "svc", "default.svc.cluster.local", "svc.cluster.local", "eu-1.compute.internal"):
            assert answer(pdns.dns_port, f"www.public.example.{suffix}") == ("NXDOMAIN", [])
        assert answer(pdns.dns_port, "kubernetes") == ("NXDOMAIN", [])
        assert pdns.value("responses_total", source="upstream") == 0
        assert pdns.addresses("dc1.corp.example") == ["10.1.0.1"]
        assert answer(pdns.dns_port, "www.public.example.corp.example") == ("NXDOMAIN", [])
        assert pdns.addresses("www.public.example") == ["192.0.2.80"]


def test_coredns_in_front(around: Around, tmp_path: Path) -> None:
    """CoreDNS with the file of the page passes on what it gets, also what is blocked."""
    heading = "Kubernetes"
    with (
        around.run(tmp_path, heading) as pdns,
        CoreDns(tmp_path / "coredns", RECIPES[heading].text("kubernetes"), pdns.dns_port) as coredns,
    ):
        for _ in range(2):
            assert answer(coredns.port, "www.public.example.nodes.example") == ("NXDOMAIN", [])
            assert answer(coredns.port, "www.public.example") == ("NOERROR", ["www.public.example. A 192.0.2.80"])
            assert answer(coredns.port, "dc1.corp.example") == ("NOERROR", ["dc1.corp.example. A 10.1.0.1"])
            assert answer(coredns.port, MALWARE) == ("NOERROR", BLOCKED)


@pytest.mark.parametrize("front", ["unbound", "named"])
def test_a_validating_resolver_in_front(around: Around, tmp_path: Path, front: str) -> None:
    """With the files of the page, internal names are insecure, public ones secure, and blocked ones SERVFAIL."""
    heading = "A validating resolver in front of pdns"
    recipe = RECIPES[heading]
    with around.run(tmp_path, heading) as pdns:
        server: RealServer
        if front == "unbound":
            text, more = at(recipe.text("domain-insecure"), pdns.dns_port, "@"), f'    trust-anchor: "{around.anchor}"'
            server = UnboundWith(tmp_path / front, text, more)
        else:
            server = NamedWith(tmp_path / front, at(recipe.text("validate-except"), pdns.dns_port, " port "), around.anchor)
        with server as resolver:
            for name, address, secure in (
                ("www.public.example", "192.0.2.80", True),
                ("no.such.domain", "", True),  # and with it the root's proof about a range of names
                ("nas.lan", "10.4.0.5", False),
                ("dc1.corp.example", "10.1.0.1", False),
            ):
                message = ask(resolver.port, name, flags=dns.flags.AD)
                assert records(message.answer) == ([f"{name}. A {address}"] if address else [])
                assert (rcode(message), has(message, dns.flags.AD)) == ("NOERROR" if address else "NXDOMAIN", secure)
            assert answer(resolver.port, "1.0.1.10.in-addr.arpa", "PTR")[1] == ["1.0.1.10.in-addr.arpa. PTR dc1.corp.example."]
            assert answer(resolver.port, "host.priv") == ("NXDOMAIN", [])
            assert answer(resolver.port, MALWARE) == ("SERVFAIL", [])
