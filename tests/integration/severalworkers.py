"""A resolver with several workers, and load for it."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.fakes.upstream import answer, by_name, delayed
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread, feed, is_running
from tests.wire import query_wire

UPSTREAM_SAYS = "192.0.2.7"
WORKERS = 3
SO_RCVBUFFORCE = 33
NAMES = [f"n{number}.listed.test" for number in range(600)]


def slow_upstream() -> UpstreamThread:
    """It takes a while for one name."""
    return UpstreamThread(by_name({"slow.example.net": delayed(answer(), 0.7)}, answer()))


def config(tmp_path: Path, upstream: UpstreamThread, **sections: Any) -> dict[str, Any]:
    return {
        "server": {"workers": WORKERS},
        "upstream": {"servers": [upstream.address], "timeout_s": 3.0},
        "feed": [feed(tmp_path, "listed", "listed.test")],
        **sections,
    }


def receive_buffer(sock: socket.socket, size: int) -> None:
    """Room for what comes while this process does not read: as root past the limit of the system."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


class Load:
    """Sends some thousand queries a second from several sockets, each once. `lost` counts queries without an answer, `wrong`
    those whose answer has not the address that it should have, `rcodes` all answers.
    """

    def __init__(self, pdns: RunningPdns, queries_per_s: int = 3000, names: Sequence[str] = NAMES) -> None:
        """`names` at most 65,536; those below `listed.test` are to be blocked."""
        self._address = ("127.0.0.1", pdns.dns_port)
        self._pause_s = 30 / queries_per_s
        self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(4)]
        self._stop = threading.Event()
        self._sender = threading.Thread(target=self._send)
        self._receiver = threading.Thread(target=self._receive)
        self._packets = [query_wire(name, query_id=number) for number, name in enumerate(names)]
        blocked, open_ = socket.inet_aton(SINKHOLE), socket.inet_aton(UPSTREAM_SAYS)
        self._expected = [blocked if name.endswith("listed.test") else open_ for name in names]
        self.rcodes: Counter[int] = Counter()
        self.wrong = 0
        self._waiting: list[dict[int, list[float]]] = [{} for _ in self._sockets]
        self.sent = self.answered = 0
        self.longest_s = 0.0

    def __enter__(self) -> Self:
        for sock in self._sockets:
            receive_buffer(sock, 4 << 20)
            sock.settimeout(0.05)
        self._sender.start()
        self._receiver.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._sender.join()
        self._receiver.join()
        for sock in self._sockets:
            sock.close()

    @property
    def lost(self) -> int:
        """To be asked after the end."""
        return sum(len(times) for waiting in self._waiting for times in waiting.values())

    def _send(self) -> None:
        number = 0
        while not self._stop.is_set():
            for _ in range(30):
                number += 1
                which, query_id = number % len(self._sockets), number % len(self._packets)
                self._waiting[which].setdefault(query_id, []).append(time.monotonic())
                self._sockets[which].sendto(self._packets[query_id], self._address)
                self.sent += 1
            time.sleep(self._pause_s)

    def _receive(self) -> None:
        quiet_since = time.monotonic()
        while self._sender.is_alive() or (self.lost and time.monotonic() < quiet_since + 5.0):
            for which, sock in enumerate(self._sockets):
                sock.setblocking(False)
                try:
                    while True:
                        data = sock.recv(512)
                        now = quiet_since = time.monotonic()
                        number = int.from_bytes(data[:2])
                        began = self._waiting[which][number].pop(0)
                        self.rcodes[data[3] & 15] += 1
                        self.wrong += self._expected[number] not in data
                        self.longest_s = max(self.longest_s, now - began)
                        self.answered += 1
                except BlockingIOError:
                    continue
            time.sleep(0.001)


def gone(pid: int) -> bool:
    return not is_running(pid)


def counted(pdns: RunningPdns) -> float:
    return pdns.value("queries_total", transport="udp")


def timed(pdns: RunningPdns) -> float:
    return sum(pdns.value("query_duration_seconds_count", source=source) for source in ("blocked", "cache"))


def restart_all(pdns: RunningPdns, within_s: float = 120.0) -> None:
    """SIGUSR2, and return when every worker is a new process."""
    before = set(pdns.worker_pids)
    said = pdns.log.count("workers and feeds are new processes")
    pdns.send_signal(signal.SIGUSR2)
    pdns.wait_for_log("workers and feeds are new processes", within_s, said + 1)
    pdns.wait_for(lambda: len(pdns.worker_pids) == WORKERS and not before & set(pdns.worker_pids), "the old ones are gone")
