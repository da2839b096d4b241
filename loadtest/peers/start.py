"""Starts a peer as an ordinary child process, waits until it answers, and classifies its answers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from loadtest import process
from loadtest.loopback import Address, free_port
from loadtest.packets import query
from loadtest.peers.peer import EncryptedListen, Peer, Setup
from loadtest.server import ask, is_sinkhole, last_lines, rcode
from pdns.wire import protocol as p

_POLL_S, _ASK_S = 0.01, 0.1


class PeerError(Exception):
    """A peer did not start, or not in time. `str()` says which, and ends with the end of its log."""


class PeerProcess(msgspec.Struct, kw_only=True):
    """The process of a peer."""

    peer: Peer
    process: subprocess.Popen[bytes]
    address: Address
    log: Path
    started_s: float  # time.monotonic()

    def wait_blocked(self, name: bytes, timeout_s: float) -> float:
        """Asks for a listed name until it is blocked. Returns the seconds since the start. Raises `PeerError`."""
        return self._wait(name, timeout_s, blocked=True)

    def wait_forwarded(self, name: bytes, timeout_s: float) -> float:
        """Asks for a name that is not listed until it has an answer. Returns the seconds since the start. Raises `PeerError`."""
        return self._wait(name, timeout_s, blocked=False)

    def _wait(self, name: bytes, timeout_s: float, *, blocked: bool) -> float:
        while time.monotonic() < self.started_s + timeout_s:
            self.check_alive()
            answer = ask(self.address, query(name, query_id=int.from_bytes(os.urandom(2))), timeout_s=_ASK_S)
            if answer is not None and (is_blocked(answer) if blocked else is_forwarded(answer)):
                return time.monotonic() - self.started_s
            time.sleep(_POLL_S)
        raise PeerError(f"not ready in {timeout_s:.0f} s{last_lines(self.log)}")

    def check_alive(self) -> None:
        """Raises `PeerError` when it has ended."""
        if self.process.poll() is not None:
            raise PeerError(f"ended with {self.process.returncode}{last_lines(self.log)}")

    def cpu_s(self) -> float:
        """CPU seconds of all its threads. Raises `PeerError` when it is gone."""
        self.check_alive()
        return process.cpu_s(self.process.pid)


def is_blocked(answer: bytes) -> bool:
    """Whether it is the sinkhole, or NXDOMAIN: the authority of a bench never says that."""
    return is_sinkhole(answer) or rcode(answer) == p.NXDOMAIN


def is_forwarded(answer: bytes) -> bool:
    """Whether it is what the authority says of an address: NOERROR with a record that is not the sinkhole."""
    return rcode(answer) == p.NOERROR and answer[6:8] != b"\0\0" and not is_sinkhole(answer)


@contextlib.contextmanager
def started(
    peer: Peer, directory: Path, upstream: Address, listed: Path | None, encrypted: EncryptedListen | None = None
) -> Iterator[PeerProcess]:
    """The peer on a port of its own, killed on leaving: it has nothing to save, and some take long to give memory back."""
    program = peer.path()
    if program is None:
        raise PeerError(f"{peer.program} is not installed")
    directory.mkdir(parents=True)
    listen = Address("127.0.0.1", free_port())
    setup = Setup(directory=directory, listen=listen, upstream=upstream, listed=listed, encrypted=encrypted)
    command = [program, *peer.configure(setup)]
    log = directory / "log"
    with log.open("wb") as out:
        started_s = time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=directory)
    try:
        yield PeerProcess(peer=peer, process=child, address=setup.listen, log=log, started_s=started_s)
    finally:
        child.kill()
        child.wait()
