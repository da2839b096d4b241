"""DNS over TCP (RFC 1035, 4.2.2; RFC 7766): who may connect, for how long, and how it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from time import perf_counter
from typing import Final, NamedTuple, Self

from pdns.config import Server
from pdns.net.connections import ConnectionTable
from pdns.net.edge import BugLog, EdgeStats, Service
from pdns.net.sockets import TCP_BACKLOG
from pdns.net.stream import Stream
from pdns.net.turns import Turns

_READ_BYTES: Final = 2048  # at a time from one connection: some dozens of queries, then others have their turn
_ACCEPTS_PER_WAKE: Final = 16
_SHORTEST_IDLE_S: Final = 0.2  # of a connection while there is no room for another
_SWEEP_S: Final = 1.0
_SHORTEST_SWEEP_S: Final = 0.05
_MESSAGES_A_TURN: Final = 32  # of all connections
_TURN_S: Final = 0.001  # after which the others have to wait; forwarding some messages takes longer
_MESSAGES_A_CONNECTION: Final = 4  # then another client goes on
_REST_S: Final = 0.02


class TcpLimits(NamedTuple):
    """What one client, and all of them, may take. For IPv6 a client is a /64: whoever has one has all of it."""

    max_connections: int = 1000
    max_per_client: int = 50
    idle_timeout_s: float = 10.0  # since the last whole message; also how long a peer may leave answers unread
    answer_deadline_s: float = 10.0  # after that long nothing asked before will be answered
    max_outstanding: int = 128  # queries of one connection at a time; the next ones wait

    @classmethod
    def of(cls, server: Server, *, answer_deadline_s: float = 10.0) -> Self:
        """The limits that the configuration sets. `answer_deadline_s` must be above the time that upstreams are given."""
        return cls(
            max_connections=server.tcp_max_connections,
            max_per_client=server.tcp_max_connections_per_client,
            idle_timeout_s=server.tcp_idle_timeout_s,
            answer_deadline_s=answer_deadline_s,
        )


class TcpConnections:
    """Every connection of one worker, whatever address it came to, within common limits.

    A new connection finds room while any other is idle, and while its client has fewer than another: `ConnectionTable` says who
    makes it. The fuller it gets (from half full on) the sooner idle connections are closed.
    Counted as dropped: `tcp_made_room`, `tcp_busy_made_room`, `tcp_refused`, `tcp_slow_reader`, `tcp_unanswered`,
    `tcp_unfinished_message`, `tcp_no_header`, `tcp_answer_too_long`, `tcp_shutdown`. The gauge `tcp_connections` says how many
    there are.
    """

    def __init__(
        self, limits: TcpLimits, loop: asyncio.AbstractEventLoop, stats: EdgeStats, clock: Callable[[], float] | None = None
    ) -> None:
        self.limits = limits
        self.loop: Final = loop
        self.stats: Final = stats
        self.clock: Final = clock or loop.time
        self.bugs: Final = BugLog(self.clock)
        self.read_buffer: Final = memoryview(bytearray(_READ_BYTES))  # one for all: a read is taken up at once
        self._table: ConnectionTable[Stream] = ConnectionTable(limits.max_connections, limits.max_per_client)
        self._timer: asyncio.TimerHandle | None = None
        self._turns: Turns[Stream] = Turns()
        self._left = _MESSAGES_A_TURN  # that may still be handed over in this turn
        self._is_turn_due = False
        self._rest: asyncio.TimerHandle | None = None
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._draining = False

    def __len__(self) -> int:
        return len(self._table)

    def apply(self, limits: TcpLimits) -> None:
        """New limits, from now on. Connections above a lower bound stay until they are idle or somebody needs the room."""
        self.limits = limits
        self._table.max_connections = limits.max_connections
        self._table.max_per_client = limits.max_per_client

    @property
    def idle_limit_s(self) -> float:
        """How long a connection may be idle, as full as it is now."""
        longest_s = self.limits.idle_timeout_s
        shortest_s = min(_SHORTEST_IDLE_S, longest_s)
        free = 1.0 - len(self._table) / self.limits.max_connections
        return shortest_s + (longest_s - shortest_s) * min(1.0, max(0.0, 2.0 * free))

    def drain(self) -> None:
        """Turn new connections away, close the idle ones, and each other one once all it asked has been answered."""
        self._draining = True
        for stream in self._table:
            stream.finish()

    async def drained(self) -> None:
        """Return when there are no connections left. Wait for it no longer than you must, then `close`."""
        await self._nobody.wait()

    def close(self) -> None:
        """End every connection now."""
        self._draining = True
        for stream in self._table:
            stream.reset("tcp_shutdown")
        for timer in (self._timer, self._rest):
            if timer is not None:
                timer.cancel()
        self._timer = self._rest = None

    # what a stream says

    def admit(self, stream: Stream) -> bool:
        """Count `stream` in, if there is room or can be."""
        if self._draining:
            return False
        client = stream.key
        while not self._table.has_room(client):
            dispensable = self._table.dispensable(client)
            if dispensable is None:
                self.stats.dropped("tcp_refused")
                return False
            dispensable.reset("tcp_busy_made_room" if self._table.is_busy(dispensable) else "tcp_made_room")
        self._table.add(stream, client)
        self._nobody.clear()
        self.stats.gauge("tcp_connections", len(self._table))
        if self._timer is None:
            self._set_timer()
        return True

    def mark(self, stream: Stream, *, busy: bool) -> None:
        """`stream` waits for answers, or is idle as of now."""
        if busy:
            self._table.mark_busy(stream)
        else:
            self._table.mark_idle(stream)

    def grant(self, stream: Stream, wanted: int) -> int:
        """How many of the messages that it has `stream` may hand over now. For the others it is to `wait`."""
        if self._turns or self._turns.rests(stream.key):
            return 0
        granted = min(wanted, self._left)
        self._left -= granted
        return granted

    def wait(self, stream: Stream) -> None:
        """`stream` has messages to hand over: it is told to `go_on` in its turn."""
        self._turns.wait(stream, stream.key)
        self._go_on_later()

    def refused(self, stream: Stream) -> bool:
        """A message of `stream` was refused because of its client. True when the client is to rest now."""
        self._turns.refused(stream.key)
        if self._rest is None:
            self._rest = self.loop.call_later(_REST_S, self._end_rests)
        return self._turns.rests(stream.key)

    def left(self, stream: Stream) -> None:
        """`stream` has ended. No matter if that was said before."""
        self._turns.leave(stream, stream.key)
        if stream in self._table:
            self._table.discard(stream)
            self.stats.gauge("tcp_connections", len(self._table))
            if not len(self._table):
                self._nobody.set()

    def _take_turns(self) -> None:
        self._is_turn_due = False
        left, ends_s = _MESSAGES_A_TURN, perf_counter() + _TURN_S
        while left > 0 and perf_counter() < ends_s and (stream := self._turns.take()) is not None:
            stream.go_on(_MESSAGES_A_CONNECTION)
            left -= _MESSAGES_A_CONNECTION
        self._left = left
        self._go_on_later()

    def _end_rests(self) -> None:
        self._rest = None
        self._turns.end_rests()
        self._go_on_later()

    def _go_on_later(self) -> None:
        if self._turns and not self._is_turn_due:
            self._is_turn_due = True
            self.loop.call_soon(self._take_turns)

    def _set_timer(self) -> None:
        delay_s = min(_SWEEP_S, max(_SHORTEST_SWEEP_S, self.idle_limit_s / 4))
        self._timer = self.loop.call_later(delay_s, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now_s = self.clock()
        idle_limit_s = self.idle_limit_s
        for stream in self._table:
            stream.check(now_s, idle_limit_s)
        if len(self._table):
            self._set_timer()


class TcpListener:
    """Accepts connections on a listening socket (from `bind_tcp`), which it owns, for `service`."""

    def __init__(self, sock: socket.socket, service: Service, connections: TcpConnections) -> None:
        self._sock = sock
        self._service = service
        self._connections = connections
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Accept from now on."""
        self._server = await self._connections.loop.create_server(
            lambda: Stream(self._service, self._connections), sock=self._sock, backlog=_ACCEPTS_PER_WAKE
        )
        self._sock.listen(TCP_BACKLOG)  # a loop takes its number for both: how many wait, and how many it takes at a time

    def close(self) -> None:
        """Accept no more. Connections stay; who waits in the kernel waits for whoever else has the socket."""
        if self._server is None:
            self._sock.close()
        else:
            self._server.close()
