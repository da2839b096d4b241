"""Connections of hostile clients through the compiled TLS and its messages, each with random or changed bytes:

    python -m tests.fuzz.tlsstreams --connections 20000 --seed 1

Half of them change records, of the handshake and behind it; the others finish it and send changed messages, in any pieces.
What breaks is printed with seed and number; the same seed makes the same connections.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from pdns.config.schema import Config
from pdns.core.ruleset import RuleSet
from pdns.net.encrypted_limits import EncryptedLimits
from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import Stats
from pdns.wire.framing import frame
from pdns.wire.transport import Transport
from pdns.worker.kernels import COMPILED, encrypted_kernel
from pdns.worker.service import Service
from tests.fakes.encrypted import client_context, served, ticket_keys
from tests.fuzz.mutate import Mutator
from tests.wire import query_wire

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)


class Turn:
    """In place of the loop and of the table of connections: what is planned is done at once, in any order."""

    def __init__(self, chance: random.Random) -> None:
        self.planned: list[Callable[[], object]] = []
        self.waiting: list[Any] = []
        self.queries: list[Any] = []
        self.errors: list[Exception] = []
        self._random = chance

    def add_reader(self, _fd: int, _callback: Callable[[], object]) -> None:
        pass

    def remove_reader(self, _fd: int) -> None:
        pass

    def call_soon(self, callback: Callable[..., object], *arguments: object) -> None:
        self.planned.append(lambda: callback(*arguments))

    call_soon_threadsafe = call_soon

    def may_shake(self, _stream: object) -> bool:
        return self._random.random() < 0.999

    def shaken(self, _stream: object) -> None:
        pass

    left = shaken

    def mark(self, _stream: object, *, busy: bool) -> None:
        pass

    def wait(self, stream: object) -> None:
        self.waiting.append(stream)

    def refused(self, _stream: object) -> bool:
        return self._random.random() < 0.1

    def on_stream_queries(self, queries: list[Any]) -> None:
        self.queries += queries

    def caught(self, error: Exception, _where: str) -> None:
        self.errors.append(error)


class Target:
    """A set of connections, and what moves it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.turn = Turn(self.random)
        self.mutator = Mutator([query_wire("www.example"), query_wire("malware.test", "AAAA", do=True)], seed)
        loop = asyncio.new_event_loop()
        config = msgspec.convert({"upstream": {"servers": ["udp://127.0.0.1:9"]}, "rate_limit": {"queries_per_s": 0}}, Config)
        stats = Stats(Counters.create(4096))
        self.service = Service(RuleSet.of(config), None, stats, time.monotonic, COMPILED)  # type: ignore[arg-type]
        kernel = encrypted_kernel()
        pairs, keys = [(served().cert_pem, served().key_pem)], ticket_keys()
        self.contexts = {
            transport: kernel.context(pairs, keys, https=transport is Transport.HTTPS)
            for transport in (Transport.TLS, Transport.HTTPS)
        }
        self.set = kernel.connections(self.turn, self.turn, self.service.fast_path, self.turn, stats, self.turn)
        self.clients = {Transport.TLS: client_context(), Transport.HTTPS: client_context(protocols=("h2",))}
        loop.close()

    def go_on(self) -> None:
        """A turn of the loop; answers to some of what was asked."""
        self.set.wake()
        for stream in self.turn.waiting:
            self.set.go_on(stream)
        self.turn.waiting.clear()
        for query in self.turn.queries:
            if self.random.random() < 0.7:
                query.reply(self.mutator.packet()[:65535] if self.random.random() < 0.5 else query_wire("www.example"))
        self.turn.queries.clear()
        planned, self.turn.planned = self.turn.planned, []
        for each in planned:
            each()

    def connect(self) -> None:
        """One connection, from its first byte to its end."""
        transport = self.random.choice((Transport.TLS, Transport.HTTPS))
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        stream = self.set.add(
            theirs.detach(), "127.0.0.1", 4000, self.contexts[transport], transport, "client", path=b"/dns-query"
        )
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.clients[transport].wrap_bio(incoming, outgoing, server_hostname="dns.example")
        damages = self.random.random() < 0.5
        with ours, suppress(ssl.SSLError, ConnectionError, BlockingIOError):
            for _ in range(self.random.randrange(3, 40)):
                finished = self._shake(tls)
                if finished:
                    for part in self._parts(transport):
                        tls.write(part)
                sent = outgoing.read()
                if damages and sent and self.random.random() < 0.4:
                    sent = self._damaged(sent)
                step = self.random.choice((1 << 20, 1 << 20, 100, 7))
                for at in range(0, len(sent), step):
                    ours.send(sent[at : at + step])
                    self.go_on()
                self.go_on()
                with suppress(BlockingIOError):
                    received = ours.recv(1 << 18)
                    if not received:
                        break
                    incoming.write(received)
                if finished:
                    with suppress(ssl.SSLWantReadError):
                        tls.read(1 << 16)
            if self.random.random() < 0.3:
                with suppress(ssl.SSLWantReadError):
                    tls.unwrap()
                ours.send(outgoing.read())
        self.go_on()
        if self.random.random() < 0.5:
            self.set.end(stream, "encrypted_shutdown")
        self.go_on()

    def _shake(self, tls: ssl.SSLObject) -> bool:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def _parts(self, transport: Transport) -> list[bytes]:
        """What a client sends next: messages, some changed, together or in pieces."""
        messages = [self.mutator.packet()[:65535] for _ in range(self.random.randrange(1, 12))]
        https = transport is Transport.HTTPS
        data = _PREFACE + b"".join(messages) if https else b"".join(map(frame, messages))
        if self.random.random() < 0.2:
            data = self._damaged(data)
        cut = self.random.randrange(len(data) + 1)
        return [part for part in (data[:cut], data[cut:]) if part]

    def _damaged(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self.random.randrange(1, 4)):
            changed[self.random.randrange(len(changed))] = self.random.randrange(256)
        if self.random.random() < 0.2:
            del changed[self.random.randrange(len(changed)) :]
        return bytes(changed) or b"\0"


def run(connections: int, seed: int) -> int:
    """Exit code: 1 when an exception escaped. A memory error ends the process."""
    target = Target(seed)
    for number in range(connections):
        try:
            target.connect()
        except Exception:
            print(f"seed {seed}, connection {number}")  # noqa: T201 (a program)
            raise
        if number % 500 == 499:
            target.set.sweep(EncryptedLimits(handshake_timeout_s=0.0, idle_timeout_s=0.0), 0.0)
            target.go_on()
        if target.turn.errors:
            print(f"seed {seed}, connection {number}: {target.turn.errors[0]!r}")  # noqa: T201
            return 1
    target.set.close()
    print(f"{connections} connections, seed {seed}: {len(target.set)} are left")  # noqa: T201
    return int(len(target.set) > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    return run(given.connections, given.seed)


if __name__ == "__main__":
    raise SystemExit(main())
