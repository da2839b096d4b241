"""The real program on a machine that works against it: nothing reads the log, clocks jump, memory and descriptors are missing.
It serves what it can, says what it cannot, and always ends on SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dns.exception
import pytest

from loadtest.loopback import free_port
from tests.fakes.upstream import answer
from tests.integration.onemachine import NATIVE, ONE_WORKER, UPSTREAM_SAYS, answers_within, config, need_root
from tests.integration.running_pdns import ROOT, SINKHOLE, RunningPdns, UpstreamThread, feed


@pytest.fixture
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread(answer()) as thread:
        yield thread


# The log.


@pytest.mark.long
def test_a_log_that_nothing_reads_stops_no_process(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Standard error is a full FIFO: queries, pages, reloads and the end go on. What was dropped is counted, and said once the
    log is read again.
    """
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    names = [f"m{number}-{'x' * 50}.watched.org" for number in range(3000)]
    watched = feed(tmp_path, "watched", *names, mode="monitor")
    sections = config(tmp_path, upstream, feed=[watched], log={"level": "debug", "monitored_per_minute": 100_000})
    try:
        with RunningPdns(tmp_path, sections, stderr=fifo) as pdns:
            pdns.wait_for(lambda: pdns.value("blockset_entries") == len(names), "the feed is loaded")
            unanswered = 0
            for name in names:  # about 500 KB of log, eight times what a pipe takes
                try:
                    pdns.ask(name, timeout_s=20.0)
                except dns.exception.Timeout:
                    unanswered += 1
                    if unanswered > 3:
                        break
            assert unanswered == 0
            assert pdns.get("/healthz")[0] == 200
            assert pdns.get("/readyz")[0] == 200
            pdns.wait_for(lambda: pdns.value("log_lines_dropped_total", process="worker") > 300, "drops are counted")
            pdns.reload()
            read = b""
            until_s = time.monotonic() + 60
            while b"log lines were dropped" not in read and time.monotonic() < until_s:
                try:
                    read += os.read(reader, 65536)
                except BlockingIOError:
                    time.sleep(0.02)
            assert b"log lines were dropped: standard error was not read" in read
            assert pdns.stop() == 0
    finally:
        os.close(reader)


@pytest.mark.long
@pytest.mark.parametrize("closed", ["0", "1", "2", "012"])
def test_standard_descriptors_that_are_closed(tmp_path: Path, upstream: UpstreamThread, closed: str) -> None:
    """No socket or file of ours becomes one of them: it starts, answers and ends."""
    close = " ".join(f"{fd}{'<' if fd == '0' else '>'}&-" for fd in closed)
    through = ["sh", "-c", f'exec "$@" {close}', "sh"]
    port = free_port()
    where = {"server": {"listen": [f"127.0.0.1:{port}"], **ONE_WORKER}}
    pdns = RunningPdns(tmp_path, config(tmp_path, upstream, **where), through=through)
    pdns.launch()
    try:
        pdns.dns_port = port
        answers_within(pdns, "listed.test", SINKHOLE)
        for pid in (pdns.pid, pdns.worker_pid, pdns.feeds_pid):
            targets = {str(Path(f"/proc/{pid}/fd/{fd}").readlink()) for fd in (0, 1, 2)}
            assert targets <= {"/dev/null", str(tmp_path / "stdout"), str(tmp_path / "stderr")}
        assert pdns.stop() == 0
    finally:
        pdns.kill()


# Clocks.


DAY_S = 86400


