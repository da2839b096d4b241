"""Reports of all workers become one finding an hour for a tenant and a domain."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from pdns.core.tunnels import LEARN_S, WINDOW_S, TunnelRules
from pdns.event_store.event import Finding
from pdns.events.tunnel_findings import SILENT_S, TunnelFindings
from pdns.fast.tunnels import TunnelMeter
from pdns.telemetry.ring import Ring
from pdns.telemetry.tunnel_ring import encoded, map_tunnel_ring, new_tunnel_ring
from tests import tunnels

OFFSET_S = 1.7e9
BEGIN_S = 10.0 * LEARN_S


class Workers:
    """Some meters with their rings, and what reads these."""

    def __init__(self, count: int) -> None:
        self.findings = TunnelFindings()
        self.rings: list[Ring] = []
        self.meters = [TunnelMeter(os.urandom(16)) for _ in range(count)]
        for number, meter in enumerate(self.meters):
            meter.adopt(TunnelRules.of(40, count, (), keep_clients=True), 0.0)
            fd = new_tunnel_ring()
            self.rings.append(map_tunnel_ring(fd, writable=True))
            assert self.findings.read_from(number, os.dup(fd))

    def take(self, now_s: float) -> list[Finding]:
        for meter, ring in zip(self.meters, self.rings, strict=True):
            for report in meter.take(now_s):
                ring.write(encoded(report, "192.0.2.7" if report.client else ""))
        return self.findings.take("here", now_s + OFFSET_S, OFFSET_S)

    def ask(self, queries: Any, begin_s: float, tenant: str = "north") -> list[Finding]:
        """Each name goes to the worker that it belongs to."""
        found = []
        for time_s, qname in queries:
            self.meters[hash(qname) % len(self.meters)].saw(qname, tenant, bytes(15) + b"\7", begin_s + time_s)
            found += self.take(begin_s + time_s)
        return found


@pytest.fixture
def four() -> Iterator[Workers]:
    workers = Workers(4)
    yield workers
    workers.findings.close()
    for ring in workers.rings:
        ring.close()


def test_four_workers_find_one_byte_a_second(four: Workers) -> None:
    """Each sees a quarter of it. It is said once, within ten minutes."""
    [finding] = four.ask(tunnels.queries("hex", 1, 10, for_s=600), BEGIN_S)
    assert (finding.kind, finding.tenant, finding.subject, finding.client) == ("tunnel", "north", "tunnel.example", "192.0.2.7")
    assert finding.score >= 40 * WINDOW_S / 60
    assert finding.n == pytest.approx(finding.score / 10, rel=0.2)
    assert finding.details["sample"].endswith(".t.tunnel.example")
    assert BEGIN_S + OFFSET_S <= finding.first_s < finding.last_s <= BEGIN_S + OFFSET_S + 600


def test_ordinary_traffic_is_no_finding(four: Workers) -> None:
    """As much as a domain may have, in each of several windows."""
    assert four.ask(tunnels.queries("hex", 0.5, 10, for_s=4 * WINDOW_S), BEGIN_S) == []


def test_an_hour_passes_before_it_is_said_again(four: Workers) -> None:
    """The tunnel goes on for two hours; another tenant is another finding."""
    found = four.ask(tunnels.queries("hex", 10, 100, for_s=2 * SILENT_S), BEGIN_S)
    assert len(found) == 2
    assert found[1].time_s - found[0].time_s >= SILENT_S
    assert len({finding.id for finding in found}) == 2
    assert four.ask(tunnels.queries("hex", 10, 30, for_s=60, seed=5), BEGIN_S + 2 * SILENT_S, "south")[0].tenant == "south"


def test_a_new_process_repeats_nothing(four: Workers) -> None:
    """It reads what is in the memories, and knows what was said; what was reported while there was no process is found."""
    assert len(four.ask(tunnels.queries("hex", 100, 50, for_s=60), BEGIN_S)) == 1
    for number, meter in enumerate(four.meters):
        for query in tunnels.queries("hex", 100, 50, for_s=60, domain=b"other.example"):
            meter.saw(query.qname, "north", bytes(16), BEGIN_S + 100)
        for report in meter.take(BEGIN_S + 100):
            four.rings[number].write(encoded(report, ""))
    four.findings.close()
    four.findings = TunnelFindings()
    for number, ring in enumerate(four.rings):
        four.findings.read_from(number, os.dup(ring.fd))
    assert [finding.subject for finding in four.take(BEGIN_S + 155)] == ["other.example"]
    assert four.ask(tunnels.queries("hex", 100, 50, for_s=60, seed=2), BEGIN_S + 160) == []


def test_a_damaged_record_is_left_out(four: Workers) -> None:
    """What follows it is read."""
    four.rings[0].write(b"\xff" * 400)
    assert four.ask(tunnels.queries("hex", 100, 50, for_s=60), BEGIN_S)


def test_the_same_memory_is_read_once(four: Workers) -> None:
    """The supervisor names it again when the configuration changes. A worker that is gone is forgotten."""
    assert four.findings.read_from(0, os.dup(four.rings[0].fd))
    assert len(four.ask(tunnels.queries("hex", 100, 50, for_s=60), BEGIN_S)) == 1
    for number in range(4):
        four.findings.forget(number)
    assert four.ask(tunnels.queries("hex", 100, 50, for_s=60, seed=2), BEGIN_S + 2 * SILENT_S) == []


def test_memory_of_many_domains_is_bounded(four: Workers) -> None:
    """A flood of reports about other domains does not hide a tunnel."""
    for number in range(5_000):
        four.ask(tunnels.queries("hex", 30, 30, for_s=4, domain=b"d%d.example" % (number % 50)), BEGIN_S + number)
    assert four.ask(tunnels.queries("hex", 100, 50, for_s=20, seed=3), BEGIN_S + 5_000)


def test_another_memory_is_refused() -> None:
    """The caller keeps it."""
    fd = os.memfd_create("other")
    assert not TunnelFindings().read_from(1, fd)
    os.close(fd)
