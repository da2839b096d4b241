"""Upgrades across blockset formats: the program's files are replaced while it runs, and no listed name is ever left open.

The other version is a copy of this program with another blockset format and another format of kept entries.
"""

from __future__ import annotations

import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import dns.message
import dns.rcode
import msgspec
import pytest

from pdns.blockset.generations import current_directory
from tests.fakes.upstream import answer
from tests.integration.running_pdns import ROOT, SINKHOLE, RunningPdns, UpstreamThread, feed
from tests.wire import query_wire

WORKERS = 3
NAMES = [f"n{number}.listed.test" for number in range(5_000)]
SECOND = "second.test"
OTHER_FORMAT = {
    "pdns/blockset/layout.py": (
        ("FORMAT = 4\n", "FORMAT = 5\n"),
        ('NETS_FILE = "bloom.bin", "names.bin", "nets.bin"', 'NETS_FILE = "bloom.bin", "names.table", "nets.bin"'),
        ("DATA_FILES = (BLOOM_FILE, NAMES_FILE, NETS_FILE)", "DATA_FILES = (NETS_FILE, NAMES_FILE, BLOOM_FILE)"),
    ),
    "feeds/entries.py": (
        ("_FORM: Final = 1\n", "_FORM: Final = 3\n"),
        ("_FORM_WITH_ACTIONS: Final = 2\n", "_FORM_WITH_ACTIONS: Final = 4\n"),
    ),
}


