"""The way of queries to the workers and of answers back. The queries of a worker that is gone go to another one."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from pdns.errors import RelayError
from pdns.ipc.packets import arrived
from pdns.ipc.relay_frames import (
    H3,
    MAX_PACKET_BYTES,
    NO_ANSWER,
    QUIC,
    RelayAnswer,
    answers_in,
    pack_query,
)
from pdns.net.steering_index import SteeringIndex
from pdns.quic.failures import servfail
from pdns.wire.transport import Transport

MAX_WAITING: Final = 8192  # queries that workers have, or that wait for one
DEADLINE_S: Final = 20.0  # of an answer; a worker tells sooner that there is none
NO_WORKER_S: Final = 2.0  # how long a query waits while there is no worker at all
_PACKET_BYTES: Final = 32768
_MOST_BACKLOG: Final = 1024  # packets that a worker has not taken
_READS: Final = 32
_TRANSPORTS: Final = {Transport.QUIC: QUIC, Transport.H3: H3}


class AnswerTaker(Protocol):
    """Who asked."""

    def answered(self, stream_id: int, answer: RelayAnswer) -> None: ...


class RelayStats(Protocol):
    """What is counted here."""

    def lost(self, reason: str) -> None: ...


class PendingRelay:
    """One query on its way."""

    __slots__ = ("asked_s", "asker", "frame", "message", "stream_id", "tries", "worker")

    def __init__(self, asker: AnswerTaker, stream_id: int, frame: bytes, message: bytes, asked_s: float) -> None:
        self.asker, self.stream_id = asker, stream_id
        self.frame, self.message = frame, message
        self.asked_s = asked_s
        self.tries = 0
        self.worker = -1


class WorkerLink:
    """The socket to one worker. It is read and written without waiting."""

    def __init__(self, index: int, sock: socket.socket, loop: asyncio.AbstractEventLoop, relay: Relay) -> None:
        sock.setblocking(False)
        self.index = index
        self._sock, self._loop, self._relay = sock, loop, relay
        self._frames: list[bytes] = []
        self._numbers: list[int] = []  # of these frames
        self._frame_bytes = 0
        self._backlog: deque[tuple[bytes, list[int]]] = deque()  # packets that the worker has not taken yet
        self.is_open = True
        loop.add_reader(sock.fileno(), self._readable)

    def add(self, number: int, frame: bytes) -> bool:
        """Send `frame` with the next `flush`. False: the worker takes too little."""
        if len(self._backlog) >= _MOST_BACKLOG:
            return False
        if self._frame_bytes + len(frame) > _PACKET_BYTES:
            self.flush()
        self._frames.append(frame)
        self._numbers.append(number)
        self._frame_bytes += len(frame)
        return True

    def flush(self) -> None:
        """Send what was added."""
        if not self._frames or not self.is_open:
            return
        packet, numbers = b"".join(self._frames), self._numbers
        self._frames, self._numbers, self._frame_bytes = [], [], 0
        if self._backlog:
            self._backlog.append((packet, numbers))
        elif not self._send(packet, numbers):
            self._backlog.append((packet, numbers))
            self._loop.add_writer(self._sock.fileno(), self._writable)

    def close(self) -> None:
        """Close the socket; `Relay.gone` is not called."""
        if self.is_open:
            self.is_open = False
            self._loop.remove_reader(self._sock.fileno())
            self._loop.remove_writer(self._sock.fileno())
            self._sock.close()

    def _send(self, packet: bytes, numbers: list[int]) -> bool:
        """False: later. A worker that reads no more queries may still answer those that it has."""
        try:
            self._sock.send(packet, socket.MSG_NOSIGNAL)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            unsent = [*numbers, *(number for _, held in self._backlog for number in held)]
            if self._backlog:
                self._backlog.clear()
                self._loop.remove_writer(self._sock.fileno())
            self._relay.no_longer_takes(self, unsent)
            if not isinstance(error, BrokenPipeError):
                self._relay.gone(self)
        return True

    def _writable(self) -> None:
        while self._backlog:
            packet, numbers = self._backlog.popleft()
            if not self._send(packet, numbers):
                self._backlog.appendleft((packet, numbers))
                return
        if self.is_open:
            self._loop.remove_writer(self._sock.fileno())

    def _readable(self) -> None:
        for packet in arrived(self._sock, MAX_PACKET_BYTES, _READS):
            if not packet:
                self._relay.gone(self)
                break
            try:
                answers = answers_in(packet)
            except RelayError:
                self._relay.gone(self)
                break
            self._relay.answered(self, answers)
        self._relay.after_answers()


class Relay:
    """All workers. `after_answers` is called once a turn, when answers have been handed out."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        stats: RelayStats,
        after_answers: Callable[[], object],
        on_gone: Callable[[int], object] = lambda _: None,
    ) -> None:
        """`on_gone` is called with the index of each worker whose socket has ended while it took queries."""
        self.after_answers = after_answers
        self._loop, self._stats, self._on_gone = loop, stats, on_gone
        self._steering: SteeringIndex | None = None
        self._links: dict[int, WorkerLink] = {}  # that take queries
        self._leaving: set[WorkerLink] = set()  # that take none, and still answer
        self._pending: dict[int, PendingRelay] = {}  # by number: the oldest first, but for those asked again
        self._homeless: deque[int] = deque()  # numbers of those without a worker
        self._number = 0
        self._turn = 0

    def __len__(self) -> int:
        return len(self._pending)

    def steer(self, steering: SteeringIndex) -> None:
        """From now on, names go to the workers that `steering` says."""
        self._steering = steering

    def link(self, index: int, sock: socket.socket) -> None:
        """Worker `index` is behind `sock`, which is owned from here on. The one before answers what it has."""
        if (before := self._links.pop(index, None)) is not None:
            self._leaving.add(before)
        self._links[index] = WorkerLink(index, sock, self._loop, self)
        homeless, self._homeless = self._homeless, deque()
        for number in homeless:
            if (pending := self._pending.get(number)) is not None:
                self._hand_over(number, pending)
        self.flush()

    def ask(self, asker: AnswerTaker, stream_id: int, transport: Transport, packed_client: bytes, message: bytes) -> bool:
        """Ask a worker, with the next `flush`. False: too many wait already."""
        if len(self._pending) >= MAX_WAITING:
            self._stats.lost("relay_full")
            return False
        self._number += 1
        frame = pack_query(self._number, _TRANSPORTS[transport], packed_client, message)
        pending = self._pending[self._number] = PendingRelay(asker, stream_id, frame, message, self._loop.time())
        self._hand_over(self._number, pending)
        return True

    def flush(self) -> None:
        """Send what was asked."""
        for link in tuple(self._links.values()):
            link.flush()

    def check(self, now_s: float) -> None:
        """Give up what has waited too long. Call this a few times a second."""
        while self._homeless and (
            (first := self._pending.get(self._homeless[0])) is None or now_s - first.asked_s >= NO_WORKER_S
        ):
            number = self._homeless.popleft()
            if first is not None:
                self._give_up(number, "no_worker")
        late = []
        for number, pending in self._pending.items():
            if now_s - pending.asked_s < DEADLINE_S:
                break
            late.append(number)
        for number in late:
            self._give_up(number, "no_answer")
        self.after_answers()

    def close(self) -> None:
        """End all links."""
        for link in (*self._links.values(), *self._leaving):
            link.close()
        self._links.clear()
        self._leaving.clear()

    # What a link says.

    def answered(self, link: WorkerLink, answers: Iterable[RelayAnswer]) -> None:
        """A worker has answered."""
        for answer in answers:
            pending = self._pending.get(answer.number)
            if pending is not None and pending.worker == id(link):
                del self._pending[answer.number]
                pending.asker.answered(pending.stream_id, answer)

    def no_longer_takes(self, link: WorkerLink, unsent: Iterable[int]) -> None:
        """The worker reads no more queries: those with the numbers `unsent` are asked elsewhere."""
        if self._links.get(link.index) is link:
            del self._links[link.index]
            self._leaving.add(link)
        for number in unsent:
            if (pending := self._pending.get(number)) is not None:
                pending.tries -= 1
                self._hand_over(number, pending)
        self._loop.call_soon(self.flush)

    def gone(self, link: WorkerLink) -> None:
        """The worker's socket has ended: what it had is asked elsewhere, once."""
        link.close()
        self._leaving.discard(link)
        if self._links.get(link.index) is link:
            del self._links[link.index]
            self._on_gone(link.index)
        for number in [number for number, pending in self._pending.items() if pending.worker == id(link)]:
            pending = self._pending[number]
            pending.worker = -1
            if pending.tries > 1:
                self._give_up(number, "worker_died")
            else:
                self._hand_over(number, pending)
        self.flush()
        self.after_answers()

    def _hand_over(self, number: int, pending: PendingRelay) -> None:
        link = self._link_for(pending.message)
        if link is None:
            self._homeless.append(number)
            return
        pending.tries += 1
        pending.worker = id(link)
        if not link.add(number, pending.frame):
            self._give_up(number, "relay_full")

    def _link_for(self, message: bytes) -> WorkerLink | None:
        links = self._links
        if not links:
            return None
        index = None if self._steering is None else self._steering.of(message)
        if index is None:
            self._turn += 1
            index = self._turn
        if (link := links.get(index)) is not None:
            return link
        others = sorted(links)
        return links[next((other for other in others if other > index), others[0])]

    def _give_up(self, number: int, reason: str) -> None:
        pending = self._pending.pop(number)
        self._stats.lost(reason)
        pending.asker.answered(pending.stream_id, RelayAnswer(number, 0, 0, servfail(pending.message) or NO_ANSWER))
