"""DNS over TCP (RFC 1035, 4.2.2; RFC 7766): who may connect, for how long, and how it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from time import perf_counter
from typing import Final

from pdns.net.acceptor import Acceptor
from pdns.net.arrivals import Arrivals
from pdns.net.balancers import Balancers
from pdns.net.connections import ConnectionTable
from pdns.net.edge import BugLog, EdgeStats, MessageHandler
from pdns.net.stream import RESET_ON_CLOSE, Stream, client_key
from pdns.net.tcp_limits import TcpLimits
from pdns.net.turn_loop import TurnLoop

_READ_BYTES: Final = 2048  # at a time from one connection: some dozens of queries, then others have their turn
_ACCEPTS_PER_WAKE: Final = 16  # cheap: nothing is spent on a connection before its turn
MAX_ARRIVALS: Final = 128  # connections that were accepted and wait for their turn
_SWEEP_S: Final = 1.0
_FIRST_QUERY_S: Final = 1.0  # of a connection at the end of its worker
_SHORTEST_SWEEP_S: Final = 0.05
_MESSAGES_A_TURN: Final = 32  # of all connections
_TURN_S: Final = 0.001  # after which the others have to wait; forwarding some messages takes longer
_MESSAGES_A_CONNECTION: Final = 4  # then another client goes on; a new connection counts as many
_NO_CLIENT_YET: Final = "no client yet"


class TcpConnections:
    """Every connection of one worker, whatever address it came to, within common limits.

    A new connection finds room while any other is idle, and while its client has fewer than another: `ConnectionTable` says who
    makes it. The fuller it gets (from half full on) the sooner idle connections are closed. Connections of a load balancer are
    bounded, to half of all, until their headers name the clients.
    Counted as dropped: `tcp_made_room`, `tcp_busy_made_room`, `tcp_refused`, `tcp_slow_reader`, `tcp_unanswered`,
    `tcp_unfinished_message`, `tcp_no_header`, `tcp_answer_too_long`, `tcp_shutdown`; those of
    `pdns.wire.proxy_header` for what a load balancer sent. The gauge `tcp_connections` says how many there are.
    """

    def __init__(
        self, limits: TcpLimits, loop: asyncio.AbstractEventLoop, stats: EdgeStats, clock: Callable[[], float] | None = None
    ) -> None:
        self.limits = limits
        self.loop: Final = loop
        self.stats: Final = stats
        self.clock: Final = clock or loop.time
        self.bugs: Final = BugLog(self.clock)
        self.balancers = Balancers()
        self.read_buffer: Final = memoryview(bytearray(_READ_BYTES))  # one for all: a read is taken up at once
        self._table: ConnectionTable[Stream] = ConnectionTable(limits.max_connections, limits.max_per_client)
        self._timer: asyncio.TimerHandle | None = None
        self._turn_loop: TurnLoop[Stream | Arrival] = TurnLoop(loop, self._take_turns)
        self._turns = self._turn_loop.turns
        self._arrivals: Arrivals[Arrival] = Arrivals(MAX_ARRIVALS)
        self._opening: set[asyncio.Task[None]] = set()
        self._left = _MESSAGES_A_TURN  # that may still be handed over in this turn
        self._no_connections = asyncio.Event()
        self._no_connections.set()
        self._draining = False

    def __len__(self) -> int:
        return len(self._table)

    def apply(self, limits: TcpLimits) -> None:
        """New limits, from now on. Connections above a lower bound stay until they are idle or somebody needs the room."""
        self.limits = limits
        self._table.max_connections = limits.max_connections
        self._table.max_per_client = limits.max_per_client

    def trust(self, networks: Iterable[str]) -> None:
        """Peers in `networks`, and no others, begin each new connection with a PROXY protocol header from now on."""
        self.balancers = Balancers(networks)

    @property
    def idle_limit_s(self) -> float:
        """How long a connection may be idle, as full as it is now."""
        return self._table.idle_limit_s(self.limits.idle_timeout_s)

    def drain(self) -> None:
        """Close the idle connections, and each other one once all it asked has been answered.

        Connections that have asked nothing yet have a second: their first query may be on its way. New connections are closed.
        """
        for arrival in self._arrivals:
            self._turns.leave(arrival, arrival.key)
            arrival.go_on(0)
        self._draining = True
        for stream in self._table:
            stream.finish_soon()
        self.loop.call_later(_FIRST_QUERY_S, self._finish_all)

    async def drained(self) -> None:
        """Return when there are no connections left. Wait for it no longer than you must, then `close`."""
        await self._no_connections.wait()

    def close(self) -> None:
        """End every connection now."""
        self._draining = True
        self._turn_arrivals_away()
        for stream in self._table:
            stream.reset("tcp_shutdown")
        self._turn_loop.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # what a listener says

    @property
    def may_arrive(self) -> bool:
        """Whether another connection may be accepted now."""
        return not self._arrivals.is_full

    def arrived(self, arrival: Arrival) -> None:
        """`arrival` is opened in its turn. When too many wait, one of the client with the most is refused."""
        if self._draining:
            arrival.close()
            return
        self._turn_loop.wait(arrival, arrival.key)
        excess = self._arrivals.add(arrival, arrival.key)
        if excess is not None:
            self._turns.leave(excess, excess.key)
            self._refuse(excess)

    def open(self, arrival: Arrival, sock: socket.socket, service: MessageHandler) -> None:
        """It is the turn of `arrival`, whose `sock` it is."""
        self._arrivals.discard(arrival, arrival.key)
        key: Hashable = arrival.peer
        bound = None
        if arrival.awaits_header:
            key, bound = (_NO_CLIENT_YET, key), max(self.limits.max_per_client, self.limits.max_connections // 2)
        if not self._table.find_room(key, self._end, bound):
            self._refuse(arrival)
            return
        stream = Stream(service, self, key, awaits_header=arrival.awaits_header)
        self._count_in(stream)
        opening = self.loop.create_task(self._open(sock, stream))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    def make_room(self) -> None:
        """Close one connection, if one may be closed for a new client."""
        dispensable = self._table.dispensable(None)
        if dispensable is not None:
            self._end(dispensable)

    def _finish_all(self) -> None:
        for stream in self._table:
            stream.finish()

    def _turn_arrivals_away(self) -> None:
        for arrival in self._arrivals:
            self._arrivals.discard(arrival, arrival.key)
            self._turns.leave(arrival, arrival.key)
            arrival.close()

    def _refuse(self, arrival: Arrival) -> None:
        self.stats.dropped("tcp_refused")
        arrival.refuse()

    def _end(self, dispensable: Stream) -> None:
        dispensable.reset("tcp_busy_made_room" if self._table.is_busy(dispensable) else "tcp_made_room")

    def _count_in(self, stream: Stream) -> None:
        self._table.add(stream, stream.key)
        self._no_connections.clear()
        self.stats.gauge("tcp_connections", len(self._table))
        if self._timer is None:
            self._set_timer()

    async def _open(self, sock: socket.socket, stream: Stream) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: stream, sock)
        except OSError:  # its client has gone
            self.left(stream)
            sock.close()

    # what a stream says

    def mark(self, stream: Stream, *, busy: bool) -> None:
        """`stream` waits for answers, or is idle as of now."""
        if busy:
            self._table.mark_busy(stream)
        else:
            self._table.mark_idle(stream)

    def move(self, stream: Stream, key: Hashable) -> bool:
        """`stream`, which is idle, counts as one of client `key` from now on. False: there is no room, and it has ended."""
        self._table.discard(stream)
        has_room = self._table.find_room(key, self._end)
        if has_room:
            stream.key = key
        self._count_in(stream)
        if not has_room:
            stream.reset("tcp_refused")
        return has_room

    def grant(self, stream: Stream, wanted: int) -> int:
        """How many of the messages that it has `stream` may hand over now. For the others it is to `wait`."""
        if self._turns or self._turns.rests(stream.key):
            return 0
        granted = min(wanted, self._left)
        self._left -= granted
        return granted

    def wait(self, stream: Stream) -> None:
        """`stream` has messages to hand over: it is told to `go_on` in its turn."""
        self._turn_loop.wait(stream, stream.key)

    def refused(self, stream: Stream) -> bool:
        """A message of `stream` was refused because of its client. True when the client is to rest now."""
        return self._turn_loop.refused(stream.key)

    def left(self, stream: Stream) -> None:
        """`stream` has ended. No matter if that was said before."""
        self._turns.leave(stream, stream.key)
        if stream in self._table:
            self._table.discard(stream)
            self.stats.gauge("tcp_connections", len(self._table))
            if not len(self._table):
                self._no_connections.set()

    def _take_turns(self) -> None:
        left, ends_s = _MESSAGES_A_TURN, perf_counter() + _TURN_S
        while left > 0 and perf_counter() < ends_s and (one := self._turns.take()) is not None:
            one.go_on(_MESSAGES_A_CONNECTION)
            left -= _MESSAGES_A_CONNECTION
        self._left = left

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


class Arrival:
    """A connection that was accepted and waits for its turn, before anything is spent on it."""

    __slots__ = ("_connections", "_service", "_socket", "awaits_header", "key", "peer")

    def __init__(self, sock: socket.socket, client: str, service: MessageHandler, connections: TcpConnections) -> None:
        self.peer: Final = client_key(client)
        self.awaits_header: Final = client in connections.balancers
        # those of a load balancer are of many clients: each has a turn of its own
        self.key: Final[Hashable] = object() if self.awaits_header else self.peer
        self._socket = sock
        self._service = service
        self._connections = connections

    def go_on(self, most: int) -> None:  # noqa: ARG002 (it has no messages yet)
        """It is its turn: make a `Stream` of it, or refuse it."""
        self._connections.open(self, self._socket, self._service)

    def refuse(self) -> None:
        """End it; the client sees a reset. Nothing of it stays in the kernel."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.close()

    def close(self) -> None:
        """End it in peace."""
        self._socket.close()


class TcpListener(Acceptor):
    """Accepts connections on a listening socket (from `bind_tcp`), which it owns, for `service`."""

    def __init__(self, sock: socket.socket, service: MessageHandler, connections: TcpConnections) -> None:
        super().__init__(sock, connections)
        self._service = service
        self._connections = connections

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_WAKE):
            if not self._connections.may_arrive:
                return  # the loop asks again in its next turn
            try:
                sock, peer = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return  # another worker was faster, or the client has gone
            sock.setblocking(False)
            self._connections.arrived(Arrival(sock, peer[0], self._service, self._connections))
