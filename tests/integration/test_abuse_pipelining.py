"""Clients who ask over TCP as fast as they can, and read nothing."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.upstream import answer
from tests.integration.running_pdns import RunningPdns, UpstreamThread
from tests.wire import query_wire

pytestmark = [pytest.mark.long, pytest.mark.realtime]

ATTACK_S = 6.0
PATIENCE_S = 5.0


@pytest.fixture
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread(answer()) as thread:
        yield thread


def ask(pdns: RunningPdns, name: str) -> float:
    """The seconds until an answer to a query over TCP with a new connection. Raises `TimeoutError`."""
    began_s = time.monotonic()
    wire = query_wire(name)
    with socket.create_connection(("127.0.0.1", pdns.dns_port), PATIENCE_S) as sock:
        sock.sendall(len(wire).to_bytes(2) + wire)
        answered = sock.recv(4096)
    assert answered[5] & 15 == 0
    return time.monotonic() - began_s


@pytest.mark.parametrize("limited", [True, False])
def test_pipelining_without_reading_costs_others_little(tmp_path: Path, upstream: UpstreamThread, limited: bool) -> None:
    """Six clients send queries for new names over 24 connections, as fast as they are read: another client's queries over
    TCP, each with its own connection, are all answered, half of them within a tenth of a second.
    """
    sections: dict[str, object] = {"server": {"workers": 1}, "upstream": {"servers": [upstream.address]}}
    if limited:
        sections["rate_limit"] = {"queries_per_s": 500, "burst": 2000}
    with RunningPdns(tmp_path, sections) as running:
        ask(running, "www.warm.zzz")
        command = [sys.executable, "-m", "loadtest.attack", "tcp-unread", str(running.dns_port), "6", "0", str(ATTACK_S)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as attacker:
            time.sleep(1.5)
            times: list[float] = []
            while attacker.poll() is None:
                times.append(ask(running, f"www{len(times)}.honest.zzz"))
                time.sleep(0.02)  # within its own limit
        assert attacker.returncode == 0
    times.sort()
    assert len(times) >= 20
    assert times[len(times) // 2] < 0.1
