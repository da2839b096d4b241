"""What a worker tells the events process of tunnels: clients only as the configuration allows."""

from __future__ import annotations

import os
from ipaddress import ip_address

import pytest

from pdns.config.event_schema import EventSection
from pdns.config.policy_schema import Tenant
from pdns.config.schema import Config
from pdns.core.client_identity import packed
from pdns.core.tunnels import TunnelReport
from pdns.telemetry.ring import RingReader
from pdns.telemetry.tunnel_ring import decoded, map_tunnel_ring, new_tunnel_ring
from pdns.wire.names import from_text
from pdns.worker.tunnel_reporter import TunnelReporter

NAME = from_text("0123456789.tunnel.example")
ADDRESS = "198.51.100.77"


def report(tenant: str, client: bytes) -> TunnelReport:
    return TunnelReport(tenant, from_text("tunnel.example"), NAME, 7, 2101.5, 300, 200, 12, client)


def written(config: Config, tenant: str = "north", client: bytes = packed(ADDRESS)) -> tuple[str, bytes]:
    """The client that is told, and all that is in the memory."""
    fd = new_tunnel_ring()
    reader = RingReader(map_tunnel_ring(os.dup(fd), writable=False))
    reporter = TunnelReporter(config, b"k" * 32)
    reporter.tell([report(tenant, client)])  # without a memory it is lost
    assert reporter.use(fd)
    reporter.tell([report(tenant, client)])
    [(_, record)] = reader.take()
    memory = reader.ring.memory[:]
    reporter.close()
    reporter.tell([report(tenant, client)])
    assert reader.take() == []
    reader.ring.close()
    return decoded(record).client, memory


def test_no_address_leaves_the_worker() -> None:
    """With `events.clients = "none"`, which is the default, the memory holds no part of it."""
    client, memory = written(Config())
    assert client == ""
    assert ip_address(ADDRESS).packed not in memory
    assert ADDRESS.encode() not in memory


@pytest.mark.parametrize(("detail", "expected"), [("prefix", "198.51.100.0/24"), ("full", ADDRESS)])
def test_as_much_as_is_allowed(detail: str, expected: str) -> None:
    """A prefix, or the address."""
    config = Config(events=EventSection(clients=detail))  # type: ignore[arg-type]
    assert written(config)[0] == expected
    assert written(config, client=b"")[0] == ""


def test_a_tenant_decides_for_itself() -> None:
    """`events_clients` of a tenant beats `events.clients`."""
    tenant = Tenant(name="north", networks=("198.51.100.0/24",), events_clients="hash")
    config = Config(events=EventSection(clients="full"), tenant=(tenant,))
    assert written(config)[0].startswith("h:")
    assert written(config, tenant="south")[0] == ADDRESS


def test_another_memory_is_not_used() -> None:
    """It is left to the caller."""
    fd = os.memfd_create("other")
    assert not TunnelReporter(Config(), b"").use(fd)
    os.close(fd)
