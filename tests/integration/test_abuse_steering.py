"""Clients who try to overload one worker of several, and clients whose limit several workers share."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from loadtest import steered
from tests.fakes.upstream import answer
from tests.integration.running_pdns import RunningPdns, UpstreamThread, feed
from tests.wire import query_wire

pytestmark = [pytest.mark.long, pytest.mark.realtime]

WORKERS = 2
QUERIES = 12_000
ATTACKS = {
    "known hash": steered.of_known_hash(WORKERS),
    "one start": steered.of_one_start(),
    "zero inside": steered.with_zero(),
    "one fold": steered.of_one_fold(),
    "garbage": (b"\xc0" for _ in range(QUERIES)),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread(answer()) as thread:
        yield thread


@pytest.fixture(scope="module")
def pdns(tmp_path_factory: pytest.TempPathFactory, upstream: UpstreamThread) -> Iterator[RunningPdns]:
    directory = tmp_path_factory.mktemp("steering")
    sections = {
        "server": {"workers": WORKERS},
        "upstream": {"servers": [upstream.address]},
        "feed": [feed(directory, "listed", "steered.zzz")],
    }
    with RunningPdns(directory, sections) as running:
        yield running


def ask_all(pdns: RunningPdns, names: Iterator[bytes]) -> None:
    """Send a query for each of QUERIES names, 50 at a time, without waiting long for answers."""
    head, tail = query_wire("x")[:12], query_wire("x")[15:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.connect(("127.0.0.1", pdns.dns_port))
        sock.settimeout(0.02)
        while batch := list(islice(names, 50)):
            for name in batch:
                sock.send(head + name + tail)
            try:
                for _ in batch:
                    sock.recv(4096)
            except TimeoutError:
                continue


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_worker_can_be_singled_out(pdns: RunningPdns, attack: str) -> None:
    """Of 12,000 queries that are meant for one worker the other one does at least a quarter of the work."""

    def work() -> list[float]:
        return [pdns.value("process_cpu_seconds_total", process=f"worker{index}") for index in range(WORKERS)]

    before = work()
    ask_all(pdns, islice(ATTACKS[attack], QUERIES))
    done = [now - then for then, now in zip(before, work(), strict=True)]
    assert min(done) > sum(done) / 4, done


def paced(pdns: RunningPdns, names: Iterator[str], queries_per_s: float, *, source: str = "127.0.0.1") -> tuple[int, int]:
    """Ask for each name at that rate; how many answers came, and how many of them are truncated."""
    answered = truncated = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.connect(("127.0.0.1", pdns.dns_port))
        sock.setblocking(False)
        due_s = time.monotonic()
        until_s = 0.0
        for number, name in enumerate(names):
            due_s += 1 / queries_per_s
            sock.send(query_wire(name, query_id=number % 65536))
            until_s = time.monotonic() + 2.0
            while (left_s := due_s - time.monotonic()) > 0:
                time.sleep(left_s)
            while (wire := _received(sock)) is not None:
                answered, truncated = answered + 1, truncated + (wire[2] >> 1 & 1)
        while time.monotonic() < until_s and answered <= number:
            if (wire := _received(sock)) is not None:
                answered, truncated = answered + 1, truncated + (wire[2] >> 1 & 1)
            else:
                time.sleep(0.01)
    return answered, truncated


def _received(sock: socket.socket) -> bytes | None:
    try:
        return sock.recv(4096)
    except BlockingIOError:
        return None


def test_one_hot_name_gets_the_whole_limit(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A limit of 500 queries a second, 400 a second for one name, which is one worker's: none of 1,200 is truncated."""
    sections = {
        "server": {"workers": WORKERS},
        "upstream": {"servers": [upstream.address]},
        "rate_limit": {"queries_per_s": 500, "burst": 50},
    }
    with RunningPdns(tmp_path, sections) as running:
        assert paced(running, ("hot.test" for _ in range(1200)), 400) == (1200, 0)


@pytest.mark.parametrize("spread", [True, False])
def test_a_limit_is_exact_however_names_are_spread(tmp_path: Path, upstream: UpstreamThread, spread: bool) -> None:
    """600 queries a second under a limit of 200: what gets through is the burst and 200 a second, for many names and for one."""
    sections = {
        "server": {"workers": 3},
        "upstream": {"servers": [upstream.address]},
        "rate_limit": {"queries_per_s": 200, "burst": 100},
    }
    with RunningPdns(tmp_path, sections) as running:
        began_s = time.monotonic()
        answered, truncated = paced(running, (f"n{number if spread else 0}.test" for number in range(1800)), 600)
        allowed = 100 + 200 * (time.monotonic() - began_s)
        assert answered == 1800
        assert 100 + 200 * 2.5 <= answered - truncated <= allowed + 1


def test_a_limit_outlives_the_workers_that_enforce_it(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A burst of 40 is used up; every worker is killed and replaced: what has come back is what the rate allows, no new burst."""
    sections = {
        "server": {"workers": WORKERS},
        "upstream": {"servers": [upstream.address]},
        "rate_limit": {"queries_per_s": 1, "burst": 40},
    }
    with RunningPdns(tmp_path, sections) as running:
        began_s = time.monotonic()
        passed = 0
        for _ in range(2):
            answered, truncated = paced(running, (f"n{number}.test" for number in range(100)), 300)
            passed += answered - truncated
            for pid in running.worker_pids:
                os.kill(pid, signal.SIGKILL)
            running.wait_for(lambda: running.get("/readyz")[0] == 200, "workers")
        assert 40 <= passed <= 40 + (time.monotonic() - began_s) + 1
