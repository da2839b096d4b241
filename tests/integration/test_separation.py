"""What each process has and may do, as `docs/security-model.md` says: read from the kernel, and tried from inside."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from loadtest.loopback import free_port
from pdns.confinement import landlock
from pdns.confinement.privileges import DAC_OVERRIDE, DAC_READ_SEARCH, NET_BIND_SERVICE
from pdns.confinement.seccomp import NUMBERS
from tests.fakes.upstream import answer
from tests.integration.running_pdns import ROOT, SINKHOLE, RunningPdns, UpstreamThread, feed

PAGE: Final = (ROOT / "docs/security-model.md").read_text()
CAPABILITIES: Final = {
    "CAP_NET_BIND_SERVICE": NET_BIND_SERVICE, "CAP_DAC_OVERRIDE": DAC_OVERRIDE, "CAP_DAC_READ_SEARCH": DAC_READ_SEARCH,
}  # fmt: skip
SECRET: Final = "a secret of the supervisor"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
with_landlock = pytest.mark.skipif(landlock.abi() < landlock.LEAST_ABI, reason="this kernel has no Landlock")


def table(heading: str) -> dict[str, dict[str, str]]:
    """The table below `heading` of the page: the first column -> the others, by their titles."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line.startswith("| ")]
    titles, *rows = [line for line in lines if not line[0].startswith("---")]
    return {row[0]: dict(zip(titles, (cell.strip() for cell in row), strict=True)) for row in rows}


def mask(cell: str) -> int:
    """The capabilities named in a cell."""
    return sum(1 << CAPABILITIES[name] for name in re.findall(r"CAP_\w+", cell))


def status_of(task: Path) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)


@pytest.fixture(scope="module")
def pdns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    tmp_path = tmp_path_factory.mktemp("separation")
    sections = {
        "feed": [feed(tmp_path, "listed", "listed.test", max_growth=1e6)],
        "block_page": {"listen": ["127.0.0.1:0"]},
        "feeds": {"publish_listen": [f"127.0.0.1:{free_port()}"]},
        "publish": [{"zone": "rpz.test", "allow_transfer": ["127.0.0.0/8"], "file": "rpz.test.rpz"}],
        "sink": [{"name": "lines", "kind": "file", "path": str(tmp_path / "events.jsonl")}],
    }
    with (
        UpstreamThread(answer()) as upstream,
        RunningPdns(
            tmp_path, {"upstream": {"servers": [upstream.address]}, **sections}, environment={"PDNS_SECRET": SECRET}
        ) as running,
    ):
        running.wait_for_log("the block page is served")  # by then, its process is confined
        yield running


def processes(pdns: RunningPdns) -> dict[str, list[int]]:
    return {
        "supervisor": [pdns.pid],
        "worker": pdns.worker_pids,
        "feeds": [pdns.feeds_pid],
        "page": pdns.children("pdns.page"),
        "events": pdns.children("pdns.events"),
    }


def test_the_table_is_what_the_kernel_says(pdns: RunningPdns) -> None:
    """Every thread of every process: capabilities, no_new_privs, seccomp, core size; and the kinds of its descriptors."""
    rows = table("Processes")
    assert pdns.addresses("listed.test") == [SINKHOLE]
    pdns.wait_for(lambda: pdns.value("publish_serial", zone="rpz.test"), "the published zone")
    pdns.wait_for(lambda: pdns.value("event_sink_records_total", sink="lines", result="written"), "the event")
    for name, pids in processes(pdns).items():
        for pid in pids:
            compare(pid, name, rows[name], pdns)


@as_root
def test_the_events_process_writes_no_memory_of_a_worker(pdns: RunningPdns) -> None:
    """It has the counters and rings of all workers for reading, and only its own counters for writing."""
    (events,) = (Path(f"/proc/{pid}") for pid in pdns.children("pdns.events"))
    writable: set[tuple[str, int]] = set()  # kind and inode
    readable: set[tuple[str, int]] = set()
    for entry in (events / "fd").iterdir():
        (flags,) = re.findall(r"^flags:\s+(\d+)$", (events / "fdinfo" / entry.name).read_text(), re.MULTILINE)
        kind = str(entry.readlink()).removesuffix(" (deleted)").removeprefix("/memfd:")
        if kind in ("pdns-counters", "pdns-evnt"):
            (writable if int(flags, 8) & os.O_ACCMODE else readable).add((kind, entry.stat().st_ino))
    assert [kind for kind, _ in writable] == ["pdns-counters"]
    assert {kind for kind, _ in readable} == {"pdns-counters", "pdns-evnt"}


