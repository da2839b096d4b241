"""The container image, made step by step in Debian trees and run as an engine would run it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest
import tomli_w

from loadtest.loopback import free_port
from tests.fakes.upstream import answer
from tests.integration.debiantree import ROOT, run_in_tree, why_not
from tests.integration.imagebuild import Stage, build, inside, start
from tests.integration.running_pdns import SINKHOLE, UpstreamThread

pytestmark = [
    pytest.mark.long,
    pytest.mark.realtime,  # because it needs the network of the machine, and processes beside others have one of their own
    pytest.mark.timeout(1500),
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = "/etc/protective-dns/pdns.toml"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    containerfile = ROOT / "deploy/container/Containerfile"
    return build(containerfile, ROOT, tmp_path_factory.mktemp("image"), {"COMMIT": COMMIT, "VERSION": "0.0.0"})


def test_what_is_in_it(image: Stage) -> None:
    """The program at its commit and its libraries; no compiler and no pip. The shipped configuration is valid."""
    assert image.base == "docker.io/library/debian:bookworm-slim"
    assert COMMIT[:12] in run_in_tree(image.root, ["pdns", "--version"], env=image.env)
    assert "0.0.0.0:5300" in run_in_tree(image.root, ["pdns", "check", "-c", CONFIG], env=image.env)
    for program in ("gcc", "cc", "pip", "pip3", "git"):
        assert not any((image.root / place / program).exists() for place in ("usr/bin", "opt/protective-dns/bin")), program
    run_in_tree(image.root, ["python3", "-c", "import clickhouse_connect, zstandard, pdns.fast.udp"], env=image.env)
    state = (image.root / "var/lib/protective-dns").stat()
    assert (f"{state.st_uid}:{state.st_gid}", state.st_mode & 0o777) == (image.user, 0o750)


def test_what_an_engine_is_told(image: Stage) -> None:
    """The user is a number and not root, the program is process 1, and the health check is a command of the program."""
    assert image.user == "10053:10053"
    assert image.argv("ENTRYPOINT") + image.argv("CMD") == ["pdns", "serve", "-c", CONFIG]
    assert image.argv("HEALTHCHECK")[:2] == ["pdns", "health"]
    assert image.metadata["STOPSIGNAL"] == "SIGTERM"
    assert f'org.opencontainers.image.revision="{COMMIT}"' in image.metadata["LABEL"]


class RunningImage:
    """A container of the image, with a configuration of the test."""

    def __init__(self, image: Stage, directory: Path, upstream: str, volume_mode: str) -> None:
        self.image, self.port, self.metrics = image, free_port(), free_port()
        listed = directory / "listed.txt"
        listed.write_text("malware.test\n")
        config = directory / "pdns.toml"
        config.write_text(
            tomli_w.dumps(
                {
                    "server": {"listen": [f"127.0.0.1:{self.port}"], "workers": 2, "drain_s": 2.0},
                    "upstream": {"servers": [upstream]},
                    "feed": [{"name": "own", "url": f"file:{CONFIG}.listed", "required": True}],
                    "state": {"dir": "/var/lib/protective-dns/state"},
                    "metrics": {"listen": f"127.0.0.1:{self.metrics}"},
                }
            )
        )
        self._process = start(image, {config: CONFIG, listed: f"{CONFIG}.listed"}, volume_mode)
        self.output: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            self.output += lines

    @property
    def log(self) -> str:
        return b"".join(self.output).decode()

    @property
    def first(self) -> int:
        """Process 1 of the container, as this machine numbers it."""
        (found,) = _children(self._process.pid)
        return found

    def health(self) -> subprocess.CompletedProcess[str]:
        return inside(self.image, self.first, self.image.argv("HEALTHCHECK"))

    def wait_until_ready(self) -> None:
        until_s = time.monotonic() + 120
        while not _children(self._process.pid) or b"serve" not in Path(f"/proc/{self.first}/cmdline").read_bytes():
            assert self._process.poll() is None, self.log
            time.sleep(0.05)
        while (said := self.health()).returncode:
            assert self._process.poll() is None, self.log
            assert time.monotonic() < until_s, said.stderr + self.log
            time.sleep(0.5)

    def ask(self, name: str) -> dns.message.Message:
        return dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", port=self.port, timeout=30)

    def stop(self) -> int:
        os.kill(self.first, signal.SIGTERM)
        code = self._process.wait(60)
        self._reader.join()
        return code

    def kill(self) -> None:
        for pid in _children(self._process.pid) if self._process.poll() is None else ():
            os.kill(pid, signal.SIGKILL)  # process 1, and all with it; it changed its user, so it would outlive its parent
        self._process.wait()
        self._reader.join()


VOLUMES = {"docker": "mode=750,uid=10053,gid=10053", "kubernetes": "mode=2775,uid=0,gid=10053"}  # with fsGroup


@pytest.fixture
def container(image: Stage, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RunningImage]:
    with UpstreamThread(answer()) as upstream:
        running = RunningImage(image, tmp_path, upstream.address, VOLUMES[getattr(request, "param", "docker")])
        try:
            running.wait_until_ready()
            yield running
        finally:
            running.kill()


def test_it_serves_without_privileges_and_with_a_read_only_root(container: RunningImage) -> None:
    """It blocks and forwards, is healthy, has no capability, writes to its volume alone, and ends on SIGTERM."""
    assert [str(record) for rrset in container.ask("malware.test").answer for record in rrset] == [SINKHOLE]
    assert container.ask("www.example.net").answer
    assert container.health().returncode == 0
    status = Path(f"/proc/{container.first}/status").read_text()
    assert "Uid:\t10053\t10053\t10053\t10053" in status
    assert "NSpid:" in status
    assert [line.split()[1] for line in status.splitlines() if line.startswith(("CapEff", "CapBnd"))] == ["0" * 16] * 2
    written = inside(container.image, container.first, ["sh", "-c", "touch /etc/x || touch /tmp/x || touch /var/x"])
    assert written.returncode != 0
    assert container.stop() == 0, container.log
    assert "Traceback" not in container.log
    assert "confinement" not in container.log


@pytest.mark.parametrize("container", ["kubernetes"], indirect=True)
def test_commands_and_what_they_leave_behind(container: RunningImage) -> None:
    """A user without a name may block a name, in a volume of root's, and is named in the audit log by its number. A process whose
    parent has ended becomes a child of process 1, and is gone when it ends: no zombies collect.
    """
    done = inside(container.image, container.first, ["pdns", "block", "bad.test", "--reason", "a test", "-c", CONFIG])
    assert done.returncode == 0, done.stderr
    assert [str(record) for rrset in container.ask("bad.test").answer for record in rrset] == [SINKHOLE]
    audit = inside(container.image, container.first, ["pdns", "audit", "-c", CONFIG])
    assert "10053" in audit.stdout
    left = inside(container.image, container.first, ["sh", "-c", "(sleep 0.2; exit 3) & (sleep 0.3) & exit 0"])
    assert left.returncode == 0
    until_s = time.monotonic() + 60
    time.sleep(0.5)
    while zombies := [pid for pid in _children(container.first) if " Z " in Path(f"/proc/{pid}/stat").read_text()]:
        assert time.monotonic() < until_s, zombies
        time.sleep(0.1)


def test_a_container_that_does_not_answer_is_unhealthy(container: RunningImage) -> None:
    """The health check asks: it fails while all processes are stopped, and says what does not answer."""
    workers = [pid for pid in _children(container.first) if b"pdns.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    stopped = [container.first, *workers]  # the supervisor first: it replaces workers that hang
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        said = container.health()
    finally:
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)
    assert said.returncode == 1
    assert "pdns health: /readyz: " in said.stderr


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
