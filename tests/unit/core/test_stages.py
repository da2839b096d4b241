"""The small stages: clients, rate limit, special names, questions in flight."""

from __future__ import annotations

from typing import Any

import pytest

from pdns.config.policy_schema import Tenant
from pdns.config.schema import Access, RateLimit
from pdns.core.clients import ClientTable
from pdns.core.in_flight import MAX_WAITERS, Waiter
from pdns.core.outcome import Forward
from pdns.core.special_names import SPECIAL_ZONES, UNDELEGATED_ZONES, SpecialNames
from pdns.fast.in_flight import InFlight as CompiledInFlight
from pdns.reference.in_flight import ReferenceInFlight
from pdns.reference.rate_limit import RateLimiter
from pdns.wire import names
from pdns.wire import protocol as p
from pdns.wire.transport import Transport
from tests.wire import answers, query, read

IN_FLIGHT: dict[str, Any] = {"python": ReferenceInFlight, "compiled": CompiledInFlight}
TENANTS = (Tenant(name="wide", networks=("198.51.0.0/16", "2001:db8::/32")), Tenant(name="narrow", networks=("198.51.100.0/24",)))


@pytest.mark.parametrize(
    ("address", "tenant", "allowed"),
    [
        ("127.0.0.1", "default", True),
        ("192.168.255.1", "default", True),
        ("fd00::1", "default", True),
        ("8.8.8.8", "default", False),
        ("2a00::1", "default", False),
        ("198.51.7.7", "wide", True),
        ("198.51.100.7", "narrow", True),
        ("2001:db8::7", "wide", True),
    ],
)
def test_the_longest_network_decides(address: str, tenant: str, *, allowed: bool) -> None:
    """Private ranges may ask, strangers may not, a tenant's networks may, and the narrower tenant wins."""
    table = ClientTable(Access(), TENANTS, (1, 2))
    for _ in range(2):
        client = table.lookup(address)
        assert (client.tenant, client.allowed) == (tenant, allowed)