def test_the_row_of_the_parser_is_what_the_kernel_says(pdns: RunningPdns) -> None:
    """The same for a parser that the running program has started: it is halted in the middle of a long list."""
    row = table("Processes")["parser"]
    (pdns.directory / "listed.txt").write_text("listed.test\n" + "".join(f"n{number}.other.test\n" for number in range(300_000)))
    parser = confined_parser(pdns)
    try:
        compare(parser, "parser", row, pdns)
    finally:
        os.kill(parser, signal.SIGCONT)
    pdns.wait_for(lambda: pdns.addresses("n299999.other.test") == [SINKHOLE], "the long list is in force")


def confined_parser(pdns: RunningPdns) -> int:
    """The id of a parser that the feeds process has started, halted when it has given up all that it gives up."""
    feeds = Path(f"/proc/{pdns.feeds_pid}")
    inherited = status_of(feeds)["Seccomp_filters"]
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        for child in " ".join(path.read_text() for path in feeds.glob("task/*/children")).split():
            with suppress(OSError):
                os.kill(int(child), signal.SIGSTOP)
                if status_of(Path(f"/proc/{child}"))["Seccomp_filters"] > inherited:  # the filter is the last measure
                    return int(child)
                os.kill(int(child), signal.SIGCONT)
        time.sleep(0.002)
    raise AssertionError("no parser was seen")


