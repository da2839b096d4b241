"""What `loadtest/instructions.py` runs in callgrind: a worker's `Runtime`, its clients and its upstream, in one process.

A batch of queries waits in the socket before the worker runs, so that every run finds the same. Only what the worker does is
counted.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec

from loadtest import build, goals, population, traffic
from loadtest.peers.start import is_forwarded
from loadtest.population import Population
from loadtest.server import FEED, FEED_CATEGORY, is_sinkhole
from pdns.blockset.layout import copy_to_memory
from pdns.config.addresses import Endpoint
from pdns.config.schema import Config
from pdns.net.event_loop import new_event_loop
from pdns.net.listener import Listener
from pdns.telemetry.counters import Counters
from pdns.telemetry.event_ring import EventRing
from pdns.telemetry.stats import Stats
from pdns.telemetry.worker_memory import Arena, WorkerMemory
from pdns.wire import protocol as p
from pdns.wire.transport import Transport
from pdns.worker.runtime import Runtime

BATCH = 64  # what the worker takes from the socket at a time
BATCHES = 4  # of a dump
REPEATS = 9  # dumps of a path
LISTED, NAMES = 100_000, 256
_BLOCKED = frozenset({goals.BLOCKED_SEEN.key, goals.BLOCKED_FIRST.key})
NOTHING = "nothing"  # the dumps of an event loop that has nothing to do
_TURNS = 3  # of the event loop: one to see that a socket can be read, one to read it, one for what follows
_MOST_WINDOWS = 20  # for one batch to be answered
_ARENA_BYTES = 64 * 1024 * 1024
_RECORD = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc6\x12\0\1"  # A 198.18.0.1 for 300 s, of the name at byte 12


class _Marks:
    """Callgrind, told what to count."""

    def __init__(self) -> None:
        library = ctypes.CDLL(str(build.program(build.CALLGRIND_MARKS)))
        self.instrument, self.toggle = library.instrument, library.toggle
        self._dump = library.dump

    def dump(self, title: str, windows: int) -> None:
        """Writes the counts of `title`, which `windows` windows made."""
        self._dump(f"{title} {windows}".encode())


class _Driver:
    """A client that sends batches, an upstream that answers, and the event loop between them, one after the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop, marks: _Marks, server: tuple[str, int], upstream: socket.socket) -> None:
        self._loop, self._marks, self._upstream = loop, marks, upstream
        self._client = _udp_socket()
        self._client.connect(server)

    def window(self) -> None:
        """The worker runs, and is counted; not its timers that are due, which run first."""
        self._loop.call_soon(self._begin)
        self._loop.run_forever()

    def ask(self, queries: list[bytes], *, blocked: bool) -> int:
        """Sends a batch and waits for its answers, which must be what the path means. Returns how many windows that took."""
        for number, query in enumerate(queries):
            self._client.send(number.to_bytes(2) + query[2:])
        missing, windows = len(queries), 0
        while missing:
            if windows == _MOST_WINDOWS:
                raise SystemExit(f"{missing} of {len(queries)} queries have no answer")
            self.window()
            windows += 1
            self._answer_upstream()
            answers = [answer for answer, _ in _received(self._client)]
            if any(not (is_sinkhole if blocked else is_forwarded)(answer) for answer in answers):
                raise SystemExit(f"answers are not {'a block' if blocked else 'of the upstream'}")
            missing -= len(answers)
        return windows

    def _answer_upstream(self) -> None:
        for query, worker in _received(self._upstream):
            question_end = query.index(0, p.HEADER_BYTES) + 5
            head = query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
            self._upstream.sendto(head + query[p.HEADER_BYTES : question_end] + _RECORD, worker)

    def _begin(self) -> None:
        self._loop.call_soon(self._turn, _TURNS)
        self._marks.toggle()

    def _turn(self, left: int) -> None:
        if left:
            self._loop.call_soon(self._turn, left - 1)
        else:
            self._marks.toggle()
            self._loop.stop()


def _received(sock: socket.socket) -> Iterator[tuple[bytes, tuple[str, int]]]:
    with suppress(BlockingIOError):
        while True:
            yield sock.recvfrom(4096)


def _udp_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def _paths(people: Population) -> Iterator[tuple[str, Callable[[int], Iterator[bytes]], list[bytes]]]:
    """Of each path: its key, its queries for a seed, and the queries that are asked before them."""
    few = msgspec.structs.replace(people, benign=people.benign[:NAMES], listed=people.listed[:NAMES])
    count = BATCH * BATCHES
    popular = [query for query, _ in zip(traffic.every_benign(few), few.benign, strict=False)]
    yield goals.HIT.key, lambda seed: traffic.hits(few, count, seed), popular
    yield goals.BLOCKED_SEEN.key, lambda seed: traffic.blocked_seen(few, count, seed), [*traffic.every_blocked_seen(few)]
    yield goals.BLOCKED_FIRST.key, lambda seed: traffic.blocked_first_sight(people, count, seed), []
    yield goals.FORWARD.key, lambda seed: traffic.never_seen(people, count, seed), []


def _measure(driver: _Driver, marks: _Marks, people: Population) -> None:
    for _ in range(REPEATS):
        driver.window()
        marks.dump(NOTHING, 1)
    for key, stream, before in _paths(people):
        for batch in _batches([*before, *stream(1000)]):  # once without counting: memory that is used for the first time
            driver.ask(batch, blocked=key in _BLOCKED)
        marks.dump("before", 0)
        for seed in range(REPEATS):
            windows = sum(driver.ask(batch, blocked=key in _BLOCKED) for batch in _batches(stream(seed)))
            marks.dump(key, windows)


def _batches(queries: Iterator[bytes] | list[bytes]) -> Iterator[list[bytes]]:
    all_of_them = iter(queries)
    while batch := list(islice(all_of_them, BATCH)):
        yield batch


async def _start(runtime: Runtime, blockset: Path, listener: Listener, sock: socket.socket) -> None:
    await runtime.take_blockset(1, copy_to_memory(blockset))
    await runtime.begin()
    runtime.listen({listener: sock}, {})


def main(directory: Path, blockset: Path) -> None:
    """Measure. `directory`: for the state, and the names that the blockset was made of."""
    marks = _Marks()
    people = population.generated(directory, listed=LISTED, benign=NAMES, sample=10_000)
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    upstream, sock = _udp_socket(), _udp_socket()
    config = msgspec.convert(
        {
            "upstream": {"servers": [f"udp://127.0.0.1:{upstream.getsockname()[1]}"], "timeout_s": 300.0},
            "state": {"dir": str(directory / "state")},
            "feed": [{"name": FEED, "url": (directory / "listed.txt").as_uri(), "category": FEED_CATEGORY}],
        },
        Config,
    )
    memory, arena = WorkerMemory(), Arena(1, _ARENA_BYTES)
    runtime = Runtime(
        config, Stats(Counters.attach(os.dup(memory.counters.fd), writable=True)), loop, arena_fd=os.dup(arena.fd),
        event_ring=EventRing.attach(os.dup(memory.event_ring.fd)), cookie_secret=bytes(16), client_key=bytes(16),
    )  # fmt: skip
    address = sock.getsockname()
    loop.run_until_complete(_start(runtime, blockset, Listener(Transport.UDP, Endpoint(*address)), sock))
    gc.collect()
    gc.freeze()
    marks.instrument()
    _measure(_Driver(loop, marks, address, upstream), marks, people)
    os._exit(0)  # callgrind has written everything; an orderly end would take long in it


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
