"""docs/operations.md lists every file of the state directory, and its backup and restore bring protection back."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.integration import pagevisits
from tests.integration.apiclient import Api
from tests.integration.running_pdns import ROOT, SINKHOLE, RunningPdns, feed

PAGE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
_PARTS = {"FEED": "[a-z0-9_-]+", "HASH": "[0-9a-f]+", "N": r"\d+", "*": "[^/]+"}
_UNFINISHED = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf.example\n"


class Row(NamedTuple):
    """A row of the table: the path as written, and whether a backup needs the file."""

    path: str
    backup: bool

    def matches(self, path: Path) -> bool:
        """Whether it is the row of `path`, relative to the state directory."""
        pattern = re.sub(r"FEED|HASH|\bN\b|\*|[.-]", lambda part: _PARTS.get(part[0]) or re.escape(part[0]), self.path)
        everywhere = self.path.startswith("*.")
        return re.fullmatch(pattern, path.name if everywhere else str(path)) is not None


ROWS = [
    Row(path, backup == "yes")
    for path, backup in re.findall(
        r"^\| `([^`]+)` \| [^|]+ \| [^|]+ \| (yes|no) \|$", PAGE.partition("## State directory")[2], re.MULTILINE
    )
]


def commands(heading: str) -> list[str]:
    """The commands that the page shows below `heading`."""
    (block,) = re.findall(rf"^### {heading}\n.*?^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return [line.removeprefix("$ ") for line in block.splitlines()]


class Seen:
    """Every path that was ever seen below a state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self.paths: set[Path] = set()

    def look(self) -> None:
        for directory, below, names in os.walk(self._state_dir):
            inside = [name for name in below if name.startswith(".")]
            self.paths |= {(Path(directory) / name).relative_to(self._state_dir) for name in (*names, *inside)}
            self.paths |= {
                (Path(directory) / name).relative_to(self._state_dir) for name in below if (Path(directory) / name).is_symlink()
            }
            below[:] = [name for name in below if name not in inside]

    def has(self, row: str) -> Callable[[], bool]:
        """Whether a file of the row that is written so was seen; looks first."""
        (found,) = (one for one in ROWS if one.path == row)

        def seen() -> bool:
            self.look()
            return any(found.matches(path) for path in self.paths)

        return seen


