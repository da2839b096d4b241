"""The running program between real servers: nsd behind it, a validating unbound before and behind it, dig in front."""

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
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdns.config.load import EXAMPLE
from pdns.wire import protocol as p
from tests.integration.realservers import Nsd, Unbound, ask, program
from tests.integration.running import SINKHOLE, RunningPdns

_HEAD = """\
$TTL 300
@   IN SOA ns hostmaster.example.com. 2024010101 3600 1200 604800 120
@   IN NS ns
ns  IN A 192.0.2.53
"""
LONGEST = ".".join(("a" * 63, "b" * 63, "c" * 63, "d" * 48))  # 255 octets, with the origin
_BIG_TXT = "\n".join(f'big IN TXT "{number:03}{"x" * 200}"' for number in range(15))
_HUGE_TXT = "\n".join(f'huge IN TXT "{number:03}{"x" * 240}"' for number in range(230))
REAL = f"""{_HEAD}
@           IN MX 10 Mail
            IN MX 20 mail.example.net.
            IN TXT "v=spf1 -all" "second; \\"quoted\\" \\009\\255"
            IN TXT ""
            IN CAA 0 issue "ca.example.net; account=1"
            IN CAA 128 iodef "mailto:security@example.net"
            IN HTTPS 1 . alpn="h2,h3" port=8443 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::2 key65400="\\001x"
            IN NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example.net!" .
            IN RP Host.Master.real.example. txt
            IN LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
            IN TYPE65280 \\# 6 c00cdeadbeef
Mail        IN A 192.0.2.25
            IN AAAA 2001:db8::25
www         IN A 192.0.2.1
            IN A 192.0.2.2
            IN A 192.0.2.3
            IN AAAA 2001:db8::1
alias       IN HTTPS 0 svc.example.net.
_dns        IN SVCB 2 dot.example.net. alpn="dot" mandatory=alpn
_sip._tcp   IN SRV 0 5 5060 Sip
            IN SRV 1 5 5060 sip.example.net.
_443._tcp   IN TLSA 3 1 1 {"ab" * 32}
1.2         IN PTR www
*.wild      IN A 192.0.2.77
            IN TXT "wild"
*.wildalias IN CNAME www
hop1        IN CNAME hop2
hop2        IN CNAME Hop3
hop3        IN CNAME www
outside     IN CNAME www.example.net.
tonowhere   IN CNAME nowhere
tonothing   IN CNAME mail
moved       IN DNAME new
a.b.new     IN A 192.0.2.9
below.ent   IN A 192.0.2.10
{LONGEST} IN A 192.0.2.63
dot\\.ted\\000\\255 IN A 192.0.2.11
{_BIG_TXT}
{_HUGE_TXT}
"""
SIGNED = f"""{_HEAD}
@         IN MX 10 mail
www       IN A 192.0.2.1
          IN A 192.0.2.2
alias     IN CNAME www
*.wild    IN A 192.0.2.77
*.wild2   IN CNAME www
odd       IN TYPE65280 \\# 4 deadbeef
moved     IN DNAME new
a.new     IN A 192.0.2.9
below.ent IN A 192.0.2.10
tampered  IN A 192.0.2.66
          IN TXT "sound"
insecure  IN NS ns.insecure
{_BIG_TXT}
"""
INSECURE = f"{_HEAD}www IN A 192.0.2.99\n"
TAMPERED = "203.0.113.66"


class Signed:
    """`SIGNED` with the signatures it needs, one address changed afterwards, and the key to trust."""

    def __init__(self) -> None:
        key = Ed25519PrivateKey.generate()
        dnskey = dns.dnssec.make_dnskey(key.public_key(), dns.dnssectypes.Algorithm.ED25519, flags=257)
        zone = dns.zone.from_text(SIGNED, "signed.example.", relativize=False)
        dns.dnssec.sign_zone(zone, keys=[(key, dnskey)], inception=time.time() - 3600, lifetime=86400)
        zone.replace_rdataset("tampered.signed.example.", dns.rdataset.from_text("IN", "A", 300, TAMPERED))
        self.text = zone.to_text()
        self.anchor = f"signed.example. IN DNSKEY {dnskey}"