def compare(pid: int, name: str, row: dict[str, str], pdns: RunningPdns) -> None:
    """Assert that every thread of process `pid` has what `row` says."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = status_of(task)
        permitted = int(status["CapPrm"], 16)
        allowed = mask(row["capabilities, as root" if os.geteuid() == 0 else "capabilities"])
        assert permitted & ~allowed == 0, (name, status["CapPrm"])
        assert permitted == int(status["CapEff"], 16)
        if os.geteuid() == 0:
            assert permitted == allowed, (name, status["CapPrm"])
        assert status["NoNewPrivs"] == row["no_new_privs"], name
        assert status["Seccomp"] == row["seccomp"].split()[0], name
    assert re.search(r"^Max core file size +0 +0 ", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE)
    if os.geteuid() == 0:  # another user does not see the descriptors of a process that cannot be dumped, even of its own
        kinds = {kind_of(str(entry.readlink()), pdns) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        assert kinds <= set(row["descriptors"].split(", ")), name


def kind_of(target: str, pdns: RunningPdns) -> str:
    """What sort of thing a descriptor is, in the words of the page."""
    known = {
        "/dev/null": "null", "socket": "sockets", "pipe": "pipes",
        "/memfd:pdns-blockset": "blockset", "/memfd": "memory", "anon_inode:[eventpoll]": "loop",
        "anon_inode:[eventfd]": "loop", "anon_inode:[pidfd]": "children", "/proc/": "children", "anon_inode:[timerfd]": "loop",
        str(pdns.directory / "std"): "log", str(pdns.state_dir / "lock"): "lock",
        str(pdns.state_dir / "publish"): "journal",
        str(pdns.state_dir / "events/spool"): "spool", str(pdns.state_dir / "events"): "records",
        str(pdns.directory / "events.jsonl"): "records",
        str(pdns.state_dir / "feeds"): "files of its job",
    }  # fmt: skip
    if target == str(pdns.state_dir):
        return "lock"
    return next((kind for start, kind in known.items() if target.startswith(start)), target)


@as_root  # no other user reads the environment of a process that cannot be dumped
def test_children_get_no_secrets(pdns: RunningPdns) -> None:
    """A variable that nothing of theirs reads is in the environment of the supervisor alone."""
    assert SECRET in Path(f"/proc/{pdns.pid}/environ").read_text()
    for pid in (*pdns.worker_pids, pdns.feeds_pid, *pdns.children("pdns.page"), *pdns.children("pdns.events")):
        assert SECRET not in Path(f"/proc/{pid}/environ").read_text()


def test_measures_are_on_the_metrics_page(pdns: RunningPdns) -> None:
    """Each measure that was taken is 1; running as root is said, in the log too."""
    assert pdns.value("confinement", measure="no_new_privs") == 1
    assert pdns.value("confinement", measure="landlock") == (landlock.abi() >= landlock.LEAST_ABI)
    assert pdns.value("confinement", measure="user") == (os.geteuid() != 0)
    if os.geteuid() == 0:
        pdns.wait_for_log("runs as root")
    else:
        assert "runs as root" not in pdns.log


# What a process that was taken over would try.

ATTEMPTS: Final = {
    "write the blockset": "open(STATE + '/blocksets/current/manifest.json', 'r+b').write(b'x')",
    "replace the blockset": "os.symlink('1', STATE + '/blocksets/x')",
    "write the overrides": "open(STATE + '/overrides.json', 'wb').write(b'{}')",
    "order something": "open(STATE + '/requests/x', 'wb').write(b'{}')",
    "change modes": "os.chmod(STATE, 0o777)",
    "truncate": "os.truncate(STATE + '/feeds.json', 0)",
    "read a secret": "open(SECRET_FILE).read()",
    "connect": "socket.create_connection(('127.0.0.1', PORT), timeout=2)",
    "open a socket": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "bind port 53": "socket.socket().bind(('127.0.0.1', 53))",
    "read the memory of another": "open(f'/proc/{WORKER}/mem', 'rb')",
    "read the environment of another": "open(f'/proc/{WORKER}/environ').read()",
    "trace another": "trace(WORKER)",
    "end a worker": "os.kill(WORKER, 9)",
    "run a program": "os.execv('/bin/true', ['true'])",
    "start a process": "os.fork() or os._exit(0)",
}
MAY: Final = {  # what the page leaves to a process outside of the directory that it may write
    "supervisor": {
        "change modes", "read a secret", "connect", "open a socket", "bind port 53", "read the environment of another",
        "run a program", "start a process",
    },
    "feeds": {
        "change modes", "read a secret", "connect", "open a socket", "read the environment of another", "run a program",
        "start a process",
    },
    "parser": set(),
    "worker": {"read a secret", "connect", "open a socket", "read the environment of another"},
    "page": set(),
    "events": {"read a secret", "connect", "open a socket", "read the environment of another"},
}  # fmt: skip
SNIPPET: Final = """
import ctypes, os, socket, sys
from pathlib import Path
from pdns.confinement.confine import (
    confine_events, confine_feeds, confine_page, confine_parser, confine_supervisor, confine_worker,
)
def trace(pid):
    if ctypes.CDLL(None, use_errno=True).ptrace(16, pid, None, None):
        raise OSError(ctypes.get_errno(), "ptrace")
STATE, SECRET_FILE, WORKER, PORT = sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
OWN = Path(sys.argv[6])
missing = {
    "supervisor": lambda: confine_supervisor(OWN),
    "feeds": lambda: confine_feeds(OWN, low_port=False),
    "parser": lambda: confine_parser(write=OWN, read=()),
    "page": lambda: confine_page(write=OWN, read=Path(STATE)),
    "events": lambda: confine_events(write=[OWN]),
    "worker": confine_worker,
}[sys.argv[1]]()
print("missing", missing, flush=True)
if sys.argv[1] != "worker":
    (OWN / "mine").write_text("x")
try:
    exec(sys.argv[7])
except OSError as error:
    print("refused", error)
else:
    print("done")
"""


@with_landlock
@pytest.mark.parametrize("role", MAY)
def test_what_a_confined_process_cannot_do(pdns: RunningPdns, tmp_path: Path, role: str) -> None:
    """The very confinement of each process, beside the running program: each attempt that the page excludes fails."""
    secret, own = tmp_path / "secret", tmp_path / "own"
    secret.write_text(SECRET)
    own.mkdir()
    worker = pdns.worker_pid
    given = [str(pdns.state_dir), str(secret), str(worker), str(pdns.metrics_port), str(own)]
    outcomes = {}
    for what, attempt in ATTEMPTS.items():
        command = [sys.executable, "-c", SNIPPET, role, *given, attempt]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=60,
            check=False,
        )
        assert "missing {}" in done.stdout, done.stdout + done.stderr
        outcomes[what] = "refused" not in done.stdout
    may = {what for what, succeeded in outcomes.items() if succeeded}
    assert may <= MAY[role], may
    assert pdns.worker_pid == worker
    assert pdns.addresses("listed.test") == [SINKHOLE]


def test_no_process_can_be_read_by_its_user(pdns: RunningPdns) -> None:
    """Their memory is closed to a process of the same user with the same capabilities; that of a dumpable process is not."""
    attempt = f"""
