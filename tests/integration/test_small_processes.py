"""What each process takes: memory without lists, and the time from the start to the first blocked answer."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from loadtest import footprint, process, server
from loadtest.loopback import Address
from pdns.wire import names

NOWHERE = Address("127.0.0.1", 9)
MB = 1_000_000
# PSS. The worker's is its goal; of the others, a quarter above what was measured: docs/sizing.md.
MOST_BYTES = {"worker": 30 * MB, "supervisor": 62 * MB, "feeds": 32 * MB, "events": 32 * MB}
MOST_START_S = 1.5  # the goal is 0.5 s, with a million names, on a machine that does nothing else


def test_memory_without_lists(tmp_path: Path) -> None:
    """Each process of an idle server, one second after it is ready."""
    with server.started(tmp_path, NOWHERE, None) as resolver:
        resolver.wait_ready(60.0)
        deadline_s = time.monotonic() + 30.0
        while len(footprint.tree(resolver.process.pid)) < len(MOST_BYTES) and time.monotonic() < deadline_s:
            time.sleep(0.1)
        time.sleep(1.0)
        found = {role: process.memory(life.pid).pss for life, role in footprint.tree(resolver.process.pid).items()}
    assert found.keys() == MOST_BYTES.keys()
    assert {role: pss for role, pss in found.items() if pss > MOST_BYTES[role]} == {}


@pytest.mark.realtime
def test_time_to_the_first_blocked_answer(tmp_path: Path) -> None:
    """A server that has a blockset on the disk blocks soon after its start; the best of three counts."""
    feed, blocked = tmp_path / "list.txt", "name7.listed.example"
    feed.write_text("".join(f"name{number}.listed.example\n" for number in range(20_000)))
    with server.started(tmp_path, NOWHERE, feed) as resolver:
        resolver.wait_blocked(names.from_text(blocked), 60.0)
    took_s = []
    for _ in range(3):
        with server.started(tmp_path, NOWHERE, feed) as resolver:
            took_s.append(resolver.wait_blocked(names.from_text(blocked), 30.0))
    assert min(took_s) <= MOST_START_S
