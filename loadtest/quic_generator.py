"""Sends DNS queries over QUIC (RFC 9250) to a loopback address and measures the answers: `encrypted_generator.c` for QUIC.

`python -m loadtest.quic_generator --to ADDRESS:PORT --packets FILE [--connections N] [--window W] [--count N] [--seconds S]`

Closed loop, one stream a query, each with id 0; the report on standard output is that of the C program. It is written in Python
and slower than most servers: the CPU time of the server says something, latency does not. The certificate is not verified.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import statistics
import time
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any

import typer
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamDataReceived

from loadtest import packets
from loadtest.loopback import Address, loopback
from pdns.wire import protocol as p

_TIMEOUT_S = 2.0
_COUNTS = ("sent", "received", "lost", "strange", "question_differs", "handshakes", "failed", "ended")


class Asker(QuicConnectionProtocol):
    """One connection."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._answers: dict[int, tuple[bytearray, asyncio.Future[bytes]]] = {}
        self.has_ended = False

    async def ask(self, wire: bytes) -> bytes:
        """The answer to a query. Raises `TimeoutError`, or `ConnectionError` when the connection ended."""
        if self.has_ended:
            raise ConnectionError
        stream = self._quic.get_next_available_stream_id()
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers[stream] = bytearray(), future
        message = b"\0\0" + wire[2:]
        self._quic.send_stream_data(stream, len(message).to_bytes(2) + message, end_stream=True)
        self.transmit()
        try:
            return await asyncio.wait_for(future, _TIMEOUT_S)
        finally:
            self._answers.pop(stream, None)

    def quic_event_received(self, event: QuicEvent) -> None:
        """Takes answers, and the end of the connection."""
        if isinstance(event, StreamDataReceived) and event.stream_id in self._answers:
            data, future = self._answers[event.stream_id]
            data += event.data
            if event.end_stream and not future.done():
                future.set_result(bytes(data[2:]))
        elif isinstance(event, ConnectionTerminated):
            self.has_ended = True
            for _, future in self._answers.values():
                if not future.done():
                    future.set_exception(ConnectionError())


class Load:
    """What was sent and received."""

    def __init__(self, to: Address, queries: Path, count: int, seconds: float) -> None:
        self._to = to
        self._queries = cycle(packets.read(queries))
        self._count = count
        self._seconds = seconds
        self._latency_us: list[float] = []
        self._rcodes: dict[int, int] = {}
        self._bytes = 0
        self._counts = dict.fromkeys(
            ("sent", "received", "lost", "strange", "question_differs", "handshakes", "failed", "ended"), 0
        )
        self._last_s = self._start_s = time.perf_counter()

    async def run(self, connections: int, window: int) -> dict[str, object]:
        """The report, when everything was sent and answered or lost."""
        await asyncio.gather(*(self._connection(window) for _ in range(connections)))
        elapsed_s = max(1e-6, self._last_s - self._start_s)
        received = self._counts["received"]
        return self._counts | {
            "resumed": 0,
            "http_errors": 0,
            "answer_bytes": self._bytes / max(1, received),
            "elapsed_s": elapsed_s,
            "answers_per_s": received / elapsed_s,
            "generator_cpu_s": time.process_time(),
            "rcodes": self._rcodes,
            "latency_us": self._percentiles(),
        }

    def _percentiles(self) -> dict[str, float]:
        ordered = sorted(self._latency_us) or [0.0]

        def at(share: float) -> float:
            return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999, "max": 1.0}
        return {"mean": statistics.mean(ordered)} | {name: at(share) for name, share in shares.items()}

    def _is_over(self) -> bool:
        return self._counts["sent"] >= self._count or time.perf_counter() >= self._start_s + self._seconds

    async def _connection(self, window: int) -> None:
        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=["doq"], verify_mode=ssl.CERT_NONE, server_name="dns.example"
        )
        try:
            async with connect(*self._to, configuration=configuration, create_protocol=Asker) as asker:
                assert isinstance(asker, Asker)
                self._counts["handshakes"] += 1
                await asyncio.gather(*(self._ask_on(asker) for _ in range(window)))
        except ConnectionError:
            self._counts["failed"] += 1

    async def _ask_on(self, asker: Asker) -> None:
        while not self._is_over():
            wire = next(self._queries)
            self._counts["sent"] += 1
            began_s = time.perf_counter()
            try:
                answer = await asker.ask(wire)
            except (TimeoutError, ConnectionError):
                self._counts["lost"] += 1
                if asker.has_ended:
                    self._counts["ended"] += 1
                    return
                continue
            self._last_s = time.perf_counter()
            self._take(wire, answer, (self._last_s - began_s) * 1e6)

    def _take(self, wire: bytes, answer: bytes, latency_us: float) -> None:
        if len(answer) < p.HEADER_BYTES or answer[:2] != b"\0\0" or not answer[2] & 0x80:
            self._counts["strange"] += 1
            self._counts["lost"] += 1
            return
        end = _question_end(wire)
        self._counts["received"] += 1
        self._counts["question_differs"] += answer[p.HEADER_BYTES : end] != wire[p.HEADER_BYTES : end]
        rcode = answer[3] & p.RCODE_MASK
        self._rcodes[rcode] = self._rcodes.get(rcode, 0) + 1
        self._bytes += len(answer)
        self._latency_us.append(latency_us)


def _question_end(wire: bytes) -> int:
    """Where the question of a query ends."""
    at = p.HEADER_BYTES
    while wire[at]:
        at += 1 + wire[at]
    return at + 5


def main(
    to: Annotated[str, typer.Option()],
    queries: Annotated[Path, typer.Option("--packets")],
    connections: int = 1,
    window: int = 1,
    count: int = 0,
    seconds: float = 60.0,
) -> None:
    """Runs, and prints the report."""
    host, _, port = to.rpartition(":")
    with contextlib.suppress(KeyboardInterrupt):
        load = Load(loopback(host, int(port)), queries, count or 100_000_000, seconds)
        print(json.dumps(asyncio.run(load.run(connections, window))))


if __name__ == "__main__":
    typer.run(main)
