"""Real caching forwarders before the program: what they make of its own answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from tests.integration.realservers import Dnsmasq, NamedForwarder, RealServer, Unbound, ask
from tests.integration.running_pdns import SINKHOLE, RunningPdns, feed

FORWARDERS: dict[str, Callable[[Path, int], RealServer]] = {
    "dnsmasq": Dnsmasq,
    "unbound": lambda directory, port: Unbound(directory, port, ()),
    "named": NamedForwarder,
}
LISTED = ("malware.example", "*.ads.example")


@pytest.fixture(scope="module", params=["sinkhole", "nxdomain", "nodata"])
def blocking(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningPdns, str]]:
    """The program, and how it blocks."""
    directory = tmp_path_factory.mktemp("pdns")
    listed = feed(directory, "listed", *LISTED, format="wildcard", required=True, wildcard_includes_apex=False)
    block = {"action": request.param, "sinkhole": [SINKHOLE], "ttl_s": 600}
    with RunningPdns(directory, {"feed": [listed], "block": block}) as running:
        yield running, request.param


@pytest.fixture(params=sorted(FORWARDERS))
def forwarder(request: pytest.FixtureRequest, blocking: tuple[RunningPdns, str], tmp_path: Path) -> Iterator[RealServer]:
    with FORWARDERS[request.param](tmp_path, blocking[0].dns_port) as running:
        yield running


def outcome(message: dns.message.Message) -> tuple[str, list[str]]:
    return dns.rcode.to_text(message.rcode()), [str(one[0]) for one in message.answer]


@pytest.mark.parametrize("name", ["malware.example", "www.malware.example", "x.ads.example", "use-application-dns.net"])
def test_blocked_answers_are_cached_as_they_are(blocking: tuple[RunningPdns, str], forwarder: RealServer, name: str) -> None:
    """A forwarder gives the same answer again from its cache, whatever the action and the type: NXDOMAIN stays NXDOMAIN."""
    pdns, action = blocking
    for qtype, addresses in (("A", [SINKHOLE]), ("AAAA", [])):
        expected: tuple[str, list[str]]
        if name == "use-application-dns.net" or action == "nxdomain":
            expected = ("NXDOMAIN", [])
        else:
            expected = ("NOERROR", addresses if action == "sinkhole" else [])
        assert outcome(ask(forwarder.port, name, qtype)) == expected
        before = pdns.value("queries_total")
        assert outcome(ask(forwarder.port, name, qtype)) == expected
        assert pdns.value("queries_total") == before, "it was asked again"
