"""The running program between real servers: nsd behind it, dig in front."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import dns.dnssec
import dns.dnssectypes
import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.zone
import pytest

from pdns.config.load import EXAMPLE
from pdns.wire import protocol as p
from tests.integration.realanswers import ede, has, rcode, records, upstream
from tests.integration.realservers import Nsd, ask, program
from tests.integration.realzones import LONGEST, REAL
from tests.integration.running_pdns import SINKHOLE, RunningPdns


@pytest.fixture(scope="module")
def nsd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nsd]:
    with Nsd(tmp_path_factory.mktemp("nsd"), {"real.example": REAL}) as running:
        yield running


@pytest.fixture(scope="module")
def pdns(nsd: Nsd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    """The program, with nsd as its only upstream."""
    with RunningPdns(tmp_path_factory.mktemp("pdns"), upstream(nsd.port)) as running:
        yield running


@pytest.fixture(scope="module")
def blocking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    """The program with the feed that is shipped, as it runs when nothing is configured."""
    program("dig")
    shipped = {"name": "example", "url": (EXAMPLE.parent / "example-feed.hosts").as_uri(), "required": True}
    with RunningPdns(tmp_path_factory.mktemp("blocking"), {"feed": [shipped]}) as running:
        yield running


# nsd as the upstream.


POSITIVE = [
    ("www", "A"), ("www", "AAAA"), ("WwW", "A"), ("@", "MX"), ("@", "TXT"), ("@", "NS"), ("@", "SOA"), ("@", "CAA"),
    ("@", "NAPTR"), ("@", "RP"), ("@", "LOC"), ("@", "HTTPS"), ("alias", "HTTPS"), ("_dns", "SVCB"), ("_sip._tcp", "SRV"),
    ("_443._tcp", "TLSA"), ("1.2", "PTR"), ("@", "TYPE65280"), ("deep.er.wild", "A"), ("one.wild", "TXT"),
    ("one.wildalias", "A"), ("hop1", "A"), ("hop1", "AAAA"), ("hop1", "CNAME"), ("outside", "A"), ("a.b.moved", "A"),
    ("moved", "DNAME"), ("a.b.moved", "CNAME"), (LONGEST, "A"), (r"dot\.ted\000\255", "A"),
]  # fmt: skip
NEGATIVE = [
    ("www", "MX", "NOERROR"), ("@", "A", "NOERROR"), ("@", "TYPE65281", "NOERROR"), ("ent", "A", "NOERROR"),
    ("one.wild", "MX", "NOERROR"), ("tonothing", "MX", "NOERROR"), ("b.moved", "A", "NOERROR"), ("www", "DS", "NOERROR"),
    ("nowhere", "A", "NXDOMAIN"), ("below.www", "A", "NXDOMAIN"), ("tonowhere", "A", "NXDOMAIN"), ("c.moved", "A", "NXDOMAIN"),
]  # fmt: skip


def real(name: str) -> str:
    return "real.example." if name == "@" else f"{name}.real.example."


@pytest.mark.parametrize(("name", "qtype"), POSITIVE)
def test_answers_are_those_of_the_upstream(pdns: RunningPdns, nsd: Nsd, name: str, qtype: str) -> None:
    """Whatever the type, the answer has nsd's records and no others, fresh over UDP and from the cache over TCP."""
    theirs = ask(nsd.port, real(name), qtype)
    for tcp in (False, True):
        ours = ask(pdns.dns_port, real(name), qtype, tcp=tcp)
        assert (rcode(ours), records(ours.answer)) == ("NOERROR", records(theirs.answer))
        assert ours.answer
        assert (ours.authority, ours.additional) == ([], [])
        assert ours.question[0].name.labels == dns.name.from_text(real(name)).labels
        assert ours.flags & ~dns.flags.RD == dns.flags.QR | dns.flags.RA


@pytest.mark.parametrize(("name", "qtype", "expected"), NEGATIVE)
def test_negative_answers_keep_their_soa(pdns: RunningPdns, nsd: Nsd, name: str, qtype: str, expected: str) -> None:
    """NODATA and NXDOMAIN, also at the end of a CNAME or DNAME, have nsd's rcode, records and SOA, and nothing else."""
    theirs = ask(nsd.port, real(name), qtype)
    for tcp in (False, True):
        ours = ask(pdns.dns_port, real(name), qtype, tcp=tcp)
        assert (rcode(ours), rcode(theirs)) == (expected, expected)
        assert records(ours.answer) == records(theirs.answer)
        assert records(ours.authority) == records(theirs.authority, p.SOA)
        assert len(ours.authority) == 1
        assert ours.authority[0].ttl <= 120


@pytest.mark.parametrize(("name", "size_bytes"), [("big", 3_000), ("huge", 55_000)])
def test_large_answers_come_over_tcp(pdns: RunningPdns, nsd: Nsd, name: str, size_bytes: int) -> None:
    """What exceeds 1232 bytes is TC and nothing else over UDP, and whole over TCP, up to nearly 64 KiB."""
    over_udp = ask(pdns.dns_port, real(name), "TXT")
    assert has(over_udp, dns.flags.TC)
    assert over_udp.answer == []
    ours, theirs = (ask(port, real(name), "TXT", tcp=True) for port in (pdns.dns_port, nsd.port))
    assert records(ours.answer) == records(theirs.answer)
    assert not has(ours, dns.flags.TC)
    assert len(ours.to_wire(max_size=65535)) > size_bytes


# dig, as a user types it.