def test_known_clients_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses seen are remembered within a bound, the oldest forgotten first."""
    monkeypatch.setattr("pdns.core.clients._MAX_KNOWN", 3)
    table = ClientTable(Access(), (), ())
    for last in range(10):
        table.lookup(f"10.0.0.{last}")
    assert list(table._known) == ["10.0.0.7", "10.0.0.8", "10.0.0.9"]


def test_a_prefix_has_its_burst_then_its_rate() -> None:
    """After the burst one prefix gets its rate; another prefix is not affected; time brings tokens back."""
    limiter = RateLimiter(RateLimit(queries_per_s=10, burst=5, ipv4_prefix=24))
    assert [limiter.admits("192.0.2.1", 100.0) for _ in range(6)] == [True] * 5 + [False]
    assert not limiter.admits("192.0.2.200", 100.0)
    assert limiter.admits("192.0.3.1", 100.0)
    assert limiter.admits("192.0.2.1", 100.11)
    assert not limiter.admits("192.0.2.1", 100.12)
    assert [limiter.admits("192.0.2.1", 1000.0) for _ in range(6)] == [True] * 5 + [False]


def test_no_rate_no_limit() -> None:
    """A rate of 0 limits no client."""
    assert all(RateLimiter(RateLimit(queries_per_s=0, burst=1)).admits("10.0.0.1", 0.0) for _ in range(100))


@pytest.mark.parametrize(
    ("name", "qtype", "rcode", "rdata"),
    [
        ("localhost", "A", p.NOERROR, ["127.0.0.1"]),
        ("x.localhost", "AAAA", p.NOERROR, ["::1"]),
        ("localhost", "MX", p.NOERROR, []),
        ("1.0.0.127.in-addr.arpa", "PTR", p.NOERROR, ["localhost."]),
        ("1.0.0.127.in-addr.arpa", "A", p.NOERROR, []),
        ("0.127.in-addr.arpa", "PTR", p.NOERROR, []),
        ("2.0.0.127.in-addr.arpa", "PTR", p.NXDOMAIN, []),
        ("1." + "0." * 31 + "ip6.arpa", "PTR", p.NOERROR, ["localhost."]),
        ("1.1.168.192.in-addr.arpa", "PTR", p.NXDOMAIN, []),
        ("168.192.in-addr.arpa", "SOA", p.NOERROR, []),
        ("5.31.172.in-addr.arpa", "PTR", p.NXDOMAIN, []),
        ("1.127.100.in-addr.arpa", "PTR", p.NXDOMAIN, []),
        ("duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion", "A", p.NXDOMAIN, []),
        ("use-application-dns.net", "A", p.NXDOMAIN, []),
        ("_dns.resolver.arpa", "SVCB", p.NOERROR, []),
        ("printer.local", "A", p.NXDOMAIN, []),
        ("wiki.internal", "A", p.NXDOMAIN, []),
        ("internal", "NS", p.NXDOMAIN, []),
    ],
)
def test_special_names_stay_here(name: str, qtype: str, rcode: int, rdata: list[str]) -> None:
    """Special-use names get their answer, and every negative one an SOA at or above the name."""
    asked = query(name, qtype)
    entry = SpecialNames((*SPECIAL_ZONES, *UNDELEGATED_ZONES), ()).answer(asked.qname, asked.qtype, 0.0)
    assert entry is not None
    wire = entry.render(asked, 0.0, 1232)
    assert (read(wire).header.rcode, answers(wire)) == (rcode, rdata)
    if not rdata:
        assert names.is_at_or_below(asked.qname, names.from_text(str(read(wire).auth[0].rname)))


@pytest.mark.parametrize(
    "name", ["example.com", "32.172.in-addr.arpa", "15.172.in-addr.arpa", "1.1.1.8.in-addr.arpa", "notlocalhost", "."]
)
def test_ordinary_names_are_not_special(name: str) -> None:
    """Nothing else is answered here."""
    assert SpecialNames(SPECIAL_ZONES, ()).answer(names.from_text(name), p.A, 0.0) is None


@pytest.mark.parametrize(("name", "owner"), [("onion", "."), ("a.onion", "onion."), ("use-application-dns.net", "net.")])
def test_the_soa_of_a_zone_that_does_not_exist(name: str, owner: str) -> None:
    """NXDOMAIN for the zone itself has the SOA of the name above it."""
    asked = query(name)
    entry = SpecialNames((*SPECIAL_ZONES, *UNDELEGATED_ZONES), ()).answer(asked.qname, asked.qtype, 0.0)
    assert entry is not None
    assert [str(record.rname) for record in read(entry.render(asked, 0.0, 1232)).auth] == [owner]


def test_a_zone_can_be_left_to_the_upstream() -> None:
    """A zone takes a name, and what is below it, out; DS at an apex is the parent's in any case."""
    local = SpecialNames(
        (*SPECIAL_ZONES, *UNDELEGATED_ZONES), map(names.from_text, ("168.192.in-addr.arpa", "172.in-addr.arpa", "corp.local"))
    )
    assert local.answer(names.from_text("dc1.corp.local"), p.A, 0.0) is None
    assert local.answer(names.from_text("printer.local"), p.A, 0.0) is not None
    assert local.answer(names.from_text("1.168.192.in-addr.arpa"), p.PTR, 0.0) is None
    assert local.answer(names.from_text("1.16.172.in-addr.arpa"), p.PTR, 0.0) is None
    assert local.answer(names.from_text("1.10.in-addr.arpa"), p.PTR, 0.0) is not None
    assert local.answer(names.from_text("10.in-addr.arpa"), p.DS, 0.0) is None
    assert SpecialNames(UNDELEGATED_ZONES, ()).answer(names.from_text("x.test"), p.A, 0.0) is not None


@pytest.mark.parametrize(
    ("name", "qtype", "do", "here"),
    [
        ("nas.lan", p.A, False, True),
        ("lan", p.MX, False, True),
        ("nas.lan", p.A, True, True),
        ("dc1.ad.lan", p.A, False, False),
        ("lab.ad.lan", p.A, False, True),
        ("x.lab.ad.lan", p.TXT, False, True),
        ("corp.example.org", p.A, False, True),
        ("www.example.org", p.A, False, False),
        ("printer", p.A, False, True),
        ("printer", p.AAAA, False, True),
        ("printer", p.HTTPS, False, True),
        ("printer", p.A, True, False),
        ("com", p.DS, False, False),
        ("com", p.NS, False, False),
        ("router", p.A, False, False),
        ("printer.example", p.A, False, False),
        ("@", p.A, False, False),
    ],
)
def test_names_that_are_never_forwarded(name: str, qtype: int, *, do: bool, here: bool) -> None:
    """Private suffixes do not exist; the most specific name decides. Hosts of one label do not either, but for validators."""
    local = SpecialNames(
        UNDELEGATED_ZONES,
        map(names.from_text, ("ad.lan", "router")),
        ["lan", "lab.ad.lan", "corp.example.org"],
        single_labels=True,
    )
    qname = names.ROOT if name == "@" else names.from_text(name)
    entry = local.answer(qname, qtype, 0.0, do=do)
    assert (entry is not None) is here
    rcode = p.NOERROR if name == "lan" else p.NXDOMAIN  # ad.lan is below it
    assert entry is None or (entry.rcode, entry.source) == (rcode, "local")
    assert local.may_answer(names.filter_key(qname)) or not here


