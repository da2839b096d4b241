"""The running program as a DNS64 in front of nsd, compared with the DNS64 of named and of unbound."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest

from tests.integration.realanswers import ede, has, rcode, records, upstream
from tests.integration.realservers import NamedForwarder, Nsd, Unbound, ask, program
from tests.integration.running_pdns import SINKHOLE, RunningPdns, feed

PREFIX = "2001:db8:64::/96"
ZONE = """\
$TTL 300
@       IN SOA ns hostmaster.example.com. 1 3600 1200 604800 120
@       IN NS ns
ns      IN A 192.0.2.53
four    IN A 198.51.100.1
        IN A 198.51.100.2
short   30 IN A 198.51.100.3
both    IN A 198.51.100.4
        IN AAAA 2001:db8::4
six     IN AAAA 2001:db8::6
mapped  IN A 198.51.100.7
        IN AAAA ::ffff:198.51.100.7
alias   IN CNAME four
alias6  IN CNAME six
empty   IN TXT "no address"
dangling IN CNAME nowhere
moved   IN DNAME new
x.new   IN A 198.51.100.9
listed  IN A 203.0.113.66
private IN A 10.0.0.1
svc     IN HTTPS 1 . ipv4hint=198.51.100.1
"""
REVERSE = """\
$TTL 300
@  IN SOA ns.v4.example. hostmaster.example.com. 1 3600 1200 604800 120
@  IN NS ns.v4.example.
1  IN PTR four.v4.example.
"""
NAMES = ["four", "short", "both", "six", "mapped", "alias", "alias6", "empty", "dangling", "nowhere", "x.moved", "private", "ns"]


@pytest.fixture(scope="module")
def nsd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nsd]:
    with Nsd(tmp_path_factory.mktemp("nsd"), {"v4.example": ZONE, "100.51.198.in-addr.arpa": REVERSE}) as running:
        yield running


@pytest.fixture(scope="module")
def pdns(nsd: Nsd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    directory = tmp_path_factory.mktemp("pdns")
    zone = [{"name": "100.51.198.in-addr.arpa", "servers": [f"127.0.0.1:{nsd.port}"]}]
    listed = [feed(directory, "listed", "203.0.113.0/24", addresses=True)]
    with RunningPdns(directory, {**upstream(nsd.port), "dns64": {"prefix": PREFIX}, "zone": zone, "feed": listed}) as running:
        yield running


class NamedDns64(NamedForwarder):
    """A `named` with the same prefix."""

    def __init__(self, directory: Path, forward_to: int) -> None:
        super().__init__(directory, forward_to)
        self._asked_to_try = ("v4.example",)

    def _command(self) -> list[str]:
        command = super()._command()
        conf = self._directory / "named.conf"
        conf.write_text(conf.read_text().replace("recursion yes;", f"recursion yes; dns64 {PREFIX} {{ }};"))
        return command


class UnboundDns64(Unbound):
    """An `unbound` with the same prefix, which does not validate."""

    def _command(self) -> list[str]:
        command = super()._command()
        conf = self._directory / "unbound.conf"
        own = f'module-config: "dns64 iterator"\n    dns64-prefix: {PREFIX}\n    local-zone: "198.in-addr.arpa" nodefault'
        conf.write_text(conf.read_text().replace('module-config: "validator iterator"', own))
        return command


@pytest.mark.parametrize("peer", [NamedDns64, UnboundDns64])
def test_the_same_answers_as_others(nsd: Nsd, pdns: RunningPdns, tmp_path: Path, peer: type) -> None:
    """RCODE and records of every name of the zone are those that named and unbound give, over UDP and TCP, cached or not."""
    made = peer(tmp_path, nsd.port, ()) if peer is UnboundDns64 else peer(tmp_path, nsd.port)
    with made as other:
        for tcp in (False, True, False):
            for name in NAMES:
                full = f"{name}.v4.example"
                expected, got = ask(other.port, full, "AAAA"), ask(pdns.dns_port, full, "AAAA", tcp=tcp)
                assert rcode(got) == rcode(expected), full
                if peer is UnboundDns64 and name == "mapped":
                    continue  # unbound excludes no address
                once = list(dict.fromkeys(records(expected.answer)))  # unbound 1.22 says an alias of no name twice
                assert records(got.answer) == once, full


def test_addresses_lead_through_the_prefix(pdns: RunningPdns) -> None:
    """What is synthesised, with which TTL and mark; AD is never set on it."""
    answer = ask(pdns.dns_port, "four.v4.example", "AAAA", flags=dns.flags.AD)
    assert records(answer.answer) == [f"four.v4.example. AAAA 2001:db8:64::c633:640{n}" for n in (1, 2)]
    assert all(100 <= one.ttl <= 120 for one in answer.answer)
    assert not has(answer, dns.flags.AD)
    assert ede(answer) == 29
    assert ask(pdns.dns_port, "short.v4.example", "AAAA").answer[0].ttl <= 30
    assert ede(ask(pdns.dns_port, "both.v4.example", "AAAA")) is None


def asked(port: int, name: str, qtype: str) -> list[str]:
    return records(ask(port, name, qtype).answer)


def test_what_is_not_translated(nsd: Nsd, pdns: RunningPdns) -> None:
    """A client that validates, and other types, get what nsd says."""
    assert not ask(pdns.dns_port, "four.v4.example", "AAAA", do=True, flags=dns.flags.CD).answer
    for qtype in ("A", "TXT"):
        assert asked(pdns.dns_port, "four.v4.example", qtype) == asked(nsd.port, "four.v4.example", qtype)
    assert asked(pdns.dns_port, "svc.v4.example", "HTTPS") == asked(nsd.port, "svc.v4.example", "HTTPS")


def test_a_listed_address_is_blocked(pdns: RunningPdns) -> None:
    """It is found behind the prefix, and the sinkhole is answered."""
    answer = ask(pdns.dns_port, "listed.v4.example", "AAAA")
    assert records(answer.answer) == ["listed.v4.example. AAAA 2001:db8::1"]
    assert ede(answer) == 15
    assert pdns.addresses("listed.v4.example") == [SINKHOLE]


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_dig_finds_the_prefix_and_the_names(pdns: RunningPdns, transport: str) -> None:
    """`ipv4only.arpa` has the prefix, and `dig -x` of a synthesised address the name of the host."""

    def dig(*words: str) -> list[str]:
        command = [program("dig"), "@127.0.0.1", "-p", str(pdns.dns_port), transport, "+time=30", "+short", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=90).stdout.split()

    assert sorted(dig("ipv4only.arpa", "AAAA")) == ["2001:db8:64::c000:aa", "2001:db8:64::c000:ab"]
    assert sorted(dig("ipv4only.arpa", "A")) == ["192.0.0.170", "192.0.0.171"]
    assert dig("-x", "2001:db8:64::198.51.100.1") == ["1.100.51.198.in-addr.arpa.", "four.v4.example."]
    assert dig("-x", "2001:db8:64::192.0.0.170") == ["170.0.0.192.in-addr.arpa.", "ipv4only.arpa."]
    assert dig("four.v4.example", "AAAA")


def test_a_name_without_an_entry(pdns: RunningPdns) -> None:
    """The reverse name of an address that has none does not exist, and neither does one of a private address."""
    for address in ("2001:db8:64::198.51.100.99", "2001:db8:64::10.0.0.1"):
        answer = ask(pdns.dns_port, ip_address(address).reverse_pointer, "PTR")
        assert answer.rcode() == dns.rcode.NXDOMAIN
        assert len(answer.answer) == 1


def test_it_is_turned_on_and_off_by_a_reload(nsd: Nsd, tmp_path: Path) -> None:
    """What is cached changes at once."""
    base = upstream(nsd.port)
    with RunningPdns(tmp_path, base) as pdns:
        for config, expected in ((base, 0), ({**base, "dns64": {"prefix": PREFIX}}, 2), (base, 0)):
            pdns.write_config(config)
            pdns.reload()
            for tcp in (False, True):
                assert len(ask(pdns.dns_port, "four.v4.example", "AAAA", tcp=tcp).answer) == expected
