"""IPv4 addresses inside IPv6 addresses: what is found, and what is not."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from pdns.core.embedded import Embeddings
from tests.blocksets import make_blockset
from tests.unit.core.conftest import Standstill

BLOCKSET = make_blockset({"alpha": "192.0.2.33/32 2001:db8:bad::/48"})
OWN = ("2001:db8:64::/96", "2001:db8:100::/40", "2001:db8:aaaa::/64")  # RFC 6052, 2.4


@pytest.mark.parametrize(
    "address",
    [
        "192.0.2.33",
        "2001:db8:bad::1",
        "::ffff:192.0.2.33",
        "::192.0.2.33",
        "::ffff:0:192.0.2.33",
        "64:ff9b::192.0.2.33",
        "64:ff9b:1::192.0.2.33",
        "64:ff9b:1:fffe::192.0.2.33",
        "64:ff9b:1:c000:2:2100::",
        "64:ff9b:1:c0:0:221::",
        "64:ff9b:1:fffe:c0:2:2100:0",
        "2002:c000:221::1",
        "2001:0:c000:221:8000:63bf:3fff:fdd2",
        "2001:0:4136:e378:8000:63bf:3fff:fdde",
        "2001:db8:64::192.0.2.33",
        "2001:db8:1c0:2:21::",
        "2001:db8:aaaa:0:c0:2:2100:0",
    ],
)
def test_an_address_that_leads_to_a_listed_one_is_found(address: str) -> None:
    """Each way of writing a listed IPv4 address as IPv6 is that address."""
    assert Embeddings(OWN).lookup(BLOCKSET, ip_address(address).packed)


@pytest.mark.parametrize(
    "address",
    [
        "192.0.2.34",
        "::1",
        "64:ff9b::192.0.2.34",
        "64:ff9c::192.0.2.33",
        "64:ff9b:2::192.0.2.33",
        "64:ff9b:1:c000:102:2100::",
        "2001:db8:65::192.0.2.33",
        "2001:1:c000:221::",
        "2002:c000:222::192.0.2.33",
        "2a00:1450::5efe:192.0.2.33",
    ],
)
def test_other_addresses_are_not(address: str) -> None:
    """Nothing is read out of addresses that lead elsewhere; ISATAP (RFC 5214) leads nowhere outside of its own site."""
    assert Embeddings(OWN).lookup(BLOCKSET, ip_address(address).packed) == ()


@pytest.mark.parametrize(
    ("qtype", "records"),
    [
        ("AAAA", "AAAA 2002:cb00:7107::1"),
        ("AAAA", "AAAA 2001:db8:64::203.0.113.7"),
        ("HTTPS", "HTTPS 1 . ipv6hint=2001:db8::1,64:ff9b::cb00:7107"),
    ],
)
def test_answers_that_lead_there_are_blocked(qtype: str, records: str) -> None:
    """AAAA records and the hints of HTTPS records are looked at in the same way."""
    world = Standstill(block={"nat64_prefixes": ["2001:db8:64::/96"]})
    assert world.forwarded("to.example", qtype, f"to.example 60 IN {records}").source == "blocked"