def dig(pdns: RunningPdns, *arguments: str) -> str:
    """What dig prints, with runs of white space as one space."""
    command = [program("dig"), "-r", "@127.0.0.1", "-p", str(pdns.dns_port), "+tries=1", "+time=30", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert "Warning" not in done.stdout
    assert done.stderr == ""
    return " ".join(done.stdout.split())


def test_dig_shows_what_is_blocked_and_why(blocking: RunningPdns) -> None:
    """`dig malware.test` prints NOERROR, the sinkhole's address, and who listed the name."""
    text = dig(blocking, "malware.test")
    assert "status: NOERROR" in text
    assert f"malware.test. 60 IN A {SINKHOLE}" in text
    assert "EDE: 15 (Blocked)" in text
    assert "malware.test is listed by example" in text
    assert "(UDP)" in text


def test_dig_over_tcp(blocking: RunningPdns) -> None:
    """`dig +tcp` gets the same answer, over TCP."""
    text = dig(blocking, "+tcp", "malware.test")
    assert f"IN A {SINKHOLE}" in text
    assert "EDE: 15 (Blocked)" in text
    assert "(TCP)" in text


def test_dig_with_another_version_of_edns(blocking: RunningPdns) -> None:
    """EDNS version 1 is BADVERS, with the version that is spoken here; left to negotiate, dig comes back with that."""
    text = dig(blocking, "+edns=1", "+noednsneg", "malware.test")
    assert "status: BADVERS" in text
    assert "EDNS: version: 0" in text
    assert SINKHOLE not in text
    assert f"IN A {SINKHOLE}" in dig(blocking, "+edns=1", "+ednsneg", "malware.test")


def test_dig_without_edns(blocking: RunningPdns) -> None:
    """Who does not speak EDNS gets the answer without an OPT record."""
    text = dig(blocking, "+noedns", "malware.test")
    assert f"IN A {SINKHOLE}" in text
    assert "OPT PSEUDOSECTION" not in text
    assert "ADDITIONAL: 0" in text


def test_dig_finds_no_version(blocking: RunningPdns) -> None:
    """`version.bind` in class CH is REFUSED: clients do not learn what runs here."""
    text = dig(blocking, "CH", "TXT", "version.bind")
    assert "status: REFUSED" in text
    assert "ANSWER: 0" in text


def test_dig_finds_which_server_answered(tmp_path: Path) -> None:
    """NSID and `id.server`, once a name is configured; the next name is in force at once."""
    program("dig")
    with RunningPdns(tmp_path, {"server": {"identity": "ns1.example"}}) as pdns:
        assert "NSID: 6e 73 31 2e 65 78 61 6d 70 6c 65" in dig(pdns, "+nsid", "localhost")
        assert "NSID: 6e 73 31" in dig(pdns, "+nsid", "+tcp", "+keepalive", "localhost")
        assert "NSID" not in dig(pdns, "localhost")
        for name in ("id.server", "hostname.bind"):
            assert '"ns1.example"' in dig(pdns, "CH", "TXT", name)
        pdns.write_config({"server": {"identity": "ns2.example"}})
        pdns.reload()
        pdns.wait_for(lambda: '"ns2.example"' in dig(pdns, "CH", "TXT", "id.server"), "the next name")
        assert "NSID: 6e 73 32" in dig(pdns, "+nsid", "localhost")


# An upstream that goes away.


SHORT = """\
$TTL 1
@   IN SOA ns hostmaster.example.com. 1 3600 1200 604800 1
@   IN NS ns
ns  IN A 192.0.2.53
www IN A {address}
new IN A {address}
"""


@pytest.mark.parametrize("way", ["killed", "stopped"])
def test_an_upstream_that_goes_away_and_comes_back(tmp_path: Path, way: str) -> None:
    """Without nsd, dead or silent, known names get stale answers, new ones SERVFAIL with the reason; with it, soon fresh ones."""
    before, after = "192.0.2.1", "192.0.2.1" if way == "stopped" else "192.0.2.2"
    with Nsd(tmp_path / "nsd", {"short.example": SHORT.format(address=before)}) as nsd:
        config = {
            "upstream": {"servers": [f"udp://127.0.0.1:{nsd.port}"], "timeout_s": 0.5},
            "cache": {"stale_ttl_s": 1, "servfail_ttl_s": 1},
        }
        with RunningPdns(tmp_path, config) as pdns:
            worker_pid = pdns.worker_pid
            for name, expected in (("www", "NOERROR"), ("nowhere", "NXDOMAIN")):
                fresh = ask(pdns.dns_port, f"{name}.short.example")
                assert (rcode(fresh), ede(fresh)) == (expected, None)

            if way == "killed":
                nsd.kill()
            else:
                nsd.signal(signal.SIGSTOP)
            time.sleep(1.1)  # the TTL of what was answered
            stale = ask(pdns.dns_port, "www.short.example")
            assert (records(stale.answer), ede(stale)) == ([f"www.short.example. A {before}"], p.EDE_STALE)
            assert stale.answer[0].ttl == 1
            absent = ask(pdns.dns_port, "nowhere.short.example")
            assert (rcode(absent), ede(absent)) == ("NXDOMAIN", p.EDE_STALE_NXDOMAIN)
            failed = ask(pdns.dns_port, "new.short.example")
            assert (rcode(failed), failed.answer) == ("SERVFAIL", [])
            assert ede(failed) in (p.EDE_NO_REACHABLE_AUTHORITY, p.EDE_NETWORK_ERROR)

            if way == "killed":
                nsd.zones["short.example"] = SHORT.format(address=after)
                nsd.start()
            else:
                nsd.signal(signal.SIGCONT)
            for name in ("new.short.example", "www.short.example"):
                pdns.wait_for(partial(answered_afresh, pdns.dns_port, name, after), f"{name}, fresh")
            assert pdns.worker_pid == worker_pid


def answered_afresh(port: int, name: str, address: str) -> bool:
    message = ask(port, name)
    return (records(message.answer), ede(message)) == ([f"{name}. A {address}"], None)
