"""What the supervisor writes down of the blocks that workers tell it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdns.config.policy_schema import Tenant
from pdns.config.schema import Config
from pdns.core.case import reference
from pdns.state.cases import find
from pdns.supervisor.block_books import BlockBooks
from pdns.telemetry.block_ring import BlockRing, name_hash
from pdns.telemetry.blocked_domains import BlockedDomains
from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import OTHER
from pdns.telemetry.worker_memory import WorkerMemory
from pdns.wire.names import from_text

EVIL = from_text("evil.test")
CONFIG = Config(
    tenant=(
        Tenant(name="leeds", networks=("10.1.0.0/16",), policy="default"),
        Tenant(name="school", networks=("10.2.0.0/16",), policy="schools"),
    )
)


class Worker:
    """Writes as a worker does, into the memory that the supervisor reads."""

    def __init__(self, memory: WorkerMemory) -> None:
        self._counters = Counters.attach(os.dup(memory.counters.fd), writable=True)
        self._ring = BlockRing.attach(os.dup(memory.block_ring.fd))

    def blocked(self, tenant: str, listed: bytes) -> None:
        series = self._counters.slot("queries_total", tenant, "udp", "A")
        self._ring.write(name_hash(listed), series, self._counters.slot("blocked_total", tenant, "urlhaus") + 1, listed)

    def close(self) -> None:
        self._counters.close()
        self._ring.close()


@pytest.fixture
def memory() -> Iterator[WorkerMemory]:
    memory = WorkerMemory()
    yield memory
    memory.close()


@pytest.mark.parametrize(
    ("tenant", "policies"), [("leeds", {"default"}), ("school", {"schools"}), (OTHER, {"default", "schools"})]
)
def test_a_block_is_found_under_the_policy_of_the_client(
    tmp_path: Path, memory: WorkerMemory, tenant: str, policies: set[str]
) -> None:
    """Also of one of those tenants, beyond a few hundred, that share the series "other"."""
    books = BlockBooks(tmp_path, lambda: CONFIG, lambda: (memory.counters,), lambda: None)
    worker = Worker(memory)
    worker.blocked(tenant, EVIL)
    worker.blocked(tenant, b"\5ab")  # what no worker writes that is sound
    books.drain(memory, BlockedDomains(), 1.0)
    books.write()
    worker.close()
    assert {name for name in ("default", "schools") if find(tmp_path, reference(EVIL, "urlhaus", name))} == policies
    assert len((tmp_path / "cases.jsonl").read_bytes().splitlines()) == len(policies)