@pytest.mark.parametrize("do", [False, True])
def test_names_above_a_zone_exist(*, do: bool) -> None:
    """Caches take NXDOMAIN of a name for all below it (RFC 8020): what stands above a zone has no data, but it does exist."""
    forwarded = [*map(names.from_text, ("ad.priv", "dc.site.corp.local", "host"))]
    local = SpecialNames((*SPECIAL_ZONES, *UNDELEGATED_ZONES), forwarded, ["priv"], single_labels=True)
    for text, rcode in (
        ("priv", p.NOERROR),
        ("other.priv", p.NXDOMAIN),
        ("local", p.NOERROR),
        ("corp.local", p.NOERROR),
        ("site.corp.local", p.NOERROR),
        ("x.site.corp.local", p.NXDOMAIN),
        ("printer.local", p.NXDOMAIN),
    ):
        entry = local.answer(names.from_text(text), p.A, 0.0, do=do)
        assert entry is not None, text
        assert entry.rcode == rcode, text
        assert entry.counts == b"\0\0\0\1", text
        assert local.denied_by_root(names.from_text(text)) is None, text  # of which a validator would conclude more
    assert local.denied_by_root(names.from_text("x.test")) == names.from_text("test")
    assert local.answer(names.from_text("x.ad.priv"), p.A, 0.0) is None


def test_what_the_root_denies() -> None:
    """Zones at the top level that exist nowhere; neither those below one, nor those that are left to the upstream."""
    local = SpecialNames((*SPECIAL_ZONES, *UNDELEGATED_ZONES), [names.from_text("corp.local")])
    denied = [
        local.denied_by_root(names.from_text(name)) for name in ("a.test", "10.in-addr.arpa", "x.corp.local", "example.net")
    ]
    assert denied == [b"\4test\0", None, None, None]


def waiter(number: int, address: str = "10.0.0.1") -> Waiter:
    client = ClientTable(Access(), (), ()).lookup(address)
    return Waiter(query("a.test", query_id=number), client, address, Transport.UDP, lambda _wire: None, 0.0)


@pytest.mark.parametrize("kind", IN_FLIGHT)
def test_questions_in_flight_are_bounded_and_shared(kind: str) -> None:
    """Identical questions are asked once. Questions, waiters of each and waiters of each client are bounded; places come free."""
    in_flight = IN_FLIGHT[kind](2, MAX_WAITERS + 2)
    forward = Forward(b"k", b"\1a\0", 1, 1, do=False, cd=False, policy=0)
    flight = in_flight.start(forward, 0.0, "10.0.0.1")
    assert in_flight.get(b"k") is flight
    assert all(in_flight.join(flight, 1, waiter(number)) for number in range(MAX_WAITERS))
    assert not in_flight.join(flight, 1, waiter(MAX_WAITERS))
    assert in_flight.join(flight, 1, waiter(0)), "a retransmission takes its own place"
    assert in_flight.room("10.0.0.1", b"\1b\0", 0.0) == ""
    other = in_flight.start(forward._replace(key=b"l", qname=b"\1b\0"), 0.0, "10.0.0.1")
    assert in_flight.room("10.0.0.1", b"\1c\0", 0.0) == "too many queries in flight"
    in_flight.land(other)
    in_flight.limit(2, MAX_WAITERS)
    assert in_flight.room("10.0.0.1", b"\1a\0", 0.0) == "too many queries in flight for this client"
    assert flight.waiting == MAX_WAITERS
    assert [one.query.id for one in in_flight.land(flight)] == list(range(MAX_WAITERS))
    in_flight.limit(2, 1)
    assert (in_flight.room("10.0.0.1", b"\1a\0", 0.0), len(in_flight)) == ("", 0)
