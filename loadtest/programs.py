"""Runs the compiled programs: the generator, and the two servers that answer it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from loadtest import build
from loadtest.loopback import Address, udp_socket

CLOSED_LOOP_WINDOW = 128
_COUNT_BYTES = 8


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Microseconds from when a query was sent (closed loop) or due (open loop) to its answer."""

    mean: float
    p50: float
    p90: float
    p99: float
    p99_9: float
    max: float


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What the generator saw."""

    sent: int
    received: int
    lost: int  # without an answer within the time-out
    strange: int  # datagrams that answer nothing in flight
    question_differs: int  # answers that do not echo the question byte for byte
    truncated: int
    send_errors: int
    elapsed_s: float  # first query to last answer
    answers_per_s: float
    generator_cpu_s: float
    rcodes: dict[int, int]
    latency_us: Latency


class Server(NamedTuple):
    """A program of ours that listens."""

    pid: int
    address: Address
    count_fd: int

    def answered(self) -> int:
        """How many queries it has answered. Only the authority counts; the echo stays at 0."""
        return int.from_bytes(os.pread(self.count_fd, _COUNT_BYTES, 0), sys.byteorder)


class GeneratorError(Exception):
    """The generator could not run; `str()` is what it said."""


def generator_command(
    to: Address,
    packets: Path,
    *,
    count: int | None = None,
    seconds: float = 60.0,
    rate: float | None = None,
    window: int | None = None,
    timeout_ms: int = 1000,
    progress: bool = True,
    clients: int = 0,
) -> list[str]:
    """The command line. `rate` (queries a second) makes it an open loop; without, `window` queries are always in flight.

    `progress` is shown on a terminal only. `clients`: so many addresses of this machine ask, at most 8; 0: one.
    """
    command = [str(build.program("generator")), "--to", str(to), "--packets", str(packets)]
    command += ["--seconds", f"{seconds:.3f}", "--timeout-ms", str(timeout_ms)]
    if count is not None:
        command += ["--count", str(count)]
    if rate is not None:
        command += ["--rate", f"{rate:.3f}"]
    if window is None and rate is None:
        window = CLOSED_LOOP_WINDOW
    if window is not None:
        command += ["--window", str(window)]
    if clients:
        command += ["--clients", str(clients)]
    if progress and sys.stderr.isatty():
        command.append("--progress")
    return command


def start(command: list[str], core: int | None = None) -> subprocess.Popen[str]:
    """Starts the generator on `core`; `finish` takes its report. SIGTERM makes it report early."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    _pin(process.pid, core)
    return process


def finish(process: subprocess.Popen[str]) -> Run:
    """Waits for the report of a generator. Raises `GeneratorError`."""
    out, _ = process.communicate()
    if process.returncode != 0:
        raise GeneratorError(f"the generator ended with {process.returncode}")
    return msgspec.json.decode(out, type=Run, strict=False)  # the rcodes are keys, and JSON keys are strings


def generate(command: list[str], core: int | None = None) -> Run:
    """Runs the generator to its end."""
    return finish(start(command, core))


@contextlib.contextmanager
def serving(name: str, core: int | None = None) -> Iterator[Server]:
    """One of the C servers (`echo`, `authority`) on a loopback port, ended on leaving."""
    count_fd = os.memfd_create("answered")
    os.ftruncate(count_fd, _COUNT_BYTES)
    with udp_socket() as sock:
        host, port = sock.getsockname()
        given = [sock.fileno(), count_fd] if name == "authority" else [sock.fileno()]
        process = subprocess.Popen([build.program(name), *map(str, given)], pass_fds=given)
    try:
        _pin(process.pid, core)
        yield Server(process.pid, Address(host, port), count_fd)
    finally:
        process.kill()
        process.wait()
        os.close(count_fd)


def _pin(pid: int, core: int | None) -> None:
    if core is not None:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(pid, {core})
