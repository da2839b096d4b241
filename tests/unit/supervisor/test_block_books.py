"""What the supervisor writes down of the blocks that workers tell it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdns.config.policy_schema import Tenant
from pdns.config.schema import Config
from pdns.core.case import reference
from pdns.reference.event_writer import ReferenceEventWriter
from pdns.state.cases import find
from pdns.supervisor import block_books
from pdns.supervisor.block_books import BlockBooks
from pdns.telemetry.blocked_domains import BlockedDomains
from pdns.telemetry.counters import Counters
from pdns.telemetry.event_ring import EventRing
from pdns.telemetry.stats import OTHER, Stats
from pdns.telemetry.worker_memory import WorkerMemory
from pdns.wire import protocol as p
from pdns.wire.names import from_text
from pdns.wire.transport import Transport

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
        self._ring = EventRing.attach(os.dup(memory.event_ring.fd))
        self._writer = ReferenceEventWriter(self._ring, b"")

    def blocked(self, tenant: str, listed: bytes) -> None:
        slots = Stats(self._counters).blocked(tenant, ("urlhaus", "malware", "sinkhole", ()), ())
        self._writer.note(listed, tenant, "192.0.2.1", Transport.UDP, listed, p.A, listed, b"", slots, 1.0)

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


def test_a_write_that_fails_is_tried_again(tmp_path: Path, memory: WorkerMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases that a full disk refused are written once there is room, though nothing else is blocked."""
    monkeypatch.setattr(block_books, "_RETRY_S", 0.01)
    monkeypatch.setattr(block_books, "WRITE_CASES_EVERY_S", 0.01)
    state = tmp_path / "state"
    books = BlockBooks(state, lambda: CONFIG, lambda: (memory.counters,), lambda: None)
    worker = Worker(memory)
    worker.blocked("leeds", EVIL)
    books.drain(memory, BlockedDomains(), 1.0)
    worker.close()

    def wait_for_the_case() -> None:
        until_s = time.monotonic() + 60
        while not find(state, reference(EVIL, "urlhaus")) and time.monotonic() < until_s:
            time.sleep(0.01)

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(books.keep_cases())
            await asyncio.sleep(0.1)
            state.mkdir()
            await asyncio.to_thread(wait_for_the_case)
            writing.cancel()

    asyncio.run(run())
    assert find(state, reference(EVIL, "urlhaus"))
