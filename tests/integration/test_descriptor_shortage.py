"""Descriptors run short in the supervisor, because somebody holds its HTTP ports: what dies is replaced, clients are served."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.loopback import free_port
from tests.fakes.upstream import answer
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread, feed

pytestmark = [pytest.mark.long, pytest.mark.realtime]

FEW = ["sh", "-c", 'ulimit -n 256 && exec "$@"', "sh"]


@pytest.fixture
def pdns(tmp_path: Path) -> Iterator[RunningPdns]:
    (tmp_path / "token").write_text("secret of 16 characters\n")
    admin_port = free_port()
    with UpstreamThread(answer()) as upstream:
        sections = {
            "server": {"workers": 1},
            "upstream": {"servers": [upstream.address]},
            "feed": [feed(tmp_path, "listed", "listed.test")],
            "admin": {"listen": f"127.0.0.1:{admin_port}", "token_file": str(tmp_path / "token")},
        }
        with RunningPdns(tmp_path, sections, through=FEW) as running:
            running.admin_port = admin_port  # type: ignore[attr-defined]  # for the tests of this module alone
            yield running


def connect_all(stack: contextlib.ExitStack, port: int, connections: int) -> list[socket.socket]:
    """Connections on which one byte was sent."""
    held = []
    for _ in range(connections):
        held.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5)))
        with contextlib.suppress(OSError):
            held[-1].sendall(b"G")
    return held


@pytest.mark.parametrize("server", ["metrics", "admin"])
def test_idle_http_connections_keep_no_process_from_being_replaced(pdns: RunningPdns, server: str) -> None:
    """257 connections at 256 descriptors, and the only worker and the feeds process die: both are back meanwhile,
    and the metrics page is answered.
    """
    port = pdns.metrics_port if server == "metrics" else pdns.admin_port  # type: ignore[attr-defined]  # as above
    with contextlib.ExitStack() as stack:
        connect_all(stack, port, 257)
        worker, feeds = pdns.kill_worker(), pdns.feeds_pid
        pdns.wait_for(lambda: pdns.worker_pid not in (0, worker), "the worker is replaced", 5.0)
        pdns.wait_for(lambda: pdns.ask("listed.test").answer, "the new worker answers")
        assert pdns.addresses("listed.test") == [SINKHOLE]
        os.kill(feeds, signal.SIGKILL)
        pdns.wait_for(lambda: pdns.feeds_pid not in (0, feeds), "the feeds process is replaced", 5.0)
        assert pdns.get("/metrics")[0] == 200
        assert pdns.value("http_connections_dropped_total", server=server) > 100
        assert pdns.value("process_open_fds", process="supervisor") < 140


def test_a_connection_without_a_request_is_closed(pdns: RunningPdns) -> None:
    """One that says nothing, one that sends a byte of a header each second: neither is open after a quarter of a minute."""
    with contextlib.ExitStack() as stack:
        silent, slow = connect_all(stack, pdns.metrics_port, 2)
        until_s = time.monotonic() + 25
        slow.settimeout(1.0)
        closed, rest = False, iter(b"ET / HTTP/1.1\r\nHost: " + b"x" * 100)
        while not closed and time.monotonic() < until_s:
            try:
                slow.sendall(bytes([next(rest)]))
                closed = slow.recv(1000) == b""
            except TimeoutError:
                continue
            except OSError:
                closed = True
        assert closed
        silent.settimeout(10.0)
        assert silent.recv(1000) == b""
