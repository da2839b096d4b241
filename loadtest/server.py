"""The resolver under test: its configuration, its processes, its numbers."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from loadtest import bytecode, process
from loadtest.loopback import Address, free_port
from loadtest.packets import query
from pdns.wire import protocol as p

REPOSITORY = Path(__file__).resolve().parent.parent
FEED, FEED_CATEGORY = "million", "malware"
STOP_TIMEOUT_S = 20.0
_POLL_S = 0.005


class ServerError(Exception):
    """The server did not do what a measurement needs; `str()` says what, and ends with its last words."""


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """A tree of the program, and the interpreter that has what it needs."""

    directory: Path
    python: Path


HERE = Checkout(directory=REPOSITORY, python=Path(sys.executable))


class Resolver(msgspec.Struct, kw_only=True):
    """One `pdns serve`, running."""

    process: subprocess.Popen[bytes]
    address: Address
    metrics: Address
    state_dir: Path
    log: Path
    started_s: float  # time.monotonic()

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        return [pid for pid, command in process.children(self.process.pid).items() if "pdns.worker" in command]

    def worker(self) -> int:
        """The process id of the one worker. Raises `ServerError` when there is none, or more than one."""
        found = self.workers()
        if len(found) != 1:
            raise ServerError(f"{len(found)} worker processes instead of 1{self.last_words()}")
        return found[0]

    def cpu_s(self, worker: int) -> float:
        """CPU seconds that `worker` has used. Raises `ServerError` when it is gone: a new one would begin at 0."""
        try:
            return process.cpu_s(worker)
        except OSError:
            raise ServerError(f"worker {worker} died while it was measured{self.last_words()}") from None

    def last_words(self) -> str:
        """The end of its log, for an error message."""
        return last_lines(self.log)

    def wait_ready(self, timeout_s: float) -> float:
        """Waits for /readyz to say 200. Returns the seconds since the start. Raises `ServerError`."""
        while time.monotonic() < self.started_s + timeout_s:
            if self.process.poll() is not None:
                raise ServerError(f"pdns serve ended with {self.process.returncode}{self.last_words()}")
            # HTTPException: before it listens, a connection to its port may come from that port, and meet itself
            with (
                contextlib.suppress(OSError, http.client.HTTPException),
                urllib.request.urlopen(f"http://{self.metrics}/readyz", timeout=2) as response,
            ):
                if response.status == 200:
                    return time.monotonic() - self.started_s
            time.sleep(_POLL_S)
        raise ServerError(f"not ready after {timeout_s:.0f} s{self.last_words()}")

    def wait_blocked(self, name: bytes, timeout_s: float) -> float:
        """Asks for a listed name until it is blocked. Returns the seconds since the start. Raises `ServerError`."""
        while time.monotonic() < self.started_s + timeout_s:
            answer = ask(self.address, query(name), timeout_s=0.05)
            if answer is not None and is_sinkhole(answer):
                return time.monotonic() - self.started_s
            time.sleep(_POLL_S)
        raise ServerError(f"no blocked answer after {timeout_s:.0f} s{self.last_words()}")

    def scrape(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """/metrics now: sample name to labels to value."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=10) as response:
            text = response.read().decode()
        samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
        return samples

    def responses_by_source(self) -> dict[str, float]:
        """How many answers came from the cache, from an upstream, from the block policy ..., since the start."""
        sums: dict[str, float] = {}
        for labels, value in self.scrape().get("pdns_responses_total", {}).items():
            source = dict(labels).get("source", "")
            sums[source] = sums.get(source, 0.0) + value
        return sums

    def blockset(self) -> Path | None:
        """The directory of the blockset in use; None while there is none."""
        current = self.state_dir / "blocksets" / "current"
        return current.resolve() if current.exists() else None

    def request_feed_update(self) -> None:
        """What `pdns feeds update` does: all feeds are fetched again now."""
        request = self.state_dir / "requests" / "update"
        request.parent.mkdir(exist_ok=True)
        request.touch()