@pytest.fixture(scope="module")
def signed() -> Signed:
    return Signed()


@pytest.fixture(scope="module")
def nsd(signed: Signed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nsd]:
    zones = {"real.example": REAL, "signed.example": signed.text, "insecure.signed.example": INSECURE}
    with Nsd(tmp_path_factory.mktemp("nsd"), zones) as running:
        yield running


@pytest.fixture(scope="module")
def pdns(nsd: Nsd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    """The program, with nsd as its only upstream."""
    with RunningPdns(tmp_path_factory.mktemp("pdns"), upstream(nsd.port)) as running:
        yield running


@pytest.fixture(scope="module")
def unbound(pdns: RunningPdns, signed: Signed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unbound]:
    """A validating resolver that knows the world through the program only."""
    with Unbound(tmp_path_factory.mktemp("unbound"), pdns.dns_port, [signed.anchor]) as running:
        yield running


@pytest.fixture(scope="module")
def front(unbound: Unbound, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    """The program, with that validating resolver as its only upstream."""
    with RunningPdns(tmp_path_factory.mktemp("front"), upstream(unbound.port)) as running:
        yield running


@pytest.fixture(scope="module")
def blocking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    """The program with the feed that is shipped, as it runs when nothing is configured."""
    program("dig")
    shipped = {"name": "example", "url": (EXAMPLE.parent / "example-feed.hosts").as_uri(), "required": True}
    with RunningPdns(tmp_path_factory.mktemp("blocking"), {"feed": [shipped]}) as running:
        yield running


def upstream(port: int) -> dict[str, dict[str, list[str]]]:
    return {"upstream": {"servers": [f"udp://127.0.0.1:{port}"]}}


def records(section: list[dns.rrset.RRset], *types: int) -> list[str]:
    """Owner, type and data of the records of `section`, in no order; with `types` only those."""
    return sorted(
        f"{one.name.canonicalize()} {dns.rdatatype.to_text(one.rdtype)} {one[0]}"
        for one in section
        if not types or one.rdtype in types
    )


def has(message: dns.message.Message, flag: dns.flags.Flag) -> bool:
    return bool(message.flags & flag)


def ede(message: dns.message.Message) -> int | None:
    """The code of the Extended DNS Error."""
    return next((int(option.code) for option in message.options if isinstance(option, dns.edns.EDEOption)), None)


def rcode(message: dns.message.Message) -> str:
    return dns.rcode.to_text(message.rcode())


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
    """What exceeds 1232 octets is TC and nothing else over UDP, and whole over TCP, up to nearly 64 KiB."""
    over_udp = ask(pdns.dns_port, real(name), "TXT")
    assert has(over_udp, dns.flags.TC)
    assert over_udp.answer == []
    ours, theirs = (ask(port, real(name), "TXT", tcp=True) for port in (pdns.dns_port, nsd.port))
    assert records(ours.answer) == records(theirs.answer)
    assert not has(ours, dns.flags.TC)
    assert len(ours.to_wire(max_size=65535)) > size_bytes


# DNSSEC: a validating unbound that forwards to us.

SECURE = [
    ("@", "SOA"), ("@", "MX"), ("@", "DNSKEY"), ("www", "A"), ("WWW", "A"), ("alias", "A"), ("deep.er.wild", "A"),
    ("one.wild2", "A"), ("odd", "TYPE65280"), ("a.moved", "A"), ("big", "TXT"), ("www", "NSEC"), ("tampered", "TXT"),
]  # fmt: skip
SECURE_NEGATIVE = [
    ("www", "MX", "NOERROR"), ("alias", "MX", "NOERROR"), ("ent", "A", "NOERROR"), ("one.wild", "MX", "NOERROR"),
    ("one.wild2", "MX", "NOERROR"), ("insecure", "DS", "NOERROR"), ("nowhere", "A", "NXDOMAIN"), ("b.a.moved", "A", "NXDOMAIN"),
]  # fmt: skip


def secure(name: str) -> str:
    return "signed.example." if name == "@" else f"{name}.signed.example."


@pytest.mark.parametrize(("name", "qtype"), SECURE)
def test_signed_answers_validate(unbound: Unbound, name: str, qtype: str) -> None:
    """A validating resolver behind which there is only us finds signed answers secure: chains, wildcards, large ones too."""
    message = ask(unbound.port, secure(name), qtype, tcp=True, flags=dns.flags.AD)
    assert (rcode(message), ede(message)) == ("NOERROR", None)
    assert message.answer
    assert has(message, dns.flags.AD)


@pytest.mark.parametrize(("name", "qtype", "expected"), SECURE_NEGATIVE)
def test_proofs_of_absence_validate(unbound: Unbound, name: str, qtype: str, expected: str) -> None:
    """NODATA and NXDOMAIN come with NSEC records that prove them: at names, at wildcards, behind aliases, at a delegation."""
    message = ask(unbound.port, secure(name), qtype, flags=dns.flags.AD)
    assert (rcode(message), ede(message)) == (expected, None)
    assert has(message, dns.flags.AD)


def test_an_unsigned_zone_below_is_insecure_not_bogus(unbound: Unbound) -> None:
    """A delegation that is proven to be unsigned leads to answers without AD, not to SERVFAIL."""
    message = ask(unbound.port, "www.insecure.signed.example.", flags=dns.flags.AD)
    assert records(message.answer) == ["www.insecure.signed.example. A 192.0.2.99"]
    assert not has(message, dns.flags.AD)


def test_tampering_is_found_and_cd_shows_it(unbound: Unbound, pdns: RunningPdns) -> None:
    """A changed address is SERVFAIL for clients of the validating resolver; CD shows it to them, without AD."""
    bogus = ask(unbound.port, "tampered.signed.example.")
    assert (rcode(bogus), bogus.answer, ede(bogus)) == ("SERVFAIL", [], dns.edns.EDECode.DNSSEC_BOGUS)
    for port in (unbound.port, pdns.dns_port):
        shown = ask(port, "tampered.signed.example.", flags=dns.flags.CD | dns.flags.AD)
        assert records(shown.answer) == [f"tampered.signed.example. A {TAMPERED}"]
        assert (has(shown, dns.flags.CD), has(shown, dns.flags.AD)) == (True, False)


@pytest.mark.parametrize(
    ("name", "qtype"), [("www", "A"), ("alias", "A"), ("one.wild", "A"), ("www", "MX"), ("nowhere", "A"), ("insecure", "DS")]
)
def test_do_is_passed_on(pdns: RunningPdns, nsd: Nsd, name: str, qtype: str) -> None:
    """A client with DO gets every signature and proof that nsd gives for the answer, and no other; one without gets none."""
    theirs = ask(nsd.port, secure(name), qtype, do=True)
    for _ in range(2):
        ours = ask(pdns.dns_port, secure(name), qtype, do=True)
        plain = ask(pdns.dns_port, secure(name), qtype)
        assert (ours.rcode(), plain.rcode()) == (theirs.rcode(), theirs.rcode())
        assert records(ours.answer) == records(theirs.answer)
        assert records(ours.authority) == records([one for one in theirs.authority if covered(one) in (p.SOA, p.NSEC)])
        assert (bool(ours.ednsflags & dns.flags.DO), bool(plain.ednsflags & dns.flags.DO)) == (True, False)
        assert not {one.rdtype for one in (*plain.answer, *plain.authority)} & {p.RRSIG, p.NSEC}
        assert (has(ours, dns.flags.AD), has(plain, dns.flags.AD)) == (False, False)


def covered(one: dns.rrset.RRset) -> int:
    """The type of a record; of a signature, that of the records it is for."""
    return int(one[0].type_covered if one.rdtype == p.RRSIG else one.rdtype)


# DNSSEC: we forward to a validating unbound (which knows the world through another of us).


@pytest.mark.parametrize(("name", "expected"), [("www", "NOERROR"), ("nowhere", "NXDOMAIN")])
def test_ad_is_for_those_who_ask(front: RunningPdns, name: str, expected: str) -> None:
    """The validating upstream's AD goes to clients that set AD or DO and to no others, whoever's question came first."""
    for _ in range(2):
        for do, flags, wanted in ((False, 0, False), (False, dns.flags.AD, True), (True, 0, True), (False, 0, False)):
            message = ask(front.dns_port, secure(name), do=do, flags=flags)
            assert rcode(message) == expected
            assert has(message, dns.flags.AD) is wanted
    assert not has(ask(front.dns_port, "www.insecure.signed.example.", flags=dns.flags.AD), dns.flags.AD)


def test_bogus_stays_bogus_beside_cd(front: RunningPdns) -> None:
    """SERVFAIL of a validating upstream is passed on with its reason; an answer given to CD is not given to others."""
    for _ in range(2):
        bogus = ask(front.dns_port, "tampered.signed.example.", do=True)
        assert (rcode(bogus), bogus.answer, ede(bogus)) == ("SERVFAIL", [], dns.edns.EDECode.DNSSEC_BOGUS)
        shown = ask(front.dns_port, "tampered.signed.example.", flags=dns.flags.CD | dns.flags.AD)
        assert records(shown.answer) == [f"tampered.signed.example. A {TAMPERED}"]
        assert not has(shown, dns.flags.AD)


# What is answered here, behind a validating unbound that trusts a root.

ROOT = """\
@ 300 IN SOA ns. hostmaster. 2024010101 3600 1200 604800 120
@ 300 IN NS ns.
ns. 300 IN A 192.0.2.53
arpa. 300 IN NS ns.
loans. 300 IN NS ns.
locker. 300 IN NS ns.
"""
LOCAL_ZONES = ("localhost.", "test.", "invalid.", "onion.", "home.arpa.", "10.in-addr.arpa.")


@pytest.fixture(scope="module")
def believer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unbound]:
    """It knows the world through the program only, and the program through nsd with a signed root."""
    key = Ed25519PrivateKey.generate()
    dnskey = dns.dnssec.make_dnskey(key.public_key(), dns.dnssectypes.Algorithm.ED25519, flags=257)
    zone = dns.zone.from_text(ROOT, ".", relativize=False)
    dns.dnssec.sign_zone(zone, keys=[(key, dnskey)], inception=time.time() - 3600, lifetime=86400)
    make = tmp_path_factory.mktemp
    with (
        Nsd(make("root"), {".": zone.to_text()}) as root,
        RunningPdns(make("pdns"), upstream(root.port)) as pdns,
        Unbound(make("unbound"), pdns.dns_port, [f". IN DNSKEY {dnskey}"], asks_for=LOCAL_ZONES) as running,
    ):
        yield running


@pytest.mark.parametrize("zone", ["local", "localhost", "internal", "test", "invalid", "onion", "alt"])
@pytest.mark.parametrize("qtype", ["A", "AAAA", "TXT", "DS", "SOA"])
def test_a_validating_resolver_believes_what_the_root_denies(believer: Unbound, zone: str, qtype: str) -> None:
    """Special top-level names and the names below them do not exist, and that is proven."""
    for name in (f"x.y.{zone}", zone):
        message = ask(believer.port, name, qtype, do=True)
        assert (rcode(message), has(message, dns.flags.AD)) == ("NXDOMAIN", True)


@pytest.mark.parametrize("name", ["printer.home.arpa", "1.2.3.10.in-addr.arpa", "home.arpa"])
def test_a_validating_resolver_believes_what_is_delegated_unsigned(believer: Unbound, name: str) -> None:
    """Special names below an unsigned delegation need no proof."""
    message = ask(believer.port, name, "PTR", do=True)
    assert (rcode(message), has(message, dns.flags.AD)) == ("NOERROR" if name == "home.arpa" else "NXDOMAIN", False)


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
    """`version.bind` in class CH is REFUSED: what runs here is nobody's business."""
    text = dig(blocking, "CH", "TXT", "version.bind")
    assert "status: REFUSED" in text
    assert "ANSWER: 0" in text


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