@pytest.fixture(scope="session")
def shift(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that shifts the wall clock of what it is preloaded into."""
    library = tmp_path_factory.mktemp("native") / "shift.so"
    source = NATIVE.with_name("shift.c")
    where = f'-DSHIFT_FILE="{library.with_name("shift")}"'  # no variable for it would reach the children
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", where, "-o", library, source], check=True)
    return library


@pytest.mark.long
@pytest.mark.parametrize("jump_s", [10 * DAY_S, -10 * DAY_S])
def test_the_wall_clock_jumps(tmp_path: Path, upstream: UpstreamThread, shift: Path, jump_s: int) -> None:
    """By ten days: what is listed, blocked or allowed stays so, and a worker that is replaced agrees."""
    clock = shift.with_name("shift")
    clock.write_text("0")
    listed = feed(tmp_path, "listed", "listed.test", "allowed.test", expire_after_s=3600)
    sections = config(tmp_path, upstream, feed=[listed])
    environment = {"LD_PRELOAD": str(shift)}
    with RunningPdns(tmp_path, sections, environment=environment) as pdns:
        for command in ("block", "allow"):
            name = "here.test" if command == "block" else "allowed.test"
            order = [sys.executable, "-m", "pdns", command, name, "--for", "1h", "--reason", "x", "-c", str(pdns.config_path)]
            subprocess.run(order, check=True, capture_output=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
        clock.write_text(str(jump_s))
        (tmp_path / "listed.txt").unlink()  # the source is away as well, but has not been for an hour
        pdns.kill_worker()
        answers_within(pdns, "listed.test", SINKHOLE)
        until_s = time.monotonic() + 5.0
        while time.monotonic() < until_s:
            assert SINKHOLE in pdns.ask("listed.test").answer[0].to_text()
            assert SINKHOLE in pdns.ask("here.test").answer[0].to_text()
            assert SINKHOLE not in pdns.ask("allowed.test").to_text()
            time.sleep(0.2)
        assert pdns.value("feed_expired", feed="listed") == 0
        assert pdns.stop() == 0


@pytest.mark.long
def test_clocks_that_differ_by_a_month(tmp_path: Path, upstream: UpstreamThread) -> None:
    """In a time namespace, as after a month of suspension: the time since the start of the machine and the monotonic one."""
    need_root()
    through = ["unshare", "-T", "-f", "--boottime", str(60 * DAY_S), "--monotonic", str(30 * DAY_S), "--kill-child"]
    pdns = RunningPdns(tmp_path, config(tmp_path, upstream), through=through)
    with pdns:
        assert SINKHOLE in pdns.ask("listed.test").answer[0].to_text()
        for _ in range(2):
            assert UPSTREAM_SAYS in pdns.ask("example.com").answer[0].to_text()
        assert pdns.value("responses_total", source="cache") == 1
        os.kill(int(Path(f"/proc/{pdns.pid}/task/{pdns.pid}/children").read_text().split()[0]), signal.SIGTERM)
        assert pdns.wait() == 0


# Descriptors, files.


@pytest.mark.long
def test_few_descriptors(tmp_path: Path, upstream: UpstreamThread) -> None:
    """128 in all, and 300 TCP clients that say nothing: what is not in the cache is still asked, and no upstream is blamed."""
    through = ["sh", "-c", 'ulimit -n 128 && exec "$@"', "sh"]
    with RunningPdns(tmp_path, config(tmp_path, upstream), through=through) as pdns, contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", pdns.dns_port), timeout=5))
        for number in range(60):
            assert UPSTREAM_SAYS in pdns.ask(f"n{number}.example.com").answer[0].to_text()
        assert UPSTREAM_SAYS in pdns.ask("tcp.example.com", tcp=True).answer[0].to_text()
        assert pdns.value("upstream_up") == 1
        assert pdns.stop() == 0


# Time that passes without the program.


@pytest.mark.long
def test_all_processes_stand_still_for_a_while(tmp_path: Path, upstream: UpstreamThread) -> None:
    """As when a virtual machine is paused and its clocks go on: answers resume, nothing is taken for broken or replaced."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        assert UPSTREAM_SAYS in pdns.ask("example.com").answer[0].to_text()
        pids = [pdns.pid, pdns.worker_pid, pdns.feeds_pid]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(10)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        assert SINKHOLE in pdns.ask("listed.test").answer[0].to_text()
        assert UPSTREAM_SAYS in pdns.ask("example.com").answer[0].to_text()
        for number in range(20):
            assert UPSTREAM_SAYS in pdns.ask(f"n{number}.example.com").answer[0].to_text()
        time.sleep(2)  # who looks at the pulse has done so
        assert pdns.value("upstream_up") == 1
        assert pdns.value("worker_restarts_total") == 0
        assert pdns.value("feeds_restarts_total") == 0
        assert [pdns.pid, pdns.worker_pid, pdns.feeds_pid] == pids
        assert pdns.stop() == 0


@pytest.mark.long
def test_memory_that_does_not_suffice(tmp_path: Path, upstream: UpstreamThread) -> None:
    """With too little memory it starts or says why not, in bounded time, and ends on SIGTERM."""
    for megabytes in (40, 80, 120, 200, 300):
        directory = tmp_path / str(megabytes)
        directory.mkdir()
        limit = ["sh", "-c", f'ulimit -v {megabytes * 1024} && exec "$@"', "sh"]
        pdns = RunningPdns(directory, config(directory, upstream), through=limit, ready=False)
        process = pdns.launch()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        pdns.wait()
        assert pdns.log.strip() or process.returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("megabytes", [24, 60, 400])
def test_a_memory_cgroup(tmp_path: Path, upstream: UpstreamThread, megabytes: int) -> None:
    """Where the kernel kills for memory: with enough it serves, with too little it ends on SIGTERM, if it was not killed."""
    group = memory_cgroup(megabytes)
    through = ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    pdns = RunningPdns(tmp_path, config(tmp_path, upstream), through=through, ready=False)
    try:
        process = pdns.launch()
        if megabytes == 400:
            pdns.wait_for(lambda: "dig @" in pdns.output, "the banner")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        status = pdns.wait()
        assert status == 0 or megabytes < 400
    finally:
        pdns.kill()
        until_s = time.monotonic() + 60
        while group.exists() and time.monotonic() < until_s:
            with contextlib.suppress(OSError):  # until the last of its processes is gone
                group.rmdir()
            time.sleep(0.05)
    assert not group.exists()


def memory_cgroup(megabytes: int) -> Path:
    """A new cgroup with that much memory; skips the test where none can be made."""
    need_root()
    version_1, version_2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    above, limit = (version_1, "memory.limit_in_bytes") if version_1.is_dir() else (version_2, "memory.max")
    group = above / f"pdns-test-{os.getpid()}-{megabytes}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made: {error.strerror}")
    try:
        (group / limit).write_text(str(megabytes << 20))
    except OSError as error:
        group.rmdir()
        pytest.skip(f"no limit can be set on memory: {error.strerror}")
    return group