def config_text(
    listen: Address, metrics: Address, upstream: Address, state_dir: Path, feed: Path | None, workers: int = 1, more: str = ""
) -> str:
    """A configuration with one upstream and at most one feed, a required one, and the sections `more`; all else as shipped.
    0 workers: one a core.
    """
    lines = [
        "[server]", f"listen = [{json.dumps(str(listen))}]", f"workers = {workers}",
        "[upstream]", f"servers = [{json.dumps(f'udp://{upstream}')}]",
        "[state]", f"dir = {json.dumps(str(state_dir))}",
        "[metrics]", f"listen = {json.dumps(str(metrics))}",
    ]  # fmt: skip
    if feed is not None:
        lines += ["[[feed]]", f'name = "{FEED}"', f"url = {json.dumps(feed.as_uri())}", f'category = "{FEED_CATEGORY}"']
        lines += ["refresh_s = 86400", "required = true"]
    return "\n".join(lines) + "\n" + more


@contextlib.contextmanager
def started(
    directory: Path, upstream: Address, feed: Path | None, workers: int = 1, checkout: Checkout = HERE, more: str = ""
) -> Iterator[Resolver]:
    """`pdns serve` with its state in `directory`, ended with SIGTERM on leaving. The caller waits for readiness."""
    listen, metrics = Address("127.0.0.1", free_port()), Address("127.0.0.1", free_port())
    text = config_text(listen, metrics, upstream, directory / "state", feed, workers, more)
    with started_by(directory, text, listen, metrics, checkout) as resolver:
        yield resolver


@contextlib.contextmanager
def started_by(directory: Path, config: str, listen: Address, metrics: Address, checkout: Checkout = HERE) -> Iterator[Resolver]:
    """As `started`, by a configuration that names these addresses and `directory`/state; it is in `directory`/pdns.toml."""
    directory.mkdir(parents=True, exist_ok=True)
    file, log = directory / "pdns.toml", directory / "serve.log"
    file.write_text(config)
    environment = bytecode.environment(checkout.directory, checkout.python)
    with log.open("wb") as out:
        started_s = time.monotonic()
        child = subprocess.Popen(
            [checkout.python, "-m", "pdns", "serve", "-c", str(file)],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=checkout.directory,
        )
    resolver = Resolver(
        process=child, address=listen, metrics=metrics, state_dir=directory / "state", log=log, started_s=started_s
    )
    try:
        yield resolver
    finally:
        stop(resolver.process)


def last_lines(log: Path) -> str:
    """The end of a log, each line on a new one, for the end of an error message."""
    return "".join(f"\n  {line}" for line in log.read_text(errors="replace").splitlines()[-8:])


def stop(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL to it and its children when that takes too long."""
    if child.poll() is not None:
        return
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        left = process.children(child.pid)
        child.kill()
        child.wait()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def ask(to: Address, wire: bytes, timeout_s: float = 1.0) -> bytes | None:
    """The first datagram that comes back from `to` with the id of `wire`; None when none does in time."""
    family = socket.AF_INET6 if ":" in to.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect(to)
        deadline = time.monotonic() + timeout_s
        try:
            sock.send(wire)
            while (left := deadline - time.monotonic()) > 0:
                sock.settimeout(left)
                answer = sock.recv(65535)
                if answer[:2] == wire[:2]:
                    return answer
        except OSError:  # nothing listens yet, or no longer
            return None
    return None


def rcode(answer: bytes) -> int:
    """The rcode in the header; -1 for what has no header."""
    return answer[3] & p.RCODE_MASK if len(answer) >= p.HEADER_BYTES else -1


def is_sinkhole(answer: bytes) -> bool:
    """Whether it is NOERROR with the default sinkhole address in it, 192.0.2.1."""
    return rcode(answer) == p.NOERROR and answer[6:8] != b"\0\0" and b"\xc0\x00\x02\x01" in answer
