"""DNS64: names of synthesised addresses, and `ipv4only.arpa`, by the examples of RFC 6052, 7050 and 8880."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import msgspec
import pytest

from pdns.config.schema import Dns64
from pdns.core.dns64 import Translation
from pdns.core.outcome import Answer, Forward
from pdns.wire import names
from pdns.wire import protocol as p
from pdns.wire.message import parse_message
from tests.unit.core.conftest import Standstill, make_config
from tests.unit.core.test_dns64 import MARK, ON, RFC_6052, translation
from tests.wire import answers, ede, read, response_wire


def reverse(address: str) -> str:
    return ip_address(address).reverse_pointer


@pytest.mark.parametrize(("prefix", "address"), RFC_6052)
def test_the_name_of_an_address(prefix: str, address: str) -> None:
    """Section 5.3.1: the name that belongs to the IPv4 address behind it."""
    assert translation(prefix).pointer(names.from_text(reverse(address))) == names.from_text("33.2.0.192.in-addr.arpa")


@pytest.mark.parametrize(
    "name",
    [
        "2.0.1.0.0.2.ip6.arpa",
        reverse("2001:db8:65::192.0.2.33"),
        "x." + reverse("2001:db8:64::192.0.2.33"),
        reverse("2001:db8:64::192.0.2.33").replace("1.2.2", "12.2", 1),
        reverse("2001:db8:64::192.0.2.33").replace("1.2", "g.2", 1),
        reverse("2001:db8:64::192.0.2.33")[2:],
    ],
)
def test_names_that_are_not_of_an_address(name: str) -> None:
    """Parts of addresses, other prefixes, and labels that are not one digit."""
    assert translation().pointer(names.from_text(name)) is None
    assert Translation(Dns64()).pointer(names.from_text(name)) is None


POINTER = reverse("2001:db8:64::198.51.100.7")


def test_a_pointer_is_asked_for_below_in_addr_arpa() -> None:
    """The answer is a CNAME and what the other name has; it is marked, cached and refreshed in the same way."""
    world = Standstill(zone=[{"names": ["100.51.198.in-addr.arpa"], "servers": ["udp://192.0.2.9:53"]}], **ON)
    forward = world.ask(POINTER, "PTR")
    assert isinstance(forward, Forward)
    assert forward.asked_name == names.from_text("7.100.51.198.in-addr.arpa")
    assert forward.route.group != "default"
    message = parse_message(response_wire("7.100.51.198.in-addr.arpa", "PTR", "7.100.51.198.in-addr.arpa 60 IN PTR www.example."))
    assert world.resolver.further(forward, message) is None
    world.resolver.on_answer(forward, message, 1000.0)
    wire = world.wire(POINTER, "PTR")
    assert answers(wire) == ["7.100.51.198.in-addr.arpa.", "www.example."]
    assert ede(wire) == MARK
    again = world.ask(POINTER, "PTR", now=1100.0)
    assert isinstance(again, Forward)
    assert (again.asked_name, again.head) == (forward.asked_name, forward.head)


def test_a_change_of_zones_while_a_pointer_is_asked_for() -> None:
    """Where the name has another route by then, the question is asked anew, for the same name below `in-addr.arpa`."""
    world = Standstill(**ON)
    forward = world.ask(reverse("2001:db8:64::198.41.0.4"), "PTR")
    assert isinstance(forward, Forward)
    zone = make_config(zone=[{"names": ["8.b.d.0.1.0.0.2.ip6.arpa"], "servers": ["udp://192.0.2.9:53"]}]).zone
    world.resolver.adopt(world.resolver.rules.with_config(msgspec.structs.replace(world.config, zone=zone)))
    message = parse_message(response_wire("4.0.41.198.in-addr.arpa", "PTR", "4.0.41.198.in-addr.arpa 60 IN PTR www.example."))
    again = world.resolver.further(forward, message)
    assert again is not None
    assert again.asked_name == names.from_text("4.0.41.198.in-addr.arpa")
    assert world.resolver.further(again, message) is None
    assert world.resolver.on_answer(again, message, 1000.0).counts == b"\0\2\0\0"


@pytest.mark.parametrize(("ipv4", "rcode"), [("10.0.0.7", p.NXDOMAIN), ("127.0.0.1", p.NOERROR), ("192.0.0.170", p.NOERROR)])
def test_a_pointer_may_lead_to_a_name_that_is_answered_here(ipv4: str, rcode: int) -> None:
    """Reverse names of private addresses are never forwarded, in this way neither."""
    wire = Standstill(**ON).wire(reverse(f"2001:db8:64::{ipv4}"), "PTR")
    assert read(wire).header.rcode == rcode
    target, *rest = answers(wire)
    assert target == ".".join(reversed(ipv4.split("."))) + ".in-addr.arpa."
    assert rest == {"10.0.0.7": [], "127.0.0.1": ["localhost."], "192.0.0.170": ["ipv4only.arpa."]}[ipv4]


def test_a_zone_may_have_the_names_of_the_prefix() -> None:
    """A zone that is as specific as the prefix keeps its names; one above it does not."""
    name = names.from_text(POINTER)
    own = POINTER[16:]  # without the 8 digits of the IPv4 address
    for apex, asked in ((own, name), ("8.b.d.0.1.0.0.2.ip6.arpa", names.from_text("7.100.51.198.in-addr.arpa"))):
        world = Standstill(zone=[{"names": [apex], "servers": ["udp://192.0.2.9:53"]}, PUBLIC_REVERSE], **ON)
        forward = world.ask(POINTER, "PTR")
        assert isinstance(forward, Forward)
        assert forward.asked_name == asked
        world.resolver.on_answer(
            forward, parse_message(response_wire(names.to_text(asked), "PTR", f"{names.to_text(asked)} 9 IN PTR a.")), 1000.0
        )
        again = world.ask(POINTER, "PTR", now=1010.0)
        assert isinstance(again, Forward)
        assert again.asked_name == asked


PUBLIC_REVERSE = {
    "names": ["198.in-addr.arpa", "51.198.in-addr.arpa", "100.51.198.in-addr.arpa"],
    "servers": ["udp://192.0.2.8:53"],
}


@pytest.mark.parametrize(
    ("name", "qtype", "rcode", "rdata"),
    [
        ("ipv4only.arpa", "A", p.NOERROR, ["192.0.0.170", "192.0.0.171"]),
        ("ipv4only.arpa", "AAAA", p.NOERROR, ["64:ff9b::c000:aa", "64:ff9b::c000:ab"]),
        ("ipv4only.arpa", "HTTPS", p.NOERROR, []),
        ("x.ipv4only.arpa", "AAAA", p.NXDOMAIN, []),
        ("170.0.0.192.in-addr.arpa", "PTR", p.NOERROR, ["ipv4only.arpa."]),
        ("171.0.0.192.in-addr.arpa", "PTR", p.NOERROR, ["ipv4only.arpa."]),
        ("171.0.0.192.in-addr.arpa", "A", p.NOERROR, []),
        (reverse("64:ff9b::192.0.0.171"), "PTR", p.NOERROR, ["171.0.0.192.in-addr.arpa.", "ipv4only.arpa."]),
    ],
)
def test_ipv4only_arpa(name: str, qtype: str, rcode: int, rdata: list[str]) -> None:
    """RFC 7050 and 8880: hosts learn the prefix from it, whatever a feed lists, the upstream says, or is private."""
    sections: dict[str, Any] = {"rebinding": {"block_private_answers": True}, "dns64": {"prefix": "64:ff9b::/96"}}
    wire = Standstill(**sections).wire(name, qtype)
    assert (read(wire).header.rcode, answers(wire)) == (rcode, rdata)
    assert isinstance(Standstill().ask("ipv4only.arpa", "AAAA"), Forward)


def test_other_names_are_forwarded() -> None:
    """The name of an address outside the prefix, another type, and DS of `ipv4only.arpa`."""
    world = Standstill(zone=[{"names": ["8.b.d.0.1.0.0.2.ip6.arpa"], "servers": ["udp://192.0.2.9:53"]}], **ON)
    for name, qtype in ((reverse("2001:db8:65::1"), "PTR"), (POINTER, "TXT"), ("ipv4only.arpa", "DS")):
        forward = world.ask(name, qtype)
        assert isinstance(forward, Forward)
        assert (forward.asked_name, forward.head) == (names.from_text(name), None)


def test_a_pointer_needs_what_every_question_needs() -> None:
    """RD, and a blockset where feeds are required."""
    name = reverse("64:ff9b::198.41.0.4")
    sections: dict[str, Any] = {"dns64": {"prefix": "64:ff9b::/96"}}
    assert read(Standstill(**sections).wire(name, "PTR", rd=0)).header.rcode == p.REFUSED
    assert read(Standstill(ready=False, **sections).wire(name, "PTR")).header.rcode == p.SERVFAIL


def test_a_zone_may_have_ipv4only_arpa() -> None:
    """A zone of that name is asked; one above it is not."""
    for apex, expected in (("ipv4only.arpa", Forward), ("arpa", Answer)):
        world = Standstill(zone=[{"names": [apex], "servers": ["udp://192.0.2.9:53"]}], **ON)
        assert isinstance(world.ask("ipv4only.arpa", "AAAA"), expected)
