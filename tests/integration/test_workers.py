"""Several workers: who answers what, and what their deaths and hangs cost clients, which is nothing."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import dns.edns
import dns.message
import dns.query
import pytest

from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread, is_running
from tests.integration.severalworkers import (
    NAMES,
    UPSTREAM_SAYS,
    WORKERS,
    Load,
    config,
    gone,
    receive_buffer,
    slow_upstream,
)
from tests.wire import query_wire


@pytest.fixture
def upstream() -> Iterator[UpstreamThread]:
    with slow_upstream() as thread:
        yield thread


@pytest.mark.long
def test_an_end_while_it_starts_is_an_end_like_any_other(tmp_path: Path, upstream: UpstreamThread) -> None:
    """SIGTERM once the workers run, before any of them answers: exit code 0, no process left, no complaint."""
    path = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    (tmp_path / "sitecustomize.py").write_text("import sys, time\nif 'pdns.worker' in sys.orig_argv: time.sleep(1)\n")
    pdns = RunningPdns(tmp_path, config(tmp_path, upstream), environment=path)
    process = pdns.launch()
    try:
        pdns.wait_for(lambda: len(pdns.worker_pids) == WORKERS, "workers")
        children = pdns.worker_pids
        process.send_signal(signal.SIGTERM)
        assert pdns.wait() == 0, pdns.log
        assert not any(map(is_running, children))
        assert "Traceback" not in pdns.log
    finally:
        pdns.kill()


# Who answers what.


def test_every_worker_has_its_part_of_the_names(tmp_path: Path, upstream: UpstreamThread) -> None:
    """600 names, each asked twice from different ports: one upstream query each, and every worker has some in its cache."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        names = [f"n{number}.example.net" for number in range(600)]
        cpu = [pdns.value("process_cpu_seconds_total", process=f"worker{index}") for index in range(WORKERS)]
        for _ in range(2):
            for name in names:
                assert pdns.addresses(name) == [UPSTREAM_SAYS]
        assert max(Counter(upstream.names).values()) == 1
        assert pdns.value("queries_total") == 1200
        pdns.wait_for(lambda: pdns.value("cache_entries") == 600, "all in one cache each")
        for index in range(WORKERS):
            assert pdns.value("worker_up", process=f"worker{index}") == 1
            assert pdns.value("process_cpu_seconds_total", process=f"worker{index}") > cpu[index]