@contextmanager
def unfinished_list() -> Iterator[str]:
    """The URL of a list of which only the beginning ever comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        open_connections = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.recv(4096)
                connection.sendall(_UNFINISHED)
                open_connections.append(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/list.txt"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in open_connections:
                connection.close()


def command(pdns: RunningPdns, text: str) -> list[str]:
    """A command of the page, `pdns ...`, for this server."""
    return [sys.executable, "-m", "pdns", *shlex.split(text)[1:], "-c", str(pdns.config_path)]


def placed(text: str, pdns: RunningPdns, directory: Path) -> str:
    """A command of the page with the paths of this server, and archives in `directory`."""
    return text.replace("/var/lib/protective-dns", shlex.quote(str(pdns.state_dir))).replace(
        "/root/", f"{shlex.quote(str(directory))}/"
    )


def run(pdns: RunningPdns, text: str) -> str:
    """What that command prints."""
    done = subprocess.run(command(pdns, text), cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _compiles(pdns: RunningPdns, seen: Seen, before: float) -> bool:
    """Whether a blockset in the making was seen, or was made so quickly that it is live already."""
    return seen.has("blocksets/.*")() or pdns.value("blockset_generation") > before


def test_every_file_has_its_row(tmp_path: Path) -> None:
    """While the server fetches, compiles, obeys and finds damage, each file that appears has one row, and each row a file."""
    listed = feed(tmp_path, "example", "evil.example", "bad.example", max_growth=1e6, max_turnover=1.0)
    with unfinished_list() as url:
        page = pagevisits.config()
        config = {"feed": [listed, {"name": "unfinished", "url": url}], "server": {"workers": 1}, **page}
        with RunningPdns(tmp_path, config) as pdns:
            seen = Seen(pdns.state_dir)
            pdns.wait_for(seen.has("*.tmp"), "a list on its way")
            run(pdns, "pdns block x.example --reason test")
            run(pdns, "pdns feeds hold example --name bad.example --reason test")
            tenant = {"networks": ["192.0.2.0/24"]}
            made = Api(pdns).local("PUT", "/api/tenants/x?reason=test", tenant, If_None_Match="*")
            assert made.status == 201
            run(pdns, "pdns tenant enroll x --host dns.example")
            pdns.wait_for(seen.has("audit-config.jsonl"), "the audit log of the supervisor")
            assert pdns.addresses("x.example") == [pagevisits.ADDRESS]
            pdns.wait_for(seen.has("cases.jsonl"), "a case")
            assert pagevisits.report(pagevisits.page_port(pdns), "x.example").status == 200
            run(pdns, "pdns reports close 1 --reason test")
            request = command(pdns, "pdns feeds update")
            with subprocess.Popen(request, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as waiting:
                pdns.wait_for(seen.has("requests/update"), "a request for an update")
                waiting.kill()
            os.kill(pdns.feeds_pid, signal.SIGSTOP)
            order = command(pdns, "pdns allow y.example --reason test")
            with subprocess.Popen(order, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as waiting:
                pdns.wait_for(seen.has("requests/*.order"), "a command")
                waiting.kill()
            os.kill(pdns.feeds_pid, signal.SIGCONT)
            pdns.wait_for(seen.has("requests/*.answer"), "an answer that is not fetched")
            (pdns.state_dir / "overrides.json").write_text("damaged")
            pdns.wait_for(seen.has("*.damaged-*"), "a damaged file")
            changes = 0
            while not seen.has("blocksets/.*")():
                changes += 1
                feed(tmp_path, "example", *(f"{changes}-{number}.example" for number in range(2000)))
                pdns.wait_for(partial(_compiles, pdns, seen, pdns.value("blockset_generation")), "a compile", 60)
            feed(tmp_path, "example", "evil.example", "bad.example", "late.example")
            pdns.wait_for(seen.has("block-times.jsonl"), "the time of an update")
        seen.look()
    rows_of = {path: [row.path for row in ROWS if row.matches(path)] for path in seen.paths}
    assert {str(path): rows for path, rows in rows_of.items() if len(rows) != 1} == {}
    assert [row.path for row in ROWS if [row.path] not in rows_of.values()] == []


def test_a_backup_brings_everything_back(tmp_path: Path) -> None:
    """The commands of the page copy what must be copied from a running server. Unpacked where another one has begun with nothing,
    whose sources are gone, the listed names, the local ones and the decisions are in force.
    """
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    listed = feed(before, "example", "evil.example", "held.example", required=False)
    with RunningPdns(before, {"feed": [listed]}) as pdns:
        run(pdns, "pdns block x.example --reason test")
        run(pdns, "pdns feeds hold example --name held.example --reason test")
        assert pdns.addresses("evil.example") == pdns.addresses("x.example") == [SINKHOLE]
        (copy,) = commands("Backup")
        copy = placed(copy, pdns, tmp_path)
        while (code := subprocess.run(copy, shell=True, check=False).returncode) == 1:
            pass  # as the page says: a file was replaced meanwhile
        assert code == 0
        there = {path.relative_to(pdns.state_dir) for path in pdns.state_dir.rglob("*") if path.is_file()}
    with tarfile.open(tmp_path / "pdns-state.tar.gz") as archive:
        copied = {Path(member.name) for member in archive if member.isfile()}
    wanted = {path for path in there if any(row.backup and row.matches(path) for row in ROWS)}
    assert len(wanted) >= 9
    assert wanted <= copied
    assert {path.parts[0] for path in copied} <= {path.parts[0] for path in wanted} | {"feeds.json", "in_force.json"}

    (before / "example.txt").unlink()
    stop, unpack, give, start, *look = commands("Restore")
    with RunningPdns(after, {"feed": [listed]}, ready=False) as pdns:
        assert stop == "systemctl stop protective-dns"
        assert pdns.stop() == 0
        assert not (pdns.state_dir / "overrides.json").exists()
        for line in (unpack, give):
            subprocess.run(placed(line, pdns, tmp_path), shell=True, check=True)
        assert start == "systemctl start protective-dns"
        pdns.start()
        pdns.wait_for(lambda: pdns.addresses("evil.example") == [SINKHOLE], "what the feed listed")
        assert pdns.addresses("x.example") == [SINKHOLE]
        assert pdns.addresses("held.example") != [SINKHOLE]
        entries, feeds = (run(pdns, line) for line in look)
        assert "x.example" in entries
        assert re.search(r"example +malware +block +1 ", feeds)
