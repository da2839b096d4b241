"""Queries over connections that stay: many on each, answered in any order (RFC 7766). `tcp.py`, `https.py` and `quic.py` know how
each transport carries them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from pdns.clock import boottime_s
from pdns.upstream.exchange import Attempt, Events
from pdns.upstream.local_errors import is_local, source_address
from pdns.upstream.randomness import Randomness
from pdns.upstream.server import UpstreamServer
from pdns.upstream.timers import Timers
from pdns.wire.message import build_query

MAX_CONNECTIONS = 2
BUSY_QUERIES = 100  # outstanding on one connection, from which on a second is opened
MAX_IDS = 16384  # outstanding or given up, after which a connection takes no more queries
IDLE_S = 10.0
CONNECT_TIMEOUT_S = 2.0
_LOOK_S = 1.0
_LOOK_INTERVAL_S = 0.1


class StreamPool:
    """The connections of one upstream. `connect(pool)` begins one."""

    def __init__(
        self,
        server: UpstreamServer,
        loop: asyncio.AbstractEventLoop,
        timers: Timers,
        random: Randomness,
        events: Events,
        connect: Callable[[StreamPool], StreamConnection],
    ) -> None:
        self.server = server
        self.loop = loop
        self.events = events
        self.random = random
        self.timers = timers
        self._connect = connect
        self._connections: list[StreamConnection] = []
        self._retired: set[StreamConnection] = set()
        self.closing: set[StreamConnection] = set()  # ended; the other side has not closed yet
        self._looking = False
        self._looked_s = -1.0

    def send(self, attempt: Attempt, now: float) -> None:
        """Send the query of `attempt`, as soon as there is a connection. Failure is told by `Events.lost`, later."""
        self._pick().send(attempt, now)

    def close(self) -> None:
        for connection in (*self._connections, *self._retired, *self.closing):
            connection.close()
        self._connections.clear()
        self._retired.clear()
        self.closing.clear()

    @property
    def open_connections(self) -> int:
        return len(self._connections) + len(self._retired)

    def retire(self, connection: StreamConnection) -> None:
        """No more queries for `connection`."""
        if connection in self._connections:
            self._connections.remove(connection)
            self._retired.add(connection)

    def gone(self, connection: StreamConnection) -> None:
        """`connection` has ended."""
        self.retire(connection)
        self._retired.discard(connection)

    def has_moved(self, now: float) -> bool:
        """Whether a connection was open from an address that the system does not use any more. Such were closed, and what waited
        was asked anew.
        """
        if not (self._connections or self._retired) or now < self._looked_s + _LOOK_INTERVAL_S:
            return False
        self._looked_s = now
        address = self.server.address
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        source = source_address(family, (address.host, address.port))
        if not source:
            return False
        moved = [one for one in (*self._connections, *self._retired) if one.source not in ("", source)]
        for connection in moved:
            connection.abandon()
        return bool(moved)

    def _look(self, _argument: None, now: float) -> None:
        self._looking = False
        self.has_moved(now)
        self._look_later(now)

    def _look_later(self, now: float) -> None:
        if not self._looking and (self._connections or self._retired):
            self._looking = True
            self.timers.at(now + _LOOK_S, self._look, None)

    def _pick(self) -> StreamConnection:
        connections = self._connections
        if connections:
            quietest = min(connections, key=lambda connection: connection.live)
            if quietest.live < BUSY_QUERIES or len(connections) >= MAX_CONNECTIONS:
                return quietest
        connection = self._connect(self)
        connections.append(connection)
        self._look_later(boottime_s())
        return connection


class StreamConnection:
    """One connection, from before it is made until it is gone."""

    numbered: ClassVar[bool] = False  # whether queries have ids of their own on the wire; else 0, and each has a stream

    def __init__(self, pool: StreamPool) -> None:
        self.server = pool.server
        self.pool = pool
        self.live = 0  # of the outstanding queries, how many a client waits for
        self.source = ""  # our address
        self._outstanding: dict[int, Attempt] = {}  # by id; those given up stay, so that a late answer is known for one
        self._unsent: deque[tuple[Attempt, bytes]] = deque()
        self._is_open = False
        self._last_received_s = 0.0
        self._idle_since_s = 0.0
        self._idleness_watched = False
        self._retired = False
        self._ended = False
        # a task for each connection, never for a query; held here, ended by close()
        self._connecting = pool.loop.create_task(self._connect())

    # What a transport adds

    async def _open(self) -> None:
        """Make the connection, and call `_opened`."""
        raise NotImplementedError

    def _flush(self) -> None:
        """Write of `_unsent` what can be written now."""
        raise NotImplementedError

    def _shut(self) -> None:
        """End the connection, if it was made, after what was written."""
        raise NotImplementedError

    def _abort(self) -> None:
        """End the connection, if it was made, at once."""
        raise NotImplementedError

    # What the pool and the rounds ask for

    def send(self, attempt: Attempt, now: float) -> None:
        u16 = self.pool.random.u16
        while (query_id := u16()) in self._outstanding:
            pass
        assert attempt.exchange is not None
        question = attempt.exchange.question
        message = build_query(
            query_id if self.numbered else 0,
            attempt.question,
            do=question.do,
            cd=question.cd,
            edns=attempt.edns,
            pad=self.server.address.transport.is_encrypted,
        )
        attempt.query_id = query_id
        attempt.channel = self
        attempt.over_stream = True
        attempt.sent_s = now
        self._outstanding[query_id] = attempt
        self.live += 1
        self._unsent.append((attempt, message))
        if self._is_open:
            self._flush()
        if len(self._outstanding) >= MAX_IDS:
            self._retire()

    def find(self, query_id: int) -> Attempt | None:
        return self._outstanding.get(query_id)

    def settle(self, attempt: Attempt) -> None:
        del self._outstanding[attempt.query_id]
        if attempt.exchange is not None:  # else it was released before
            self.release(attempt)

    def release(self, attempt: Attempt) -> None:  # noqa: ARG002  # as every channel has it
        self.live -= 1
        if self.live == 0 and not self._ended:
            if self._retired:
                self._end("")
                return
            self._idle_since_s = boottime_s()
            self._watch_idleness()

    def overdue(self, attempt: Attempt) -> None:
        # not a sign since before it was asked: the way may be dead without a word, so the next query gets a new connection
        if self._is_open and self._last_received_s < attempt.sent_s:
            self._retire()

    def close(self) -> None:
        """End it now, without reporting it."""
        self._ended = True
        self._connecting.cancel()
        self._abort()

    def abandon(self) -> None:
        """End it because its address is no longer ours."""
        self._end("address changed", local=True)
        self._abort()

    # What transports tell

    def _opened(self, source: str, *, resumed: bool | None = None) -> None:
        """It is made. `resumed` says how its keys were agreed, None without encryption."""
        self._is_open = True
        self.source = source
        self._last_received_s = boottime_s()
        self.server.stream_error = ""
        if resumed is not None:
            self.pool.events.encrypted(self.server, resumed=resumed)
        if self._unsent:
            self._flush()

    def _answered(self, attempt: Attempt, wire: bytes) -> None:
        """`wire` came as the one answer to `attempt`, on a stream of its own."""
        if wire[:2] != b"\0\0":
            self.pool.events.unanswered(attempt, "answered under an id that is not 0" if wire else "an empty answer")
            return
        self.pool.events.arrived(self, attempt.query_id.to_bytes(2) + wire[2:])
        if not attempt.settled:
            self.pool.events.unanswered(attempt, "answered another question")

    def _lose(self, attempt: Attempt, reason: str) -> None:
        """`attempt` was not answered, and may be sent again."""
        self.server.stream_error = reason
        del self._outstanding[attempt.query_id]
        if attempt.exchange is not None:
            self.release(attempt)
            self.pool.events.lost(attempt, was_open=True)

    def _retire(self) -> None:
        self._retired = True
        self.pool.retire(self)

    def _end(self, reason: str, *, local: bool = False) -> None:
        if self._ended:
            return
        self._ended = True
        self.pool.gone(self)
        self.server.stream_error = reason
        for attempt in list(self._outstanding.values()):
            if attempt.exchange is not None:
                self.pool.events.lost(attempt, was_open=self._is_open, local=reason if local else "")
        self._outstanding.clear()
        self._unsent.clear()
        self._shut()

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._open()
        except TimeoutError:
            self._end("no connection in time")
        except Exception as error:  # noqa: BLE001  # whatever it was, those who wait must hear of it
            self._end(
                str(error), local=isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and is_local(error.errno)
            )

    def _watch_idleness(self) -> None:
        if not self._idleness_watched:
            self._idleness_watched = True
            self.pool.timers.at(self._idle_since_s + IDLE_S, self._end_if_idle, None)

    def _end_if_idle(self, _argument: None, now: float) -> None:
        self._idleness_watched = False
        if self.live or self._ended:
            return
        if now - self._idle_since_s >= IDLE_S:
            self._end("")
        else:
            self._watch_idleness()
