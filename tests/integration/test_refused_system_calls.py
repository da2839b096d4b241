"""The real program where a system call is refused: it does without, or says which one it needs."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.upstream import answer
from tests.integration.onemachine import NATIVE, UPSTREAM_SAYS, answers_within, config
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread


@pytest.fixture
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread(answer()) as thread:
        yield thread


OPTIONAL_CALLS = (
    "pidfd_open", "io_uring_setup", "close_range", "prctl", "sched_setscheduler", "setpriority", "getpriority", "prlimit64",
    "sched_setattr", "sched_getaffinity", "vfork", "madvise", "mremap", "rseq", "sysinfo", "statx", "ioprio_set",
    "copy_file_range", "setsockopt/2=51", "setsockopt/2=33", "seccomp", "capset", "capget", "landlock_create_ruleset",
    "landlock_add_rule", "landlock_restrict_self", "prctl/0=38", "prctl/0=4",
)  # fmt: skip  # 51: SO_ATTACH_REUSEPORT_CBPF, 33: SO_RCVBUFFORCE, 38: no_new_privs, 4: dumpable
NECESSARY_CALLS = ("memfd_create", "recvmmsg", "sendmmsg")
BROKEN_CALLS = ("clone3", "socketpair", "eventfd2", "fsync", "symlink", "flock", "setsockopt", "fcntl", "getrandom", "setpgid")


@pytest.fixture(scope="session")
def refuse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that runs another one with a system call refused."""
    program = tmp_path_factory.mktemp("native") / "refuse"
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-O1", "-o", program, NATIVE], check=True)
    return program


@pytest.mark.long
@pytest.mark.parametrize("call", OPTIONAL_CALLS)
def test_an_optional_system_call_is_refused(tmp_path: Path, upstream: UpstreamThread, refuse: Path, call: str) -> None:
    """It does without: blocks, forwards, replaces a worker that dies, and ends on SIGTERM."""
    with RunningPdns(tmp_path, config(tmp_path, upstream), through=[refuse, call]) as pdns:
        assert SINKHOLE in pdns.ask("listed.test").answer[0].to_text()
        assert UPSTREAM_SAYS in pdns.ask("example.com").answer[0].to_text()
        assert UPSTREAM_SAYS in pdns.ask("tcp.example.com", tcp=True).answer[0].to_text()
        pdns.kill_worker()
        pdns.wait_for(lambda: pdns.value("worker_restarts_total") == 1, "the worker is replaced")
        answers_within(pdns, "listed.test", SINKHOLE)
        assert pdns.stop() == 0


@pytest.mark.long
@pytest.mark.parametrize("call", ["pidfd_open"])
def test_processes_that_cannot_be_watched(tmp_path: Path, upstream: UpstreamThread, refuse: Path, call: str) -> None:
    """As above, in the short run."""
    test_an_optional_system_call_is_refused(tmp_path, upstream, refuse, call)


@pytest.mark.long
def test_limits_that_cannot_be_set(tmp_path: Path, upstream: UpstreamThread, refuse: Path) -> None:
    """Lists are parsed without them, and the log says so once."""
    with RunningPdns(tmp_path, config(tmp_path, upstream), through=[refuse, "prlimit64"]) as pdns:
        assert SINKHOLE in pdns.ask("listed.test").answer[0].to_text()
        pdns.wait_for_log("without limits of the kernel")
        said = [line for line in pdns.log.splitlines() if "without limits of the kernel" in line]
        assert len(said) == 1
        assert "warning feeds:" in said[0]
        assert "cpu: " in said[0]
        assert "data: " in said[0]


@pytest.mark.parametrize("call", NECESSARY_CALLS)
def test_a_necessary_system_call_is_refused(tmp_path: Path, upstream: UpstreamThread, refuse: Path, call: str) -> None:
    """It does not start, and says which call it was."""
    pdns = RunningPdns(tmp_path, config(tmp_path, upstream), through=[refuse, call])
    pdns.launch()
    assert pdns.wait() == 1
    assert f"this system refuses {call}" in pdns.log
    assert "Traceback" not in pdns.log


@pytest.mark.long
@pytest.mark.parametrize("call", BROKEN_CALLS)
def test_whatever_is_refused_it_ends_on_sigterm(tmp_path: Path, upstream: UpstreamThread, refuse: Path, call: str) -> None:
    """It may not serve, but it hangs in no case, and says something."""
    pdns = RunningPdns(tmp_path, config(tmp_path, upstream), through=[refuse, call], ready=False)
    process = pdns.launch()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(6)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    pdns.wait()
    assert pdns.log.strip()
