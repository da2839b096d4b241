"""Load on names whose zone changes, and what each answer says about which zone was in force."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple, Self

from tests.wire import query_wire

NAMES = 200
_BATCH_S = 0.01


class Received(NamedTuple):
    """An answer: when it was asked for and when it came, and its last four bytes, which are the address."""

    asked_s: float
    came_s: float
    rcode: int
    address: bytes


class Load:
    """Queries at a steady rate, over UDP, for `NAMES` names below `zone`, from when it is entered until it is left."""

    def __init__(self, port: int, zone: str, queries_per_s: int) -> None:
        self.sent = 0
        self.received: list[Received] = []
        self._rate = queries_per_s
        self._wires = [query_wire(f"h{number}.{zone}", edns=None)[2:] for number in range(NAMES)]
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.connect(("127.0.0.1", port))
        self._socket.settimeout(0.1)
        self._asked_s = [0.0] * 65536
        self._waiting: set[int] = set()
        self._sending = True
        self._threads: Sequence[threading.Thread] = (
            threading.Thread(target=self._send), threading.Thread(target=self._receive, daemon=True)
        )  # fmt: skip

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Stop sending, and wait for what is still on its way."""
        self._sending = False
        for thread in self._threads:
            thread.join()
        self._socket.close()

    @property
    def lost(self) -> int:
        return len(self._waiting)

    def _send(self) -> None:
        began_s = time.monotonic()
        while self._sending:
            due = int((time.monotonic() - began_s) * self._rate)
            while self.sent < due:
                number = self.sent % 65536
                self._asked_s[number] = time.monotonic()
                self._waiting.add(number)
                self._socket.send(number.to_bytes(2) + self._wires[self.sent % NAMES])
                self.sent += 1
            time.sleep(_BATCH_S)

    def _receive(self) -> None:
        until_s = 0.0
        while True:
            try:
                wire = self._socket.recv(4096)
            except TimeoutError:
                until_s = until_s or (0.0 if self._sending else time.monotonic() + 10.0)
                if until_s and (not self._waiting or time.monotonic() > until_s):
                    return
                continue
            number = int.from_bytes(wire[:2])
            self._waiting.discard(number)
            self.received.append(Received(self._asked_s[number], time.monotonic(), wire[3] & 15, wire[-4:]))
