"""A tunnel through the real program is a finding, over UDP and TCP; what is cached, allowed or in a zone is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.query
import pytest

from pdns.event_store.event import Finding
from pdns.events.spool import Spool
from pdns.events.spool_segments import SpoolPosition
from pdns.wire.names import to_text
from tests import tunnels
from tests.integration.running_pdns import RunningPdns, UpstreamThread
from tests.integration.serving import serving_upstream

_QUERIES = 120  # of 30 bytes each: enough for a worker that has just started


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    upstream: UpstreamThread
    with serving_upstream() as upstream:
        config = {
            "server": {"workers": 2},
            "upstream": {"servers": [upstream.address]},
            "events": {"clients": "prefix", "node": "here"},
            "findings": {"tunnel_allow": ["allowed.example"]},
            "tenant": [{"name": "north", "networks": ["127.0.0.0/8"]}],
            "zone": [{"name": "zone.example", "servers": [upstream.address]}],
        }
        with RunningPdns(tmp_path_factory.mktemp("tunnels"), config) as pdns:
            yield pdns


def send(pdns: RunningPdns, domain: bytes, *, tcp: bool = False) -> None:
    for query in tunnels.queries("hex", 30, 30, for_s=_QUERIES, domain=domain, seed=len(domain) + tcp):
        wire = dns.message.make_query(to_text(query.qname), "A")
        ask = dns.query.tcp if tcp else dns.query.udp
        ask(wire, "127.0.0.1", port=pdns.dns_port, timeout=60)


def findings(directory: Path) -> list[Finding]:
    spool = Spool(directory / "events" / "spool", 2**28)
    records = spool.read(spool.checked(SpoolPosition(0, 0)), 10_000).records
    return [record for record in records if isinstance(record, Finding)]


def test_a_tunnel_is_a_finding(serving: RunningPdns) -> None:
    """Over UDP, where each worker has a part of the names, and over TCP. Nothing is blocked; what may be is not reported."""
    for domain in (b"x.allowed.example", b"x.zone.example", b"t.tunnel.example"):
        send(serving, domain)
    send(serving, b"t.streams.example", tcp=True)
    serving.wait_for_value(2, "findings_total", kind="tunnel", tenant="north")
    found = {finding.subject: finding for finding in findings(serving.state_dir)}
    assert found.keys() == {"tunnel.example", "streams.example"}
    for finding in found.values():
        assert (finding.kind, finding.tenant, finding.node, finding.client) == ("tunnel", "north", "here", "127.0.0.0/24")
        assert finding.first_s - 600 < finding.last_s < finding.time_s + 1
        assert float(finding.details["bytes"]) == finding.score >= 8 * 200
    assert serving.value("blocked_total") == 0