import subprocess, sys
from pdns.confinement.privileges import keep_capabilities
keep_capabilities(frozenset({sorted(CAPABILITIES.values())}))
with subprocess.Popen(["sleep", "60"]) as dumpable:
    for pid in (dumpable.pid, *sys.argv[1:]):
        try:
            open(f"/proc/{{pid}}/mem", "rb").close()
            print("read")
        except PermissionError:
            print("refused")
    dumpable.kill()
"""
    row = table("Processes")
    ours = processes(pdns)
    pids = [pid for each in ours.values() for pid in each]
    command = [sys.executable, "-c", attempt, *map(str, pids)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    assert done.stdout.split() == ["read", *["refused"] * len(pids)]
    assert {row[name]["dumpable"] for name in ours} == {"no"}


def test_numbers_of_system_calls() -> None:
    """They are the kernel's, as its headers have them."""
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("the headers of the kernel are not installed")
    known = {name: int(number) for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", header.read_text(), re.MULTILINE)}
    assert {name: numbers[0] for name, numbers in NUMBERS.items()} == {
        name: known.get(name, numbers[0]) for name, numbers in NUMBERS.items()
    }  # older headers do not have the newest


# Another user.


@as_root
def test_it_becomes_the_configured_user(tmp_path: Path) -> None:
    """Started by root with server.user: no process is root's, port 53 is served, the state directory that root made is the
    user's, and a worker that dies is replaced.
    """
    home = Path(tempfile.mkdtemp(prefix="pdns-user-", dir="/var/tmp"))
    home.chmod(0o755)
    (home / "state" / "feeds").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.write_text("root's own")
    (home / "state" / "link").symlink_to(outside)
    may_run = (
        f"import os; os.setresuid(65534, 65534, 65534); os.execv({sys.executable!r}, ['python', '-c', 'import encodings.idna'])"
    )
    if subprocess.run([sys.executable, "-c", may_run], capture_output=True, check=False).returncode:
        shutil.rmtree(home)
        pytest.skip("the user `nobody` cannot run this Python")
    try:
        with UpstreamThread(answer()) as upstream:
            server = {"listen": ["127.0.0.1:53"], "user": "nobody", "workers": 1}
            sections = {
                "server": server,
                "upstream": {"servers": [upstream.address]},
                "feed": [feed(home, "listed", "listed.test")],
            }
            with RunningPdns(home, sections) as pdns:
                for pid in (pdns.pid, pdns.worker_pid, pdns.feeds_pid):
                    status = status_of(Path(f"/proc/{pid}"))
                    assert "0" not in status["Uid"].split()
                    allowed = 1 << NET_BIND_SERVICE if pid == pdns.pid else 0
                    assert int(status["CapPrm"], 16) == allowed
                assert (home / "state" / "lock").owner() == "nobody"
                assert outside.stat().st_uid == 0
                assert pdns.addresses("listed.test") == [SINKHOLE]
                assert pdns.value("process_open_fds", process="worker0") > 3
                assert "runs as root" not in pdns.log
                killed = pdns.kill_worker()
                pdns.wait_for(lambda: pdns.worker_pid not in (0, killed) and pdns.value("worker_up") == 1, "the worker is back")
                assert pdns.addresses("listed.test") == [SINKHOLE]
    finally:
        shutil.rmtree(home)


@pytest.mark.parametrize(
    ("keys", "said"),
    [({"user": "nosuch"}, "server.user: this system has no user"), ({"group": "x"}, "server.group: needs server.user")],
)
def test_a_user_that_it_cannot_become(tmp_path: Path, keys: dict[str, str], said: str) -> None:
    """It does not start, and says so by key."""
    pdns = RunningPdns(tmp_path, {"server": keys})
    pdns.launch()
    assert pdns.wait() == 2
    assert said in pdns.log
