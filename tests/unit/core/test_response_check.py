"""What a clean name leads to: CNAME targets, addresses, HTTPS and SVCB."""

from __future__ import annotations

import pytest

from tests.unit.core.conftest import Standstill
from tests.wire import answers, ede


@pytest.mark.parametrize(
    ("qtype", "zone"),
    [
        ("A", "www.example 300 IN CNAME x.malware.test.\nx.malware.test. 300 IN A 192.0.2.7"),
        ("A", "www.example 300 IN CNAME ok.example.\nok.example 300 IN CNAME malware.test.\nmalware.test 300 IN A 192.0.2.7"),
        ("AAAA", "www.example 300 IN CNAME malware.test."),
        ("CNAME", "www.example 300 IN CNAME malware.test."),
        ("A", "www.example 300 IN A 203.0.113.200"),
        ("AAAA", "www.example 300 IN AAAA 2001:db8:bad::7"),
        ("AAAA", "www.example 300 IN AAAA ::ffff:203.0.113.5"),
        ("HTTPS", "www.example 300 IN HTTPS 1 . ipv4hint=203.0.113.9"),
        ("HTTPS", "www.example 300 IN HTTPS 1 . alpn=h2 ipv6hint=2001:db8:bad::1"),
        ("HTTPS", "www.example 300 IN HTTPS 0 malware.test."),
        ("SVCB", "www.example 300 IN SVCB 1 x.malware.test. alpn=dot"),
    ],
)
def test_a_clean_name_that_leads_to_a_listed_one_is_blocked(qtype: str, zone: str) -> None:
    """CNAME hops, addresses, HTTPS and SVCB targets and hints are checked, and nothing of the original leaks."""
    world = Standstill()
    world.forwarded("www.example", qtype, zone)
    wire = world.wire("www.example", qtype)
    assert (ede(wire) or (0, ""))[0] == 15
    assert set(answers(wire)) <= {"192.0.2.1", "2001:db8::1"}
    assert b"malware" not in wire[: wire.rfind(b"\0\0\x29")]


def test_an_allowed_name_may_lead_anywhere() -> None:
    """An allowlisted name is not blocked for where it leads; an allowlisted target does not clear the other hops."""
    zone = "www.example 300 IN CNAME x.malware.test.\nx.malware.test. 300 IN A 203.0.113.7"
    assert Standstill(block={"allow": ["www.example"]}).forwarded("www.example", "A", zone).source == "upstream"
    assert Standstill(block={"allow": ["malware.test"]}).forwarded("www.example", "A", zone).source == "blocked"


def test_monitored_feeds_are_counted_not_blocked() -> None:
    """What a feed in monitor mode would have blocked is on the entry, also behind a CNAME, also when cached."""
    world = Standstill()
    assert world.forwarded("x.monitored.example", "A", "x.monitored.example 60 IN A 198.51.100.1").monitored == (
        ("watch", "policy"),
    )
    assert world.forwarded(
        "y.example", "A", "y.example 60 IN CNAME monitored.example.\nmonitored.example 60 IN A 192.0.2.1"
    ).monitored == (("watch", "policy"),)
    assert world.answer("y.example").entry.monitored == (("watch", "policy"),)
