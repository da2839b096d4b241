"""Runs the generator of encrypted queries."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from loadtest import build
from loadtest.encrypted_goals import HTTPS, QUIC, EncryptedPath
from loadtest.loopback import Address
from loadtest.programs import GeneratorError, Latency

SERVER_NAME = "dns.example"
_REPOSITORY = build.HERE.parent
_CLIENTS = 100  # source addresses, where there are many connections


class EncryptedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What the generator saw."""

    handshakes: int
    resumed: int  # of the handshakes
    failed: int  # connections without a handshake
    ended: int  # by the server, or by an error
    http_errors: int  # responses with another status than 200
    answer_bytes: float  # mean, of the DNS message
    sent: int
    received: int
    lost: int  # without an answer in time, or on a connection that ended
    strange: int  # messages that answer nothing in flight
    question_differs: int
    elapsed_s: float
    answers_per_s: float
    generator_cpu_s: float
    rcodes: dict[int, int]
    latency_us: Latency


def command(
    to: Address,
    packets: Path,
    path: EncryptedPath,
    *,
    seconds: float,
    count: int = 100_000_000,
    rate: float = 0,
) -> list[str]:
    """The command line that asks along `path`, until `seconds` or `count` queries are over. `rate`: new connections a second."""
    program = [sys.executable, "-m", "loadtest.quic_generator"] if path.transport == QUIC else _generator()
    words = [*program, "--to", str(to), "--packets", str(packets), "--seconds", f"{seconds:.3f}", "--count", str(count)]
    words += ["--connections", str(path.connections), "--window", str(path.window)]
    words += ["--https"] if path.transport == HTTPS else []
    words += ["--new", "--clients", str(_CLIENTS)] if path.new else []
    words += ["--resume"] if path.resume else []
    return [*words, "--rate", f"{rate:.3f}"] if rate else words


def _generator() -> list[str]:
    return [str(build.program("encrypted_generator")), "--name", SERVER_NAME]


def start(words: list[str], core: int | None, *, idle: bool = False) -> subprocess.Popen[str]:
    """Starts it on `core`. `idle`: it runs when nothing else wants that core, so it delays no other program."""
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=_REPOSITORY)
    with contextlib.suppress(ProcessLookupError):
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        if idle:
            os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
    return process


def finish(process: subprocess.Popen[str]) -> EncryptedRun:
    """Waits for its report. Raises `GeneratorError`."""
    out, _ = process.communicate()
    if process.returncode != 0:
        raise GeneratorError(f"the generator of encrypted queries ended with {process.returncode}")
    return msgspec.json.decode(out, type=EncryptedRun, strict=False)


def generate(words: list[str], core: int | None) -> EncryptedRun:
    """Runs it to its end."""
    return finish(start(words, core))


@contextlib.contextmanager
def holding(to: Address, packets: Path, transport: str, connections: int, core: int | None) -> Iterator[None]:
    """That many idle connections, on each of which one query was answered. Raises `GeneratorError` when not all could be made."""
    words = [*_generator(), "--to", str(to), "--packets", str(packets)]
    words += ["--hold", "--connections", str(connections), "--clients", str(_CLIENTS), "--seconds", "15"]
    words += ["--https"] if transport == HTTPS else []
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        assert process.stdout is not None
        said = process.stdout.readline().split()
        if said != ["holding", str(connections)]:
            raise GeneratorError(f"{' '.join(said[1:]) or 'none'} of {connections} connections could be held")
        yield
    finally:
        process.communicate()
