"""How `pdns serve` ends: what is answered before, how long it may take, and that no process stays."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import dns.edns
import dns.exception
import pytest

from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread, is_running
from tests.integration.serving import UPSTREAM_SAYS, config, serving_upstream, wait_until_gone


@pytest.fixture
def upstream() -> Iterator[UpstreamThread]:
    with serving_upstream() as thread:
        yield thread


@pytest.mark.long
@pytest.mark.parametrize("worker_state", ["running", "hung"])
def test_children_end_with_a_killed_supervisor(tmp_path: Path, upstream: UpstreamThread, worker_state: str) -> None:
    """SIGKILL for the supervisor leaves no process, not even a hung one; the ports are free for the next start."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        children = [*pdns.worker_pids, pdns.feeds_pid]
        if worker_state == "hung":
            pdns.kill_worker(signal.SIGSTOP)
        pdns.kill()
        wait_until_gone(children)
        pdns.write_config(config(tmp_path, upstream, server={"listen": [f"127.0.0.1:{pdns.dns_port}"]}))
        pdns.start()
        assert pdns.addresses("malware.test") == [SINKHOLE]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_is_answered_before_the_end(tmp_path: Path, upstream: UpstreamThread, sig: signal.Signals) -> None:
    """A query that waits for its upstream at the signal is answered, over UDP and TCP; exit code 0, and no process is left."""
    with RunningPdns(tmp_path, config(tmp_path, upstream, server={"drain_s": 60.0})) as pdns:
        children = [*pdns.worker_pids, pdns.feeds_pid]
        answers: list[list[str]] = []
        asking = [
            threading.Thread(target=lambda tcp=tcp: answers.append(pdns.addresses(f"{tcp}.slow.example.net", tcp=tcp)))
            for tcp in (False, True)
        ]
        for thread in asking:
            thread.start()
        pdns.wait_for(lambda: len(upstream.names) == 2, "asked")
        assert pdns.stop(sig) == 0
        for thread in asking:
            thread.join()
        assert answers == [[UPSTREAM_SAYS], [UPSTREAM_SAYS]]
        assert not any(map(is_running, children))


def test_an_end_in_the_same_moment_as_a_reload_is_an_end(tmp_path: Path, upstream: UpstreamThread) -> None:
    """SIGHUP and SIGTERM that arrive together end it, as SIGTERM alone does."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        os.kill(pdns.pid, signal.SIGSTOP)
        for sig in (signal.SIGHUP, signal.SIGTERM, signal.SIGCONT):
            os.kill(pdns.pid, sig)
        assert pdns.stop() == 0


@pytest.mark.long
def test_the_end_is_bounded(tmp_path: Path, upstream: UpstreamThread) -> None:
    """An upstream that never answers, a client that never closes: exit 0 all the same, and what was given up is said."""
    with RunningPdns(tmp_path, config(tmp_path, upstream, server={"drain_s": 0.5})) as pdns, socket.socket() as idle:
        idle.connect(("127.0.0.1", pdns.dns_port))
        rcodes: list[str] = []
        asking = threading.Thread(target=lambda: rcodes.append(pdns.rcode("never.example.net")))
        asking.start()
        pdns.wait_for(lambda: "never.example.net" in upstream.names, "asked")
        assert pdns.stop() == 0
        asking.join()
        assert rcodes == ["SERVFAIL"]
        assert "1 queries were given up" in pdns.log


@pytest.mark.long
def test_hung_children_do_not_hold_up_the_end(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A worker and a feeds process that stand still are killed; exit 0 all the same, and said in the log."""
    with RunningPdns(tmp_path, config(tmp_path, upstream, server={"drain_s": 0.5})) as pdns:
        children = [*pdns.worker_pids, pdns.feeds_pid]
        for pid in children:
            os.kill(pid, signal.SIGSTOP)
        assert pdns.stop() == 0
        assert not any(map(is_running, children))
        assert "worker0 did not exit within" in pdns.log


@pytest.mark.long
def test_a_second_interrupt_ends_it_at_once(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Ctrl-C twice does not wait for anybody."""
    with RunningPdns(tmp_path, config(tmp_path, upstream, server={"drain_s": 600.0})) as pdns:
        children = [*pdns.worker_pids, pdns.feeds_pid]

        def ask_in_vain() -> None:
            with pytest.raises(dns.exception.Timeout):
                pdns.ask("never.example.net", timeout_s=1)

        asking = threading.Thread(target=ask_in_vain)
        asking.start()
        pdns.wait_for(lambda: "never.example.net" in upstream.names, "asked")
        pdns.send_signal(signal.SIGINT)
        pdns.wait_for_log("stopping")
        assert pdns.stop(signal.SIGINT) == 130
        asking.join()
        wait_until_gone(children)
