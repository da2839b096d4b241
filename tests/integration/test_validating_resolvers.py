"""The running program and a validating unbound, which knows the world through it, or which it asks."""

from __future__ import annotations

import time
from collections.abc import Iterator

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

from pdns.wire import protocol as p
from tests.integration.realanswers import ede, has, rcode, records, upstream
from tests.integration.realservers import Nsd, Unbound, ask
from tests.integration.realzones import INSECURE, TAMPERED, Signed
from tests.integration.running_pdns import RunningPdns


@pytest.fixture(scope="module")
def signed() -> Signed:
    return Signed()


@pytest.fixture(scope="module")
def nsd(signed: Signed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nsd]:
    zones = {"signed.example": signed.text, "insecure.signed.example": INSECURE}
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
def forwarder(unbound: Unbound, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    """The program, with that validating resolver as its only upstream."""
    with RunningPdns(tmp_path_factory.mktemp("forwarder"), upstream(unbound.port)) as running:
        yield running


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
def test_ad_is_for_those_who_ask(forwarder: RunningPdns, name: str, expected: str) -> None:
    """The validating upstream's AD goes to clients that set AD or DO and to no others, whoever's question came first."""
    for _ in range(2):
        for do, flags, wanted in ((False, 0, False), (False, dns.flags.AD, True), (True, 0, True), (False, 0, False)):
            message = ask(forwarder.dns_port, secure(name), do=do, flags=flags)
            assert rcode(message) == expected
            assert has(message, dns.flags.AD) is wanted
    assert not has(ask(forwarder.dns_port, "www.insecure.signed.example.", flags=dns.flags.AD), dns.flags.AD)


def test_bogus_stays_bogus_beside_cd(forwarder: RunningPdns) -> None:
    """SERVFAIL of a validating upstream is passed on with its reason; an answer given to CD is not given to others."""
    for _ in range(2):
        bogus = ask(forwarder.dns_port, "tampered.signed.example.", do=True)
        assert (rcode(bogus), bogus.answer, ede(bogus)) == ("SERVFAIL", [], dns.edns.EDECode.DNSSEC_BOGUS)
        shown = ask(forwarder.dns_port, "tampered.signed.example.", flags=dns.flags.CD | dns.flags.AD)
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
