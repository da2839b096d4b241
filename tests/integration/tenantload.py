"""Clients of many tenants, each at an address of its own, and their own books of what they were told."""

from __future__ import annotations

import random
import selectors
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from pdns.wire.names import from_text

SINKHOLE: Final = socket.inet_aton("192.0.2.1")
_IN_FLIGHT: Final = 256
_TIMEOUT_S: Final = 2.0
_RECEIVE_BUFFER_BYTES: Final = 4 * 1024 * 1024


@dataclass
class ClientBooks:
    """What the clients sent, and what came back."""

    sent: int = 0
    unanswered: int = 0
    blocked: Counter[str] = field(default_factory=Counter)  # by tenant
    other: int = 0

    @property
    def total_blocked(self) -> int:
        return self.blocked.total()


def tenant_tables(count: int, detail: Sequence[str] = ("full",)) -> list[dict[str, object]]:
    """`[[tenant]]` for `count` tenants; what events say of their clients is one of `detail`, in turns."""
    return [
        {"name": f"t{number}", "networks": [f"127.1.{number}.0/24"], "events_clients": detail[number % len(detail)]}
        for number in range(count)
    ]


class TenantLoad:
    """Sends queries for the tenants of `tenant_tables` over UDP, a bounded number at a time."""

    def __init__(self, tenants: int, port: int, seed: int = 1) -> None:
        self.books = ClientBooks()
        self._random = random.Random(seed)
        self._tenants, self._port = tenants, port

    def run(
        self, names: Sequence[str], count: int, midway: Callable[[], object] = lambda: None, queries_per_s: float = 1e9
    ) -> ClientBooks:
        """Ask for `count` names, drawn of `names` (with `*.` for a new name below it each time), and wait for the answers.
        `midway` is called after half of them, while queries are in flight.
        """
        began_s = time.monotonic()
        waiting: dict[tuple[int, int], float] = {}
        with self._sockets() as (selector, sockets):
            for number in range(count):
                if number == count // 2:
                    midway()
                at = self._random.randrange(len(sockets))
                name = self._random.choice(names)
                if name.startswith("*."):
                    name = f"r{self._random.getrandbits(40):x}{name[1:]}"
                id_ = number & 0xFFFF
                waiting[at, id_] = time.monotonic()
                sockets[at].send(struct.pack(">6H", id_, 0x0100, 1, 0, 0, 0) + from_text(name) + b"\0\1\0\1")
                self.books.sent += 1
                while len(waiting) >= _IN_FLIGHT or number > (time.monotonic() - began_s) * queries_per_s:
                    self._receive(selector, waiting)
            while waiting:
                self._receive(selector, waiting)
        return self.books

    def _receive(self, selector: selectors.BaseSelector, waiting: dict[tuple[int, int], float]) -> None:
        for key, _ in selector.select(0.01):
            at, sock = key.data, key.fileobj
            assert isinstance(sock, socket.socket)
            while True:
                try:
                    answer = sock.recv(4096)
                except BlockingIOError:
                    break
                (id_,) = struct.unpack_from(">H", answer)
                if waiting.pop((at, id_), None) is None:
                    continue
                if answer.endswith(SINKHOLE) or SINKHOLE in answer:
                    self.books.blocked[f"t{at}"] += 1
                else:
                    self.books.other += 1
        oldest = next(iter(waiting.items()), None)
        while oldest is not None and time.monotonic() - oldest[1] > _TIMEOUT_S:
            del waiting[oldest[0]]
            self.books.unanswered += 1
            oldest = next(iter(waiting.items()), None)

    @contextmanager
    def _sockets(self) -> Iterator[tuple[selectors.BaseSelector, list[socket.socket]]]:
        sockets = []
        with selectors.DefaultSelector() as selector:
            try:
                for number in range(self._tenants):
                    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                    sockets.append(sock)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES // self._tenants + 65536)
                    sock.bind((f"127.1.{number}.{1 + number % 250}", 0))
                    sock.connect(("127.0.0.1", self._port))
                    selector.register(sock, selectors.EVENT_READ, number)
                yield selector, sockets
            finally:
                for sock in sockets:
                    sock.close()