class Program:
    """The files of the program that runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for package in ("pdns", "feeds"):
            shutil.copytree(ROOT / package, directory / package, ignore=shutil.ignore_patterns("__pycache__", "*.c", "*.pyx"))

    def install(self, edits: dict[str, tuple[tuple[str, str], ...]]) -> None:
        """Replace the files by those of this program with `edits`, each by a rename."""
        for name in OTHER_FORMAT:
            text = (ROOT / name).read_text()
            for old, new in edits.get(name, ()):
                assert text.count(old) == 1, f"{name}: {old}"
                text = text.replace(old, new)
            path = self.directory / name
            path.with_suffix(".new").write_text(text)
            path.with_suffix(".new").replace(path)

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.directory), "PYTHONDONTWRITEBYTECODE": "1"}


class Client:
    """Asks for listed names, one after the other, each below another name so that no cache knows it."""

    def __init__(self, port: int, *, patience_s: float = 0.5) -> None:
        self._address = ("127.0.0.1", port)
        self._patience_s = patience_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.blocked = self.unanswered = 0
        self.open: list[str] = []  # what else was answered

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        number = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(self._patience_s)
            while not self._stop.is_set():
                number += 1
                name = f"x{number}.{SECOND if number % 10 == 0 else NAMES[number % len(NAMES)]}"
                sock.sendto(query_wire(name, query_id=number % 65536), self._address)
                try:
                    reply = dns.message.from_wire(sock.recv(4096))
                    while reply.id != number % 65536:  # late: the answer to a question that was given up
                        reply = dns.message.from_wire(sock.recv(4096))
                except TimeoutError:
                    self.unanswered += 1
                    continue
                if [str(record) for rrset in reply.answer for record in rrset] == [SINKHOLE]:
                    self.blocked += 1
                else:
                    self.open.append(f"{name}: {dns.rcode.to_text(reply.rcode())} {reply.answer}")
                time.sleep(0.001)


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread(answer()) as upstream:
        yield upstream


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path / "program")


def config(tmp_path: Path, upstream: UpstreamThread, **keys: Any) -> dict[str, Any]:
    return {
        "server": {"workers": WORKERS},
        "upstream": {"servers": [upstream.address]},
        "feed": [feed(tmp_path, "listed", *NAMES, **keys), feed(tmp_path, "second", SECOND, **keys)],
    }


def wait_until_blocked(pdns: RunningPdns) -> None:
    pdns.wait_for(lambda: pdns.addresses(NAMES[0]) == pdns.addresses(SECOND) == [SINKHOLE], "blocked")


def live_format(pdns: RunningPdns) -> int:
    manifest = current_directory(pdns.state_dir) / "manifest.json"
    return int(msgspec.json.decode(manifest.read_bytes())["format"])


def upgrade(pdns: RunningPdns) -> None:
    """SIGUSR2, and return when every worker is a new process."""
    before, said = set(pdns.worker_pids), pdns.log.count("the workers and feeds are new processes")
    pdns.send_signal(signal.SIGUSR2)
    pdns.wait_for_log("the workers and feeds are new processes", times=said + 1)
    pdns.wait_for(lambda: len(pdns.worker_pids) == WORKERS and not before & set(pdns.worker_pids), "the old ones are gone")


@pytest.mark.parametrize("required", [True, False], ids=["required", "not required"])
def test_an_upgrade_to_another_format_leaves_no_name_open(
    tmp_path: Path, upstream: UpstreamThread, program: Program, required: bool
) -> None:
    """The new program reads neither the blockset nor the kept entries of the old one. Every listed name is blocked throughout, on
    the way there and on the way back, no query is lost, and the new program is protected by a blockset of its own format.
    """
    with RunningPdns(tmp_path, config(tmp_path, upstream, required=required), environment=program.environment) as pdns:
        wait_until_blocked(pdns)
        with Client(pdns.dns_port, patience_s=60) as client:
            program.install(OTHER_FORMAT)
            upgrade(pdns)
            assert live_format(pdns) == 5
            program.install({})
            upgrade(pdns)
            assert live_format(pdns) == 4
            time.sleep(0.3)
        assert client.open == []
        assert client.unanswered == 0
        assert client.blocked > 100
        assert pdns.rcode("www.example.net") == "NOERROR"
        pdns.wait_for(lambda: pdns.get("/readyz") == (200, "ok\n"), "/readyz")
        assert pdns.value("worker_restarts_total") == 0
        assert pdns.value("blockset_rejected_total") == 0
        assert pdns.value("damaged_files") == 0


@pytest.mark.parametrize("required", [True, False], ids=["required", "not required"])
def test_a_worker_that_dies_among_new_files_leaves_no_name_open(
    tmp_path: Path, upstream: UpstreamThread, program: Program, required: bool
) -> None:
    """A worker ends before SIGUSR2 is sent. Its replacement is of the new program, and does not answer without a blockset:
    the others answer for it until there is one that it reads.
    """
    with RunningPdns(tmp_path, config(tmp_path, upstream, required=required), environment=program.environment) as pdns:
        wait_until_blocked(pdns)
        with Client(pdns.dns_port) as client:
            program.install(OTHER_FORMAT)
            before = pdns.kill_worker()
            pdns.wait_for(lambda: live_format(pdns) == 5, "a blockset of the new format")
            pdns.wait_for(lambda: pdns.get("/readyz") == (200, "ok\n"), "/readyz")
            assert before not in pdns.worker_pids
            time.sleep(0.3)
        assert client.open == []
        assert client.blocked > 100


def test_workers_stay_when_no_blockset_can_be_made(tmp_path: Path, upstream: UpstreamThread, program: Program) -> None:
    """The new program cannot compile: the old workers and their blockset stay, /readyz says why, and every name is blocked. Once
    the files are mended another SIGUSR2 does what the first one was to do.
    """
    compiler = program.directory / "feeds" / "compile.py"
    with RunningPdns(tmp_path, config(tmp_path, upstream, required=False), environment=program.environment) as pdns:
        wait_until_blocked(pdns)
        workers, code = pdns.worker_pids, compiler.read_text()
        with Client(pdns.dns_port) as client:
            program.install(OTHER_FORMAT)
            compiler.write_text("raise SystemExit(1)\n")
            pdns.send_signal(signal.SIGUSR2)
            pdns.wait_for_log("no new blockset")
            assert pdns.worker_pids == workers
            said = "the workers are replaced once there is a blockset that the new program can read"
            pdns.wait_for(lambda: said in pdns.get("/readyz")[1], "/readyz")
            compiler.write_text(code)
            upgrade(pdns)
            time.sleep(0.3)
        assert client.open == []
        assert live_format(pdns) == 5
        pdns.wait_for(lambda: pdns.get("/readyz") == (200, "ok\n"), "/readyz")


@pytest.mark.realtime
@pytest.mark.parametrize("required", [True, False], ids=["required", "not required"])
def test_a_restart_with_another_format_leaves_no_name_open(
    tmp_path: Path, upstream: UpstreamThread, program: Program, required: bool
) -> None:
    """The program is stopped and another version started, on the same port. Nothing is answered until there is a blockset that it
    reads. The version before, when it is started again, takes its own blockset, which is still there, and needs no compile.
    """
    sections = config(tmp_path, upstream, required=required)
    with RunningPdns(tmp_path, sections, environment=program.environment) as pdns:
        wait_until_blocked(pdns)
        port = pdns.dns_port
        pdns.write_config({**sections, "server": {"workers": WORKERS, "listen": [f"127.0.0.1:{port}"]}})
        assert pdns.stop() == 0
        program.install(OTHER_FORMAT)
        with Client(port) as client:
            pdns.start()
            assert live_format(pdns) == 5
            blocked = client.blocked
            pdns.wait_for(lambda: client.blocked > blocked + 50, "blocked")
            assert pdns.stop() == 0
            for feeds in (program.directory / "feeds").glob("*.py"):
                feeds.write_text("raise SystemExit(1)\n")
            program.install({})
            (program.directory / "feeds" / "entries.py").write_text("raise SystemExit(1)\n")
            pdns.start()
            assert live_format(pdns) == 5
            blocked = client.blocked
            pdns.wait_for(lambda: client.blocked > blocked + 50, "blocked")
        assert client.open == []