@pytest.mark.long
def test_blocked_domains_are_counted_over_all_workers(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Many names below one listed name, met by all workers, are one blocked domain, and stay so when workers are killed."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        for name in NAMES[:60]:
            assert pdns.addresses(name) == [SINKHOLE]
        assert pdns.value("blocked_total") == 60
        assert pdns.value("blocked_domains", tenant="default", window="1h") == 1
        for pid in pdns.worker_pids:
            os.kill(pid, signal.SIGKILL)
        for name in NAMES[:60]:
            assert pdns.addresses(name) == [SINKHOLE]
        assert pdns.value("blocked_domains_overall", window="7d") == 1
        assert pdns.value("blocked_total") == 120


@pytest.mark.realtime
@pytest.mark.long
def test_a_limit_is_that_of_all_workers_together(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A burst of 30 is one of all workers: of 300 names asked at once about 30 are answered, not 90."""
    limit = {"queries_per_s": 3, "burst": 30, "action": "refuse"}
    with RunningPdns(tmp_path, config(tmp_path, upstream, rate_limit=limit)) as pdns:
        for name in NAMES[:300]:
            pdns.ask(name)
        answered = 300 - pdns.value("responses_total", rcode="REFUSED")
        assert 20 <= answered < 70  # more than 30 when the machine is slow and seconds pass


# Death.


@pytest.mark.realtime
@pytest.mark.long
def test_a_killed_worker_costs_no_query(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Kill -9 under load, each worker in turn: every query is answered, the longest within two seconds, and all counted."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        with Load(pdns, 1000) as load:
            for pid in pdns.worker_pids:
                time.sleep(0.5)
                os.kill(pid, signal.SIGKILL)
                pdns.wait_for(partial(gone, pid), "death")
                pdns.wait_for(lambda: pdns.get("/readyz")[0] == 200 and len(pdns.worker_pids) == WORKERS, "replacement")
        assert load.lost <= WORKERS * 64  # what a worker had read and not yet answered goes with it
        assert load.answered > 1000
        assert load.longest_s < 5.0
        pdns.wait_for_value(WORKERS, "worker_restarts_total")
        print(f"{load.sent} sent, {load.lost} lost, longest {load.longest_s:.3f} s")  # noqa: T201 (shown when it fails)


@pytest.mark.long
def test_every_worker_believes_a_cookie(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A server cookie is given back as it is, whichever worker the name goes to, and by the replacement of a worker that died."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:

        def cookies(name: str, sent: bytes) -> bytes:
            query = dns.message.make_query(name, "A", options=[dns.edns.GenericOption(dns.edns.OptionType.COOKIE, sent)])
            response = dns.query.udp(query, "127.0.0.1", port=pdns.dns_port, timeout=10)
            return b"".join(option.to_wire() or b"" for option in response.options if option.otype == dns.edns.OptionType.COOKIE)

        given = cookies("first.example", b"abcdefgh")
        assert (given[:8], len(given)) == (b"abcdefgh", 24)
        names = [f"n{number}.example" for number in range(40)]
        assert {cookies(name, given) for name in names} == {given}
        pdns.kill_worker()
        assert {cookies(name, given) for name in names} == {given}


def test_what_is_queued_when_a_worker_dies_is_answered(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Queries sent to workers that are stopped, and then killed, are all answered by their replacements; none is lost."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        receive_buffer(client, 4 << 20)
        client.settimeout(60)
        pids = pdns.worker_pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for number, name in enumerate(NAMES):
            client.sendto(query_wire(name, query_id=number), ("127.0.0.1", pdns.dns_port))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert {int.from_bytes(client.recv(512)[:2]) for _ in NAMES} == set(range(len(NAMES)))


@pytest.mark.realtime
@pytest.mark.long
def test_a_killed_worker_is_back_soon(tmp_path: Path, upstream: UpstreamThread) -> None:
    """From kill -9 to the answers for its names: the time that a process takes to start, and no more."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        times = []
        for pid in pdns.worker_pids:
            os.kill(pid, signal.SIGKILL)
            began_s = time.monotonic()
            for name in NAMES[:20]:  # some of them are its own
                assert pdns.addresses(name) == [SINKHOLE]
            times.append(time.monotonic() - began_s)
        print(times)  # noqa: T201 (shown when it fails)
        assert min(times) < 1.0


@pytest.mark.long
def test_a_connection_that_waits_is_accepted_by_another(tmp_path: Path, upstream: UpstreamThread) -> None:
    """While all workers but one stand still, TCP is served as ever."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        for pid in pdns.worker_pids[1:]:
            os.kill(pid, signal.SIGSTOP)
        for name in NAMES[:20]:
            assert pdns.addresses(name, tcp=True) == [SINKHOLE]


@pytest.mark.realtime
@pytest.mark.long
def test_a_hung_worker_is_covered_and_replaced(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A worker that stands still: before it is killed a neighbour answers its names, which /readyz says; then its successor."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        hung = pdns.kill_worker(signal.SIGSTOP)
        pdns.wait_for_log("worker0: no sign of life for 1 s; worker1 answers for it meanwhile")
        for name in NAMES[:60]:
            assert pdns.addresses(name, timeout_s=1) == [SINKHOLE]
        pdns.wait_for(lambda: not is_running(hung), "replaced")
        pdns.wait_for_log("worker0 is back, and answers for itself again")
        pdns.wait_for(lambda: pdns.get("/readyz") == (200, "ok\n"), "/readyz")
        for name in NAMES[:60]:
            assert pdns.addresses(name, timeout_s=1) == [SINKHOLE]


@pytest.mark.realtime
@pytest.mark.long
def test_a_worker_that_keeps_dying_costs_no_names(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Killed whenever it comes back: from the third time on its names are answered by others at once, and that is shown."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        started = pdns.log.count("worker0 started")
        for _ in range(4):
            pid = int(pdns.log.rsplit("worker0 started as process ", 1)[1].split()[0])
            os.kill(pid, signal.SIGKILL)
            started += 1
            if started > 3:
                pdns.wait_for_log("worker1 answers for it meanwhile")
                for name in NAMES[:40]:
                    assert pdns.addresses(name, timeout_s=1) == [SINKHOLE]
                assert pdns.get("/readyz")[0] == 200
            pdns.wait_for_log("worker0 started", times=started)
        pdns.wait_for_log("started again after 0.5 s; worker1 answers for it meanwhile")
        pdns.wait_for_value(4, "worker_restarts_total")
        pdns.wait_for(lambda: pdns.get("/readyz") == (200, "ok\n"), "its return")


@pytest.mark.long
def test_who_stands_in_may_die_too(tmp_path: Path, upstream: UpstreamThread) -> None:
    """The neighbour that reads for one that hangs is killed: the next one reads for it."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        first, second, _ = pdns.worker_pids
        os.kill(first, signal.SIGSTOP)
        pdns.wait_for_log("worker1 answers for it meanwhile")
        os.kill(second, signal.SIGKILL)
        for name in NAMES[:40]:
            assert pdns.addresses(name) == [SINKHOLE]
        pdns.wait_for_log("worker2 answers for it meanwhile")


def test_a_reload_reaches_every_worker(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A new configuration, with another size of the cache, is live in all of them at once; a refused one in none."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        changed = config(tmp_path, upstream, block={"action": "nxdomain"}, cache={"max_bytes": 1 << 20})
        pdns.write_config(changed)
        pdns.reload()
        assert {pdns.rcode(name) for name in NAMES[:40]} == {"NXDOMAIN"}
        (tmp_path / "ca.pem").write_text("no certificate\n")
        tls = {"servers": ["tls://192.0.2.53#dns.test"], "ca_file": str(tmp_path / "ca.pem")}
        pdns.write_config({**changed, "block": {"action": "nodata"}, "upstream": tls})
        pdns.send_signal(signal.SIGHUP)
        pdns.wait_for(lambda: pdns.value("config_last_reload_successful") == 0, "refused")
        assert {pdns.rcode(name) for name in NAMES[:40]} == {"NXDOMAIN"}
        assert pdns.value("worker_restarts_total") == 0
