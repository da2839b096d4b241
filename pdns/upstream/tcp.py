"""Queries over TCP and TLS (RFC 7766, RFC 7858): connections that stay, many queries on each, answered in any order."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import cast

from pdns.clock import boottime_s
from pdns.upstream.exchange import Attempt, Events
from pdns.upstream.local_errors import is_local, source_address
from pdns.upstream.randomness import Randomness
from pdns.upstream.server import UpstreamServer
from pdns.upstream.timers import Timers
from pdns.wire.framing import Deframer, frame
from pdns.wire.message import build_query

MAX_CONNECTIONS = 2
BUSY_QUERIES = 100  # outstanding on one connection, from which on a second is opened
MAX_IDS = 16384  # outstanding or given up, after which a connection takes no more queries
IDLE_S = 10.0
CONNECT_TIMEOUT_S = 2.0
_LOOK_S = 1.0
_LOOK_INTERVAL_S = 0.1


class TcpPool:
    """The connections of one upstream; TLS when there is a context for it."""

    def __init__(
        self,
        server: UpstreamServer,
        loop: asyncio.AbstractEventLoop,
        timers: Timers,
        random: Randomness,
        events: Events,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.server = server
        self.loop = loop
        self.events = events
        self.random = random
        self.timers = timers
        self.tls = tls
        self._connections: list[Connection] = []
        self._retired: set[Connection] = set()
        self._looking = False
        self._looked_s = -1.0

    def send(self, attempt: Attempt, now: float) -> None:
        """Send the query of `attempt`, as soon as there is a connection. Failure is told by `Events.lost`, later."""
        self._pick().send(attempt, now)

    def close(self) -> None:
        for connection in (*self._connections, *self._retired):
            connection.close()
        self._connections.clear()
        self._retired.clear()

    @property
    def open_connections(self) -> int:
        return len(self._connections) + len(self._retired)

    def retire(self, connection: Connection) -> None:
        """No more queries for `connection`."""
        if connection in self._connections:
            self._connections.remove(connection)
            self._retired.add(connection)

    def gone(self, connection: Connection) -> None:
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

    def _pick(self) -> Connection:
        connections = self._connections
        if connections:
            quietest = min(connections, key=lambda connection: connection.live)
            if quietest.live < BUSY_QUERIES or len(connections) >= MAX_CONNECTIONS:
                return quietest
        connection = Connection(self)
        connections.append(connection)
        self._look_later(boottime_s())
        return connection


class Connection(asyncio.Protocol):
    """One connection, from before it is made until it is gone."""

    def __init__(self, pool: TcpPool) -> None:
        self.server = pool.server
        self._outstanding: dict[int, Attempt] = {}  # by id; those given up stay, so that a late answer is known for one
        self.live = 0  # of them, how many somebody waits for
        self._pool = pool
        self.source = ""  # our address
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []  # until it is made
        self._deframer = Deframer()
        self._last_received_s = 0.0
        self._idle_since_s = 0.0
        self._idleness_watched = False
        self._retired = False
        self._ended = False
        # a task for each connection, never for a query; held here, ended by close()
        self._connecting = pool.loop.create_task(self._connect())

    def send(self, attempt: Attempt, now: float) -> None:
        u16 = self._pool.random.u16
        while (query_id := u16()) in self._outstanding:
            pass
        assert attempt.exchange is not None
        question = attempt.exchange.question
        framed = frame(build_query(query_id, attempt.question, do=question.do, cd=question.cd, edns=attempt.edns))
        attempt.query_id = query_id
        attempt.channel = self
        attempt.over_stream = True
        attempt.sent_s = now
        self._outstanding[query_id] = attempt
        self.live += 1
        if self._transport is None:
            self._unsent.append(framed)
        else:
            self._transport.write(framed)
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
        if self._transport is not None and self._last_received_s < attempt.sent_s:
            self._retire()

    def close(self) -> None:
        """End it now, without reporting it."""
        self._ended = True
        self._connecting.cancel()
        if self._transport is not None:
            self._transport.abort()

    def abandon(self) -> None:
        """End it because its address is no longer ours."""
        transport = self._transport
        self._end("address changed", local=True)
        if transport is not None:
            transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._ended:
            self._transport.abort()
            return
        self.source = str((transport.get_extra_info("sockname") or ("",))[0])
        self._last_received_s = boottime_s()
        self.server.connect_error = ""
        if self._unsent:
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()

    def data_received(self, data: bytes) -> None:
        self._last_received_s = boottime_s()
        for wire in self._deframer.feed(data):
            if self._ended:
                return
            self._pool.events.arrived(self, wire)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc or "closed by the upstream"))

    async def _connect(self) -> None:
        address = self.server.address
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._pool.loop.create_connection(
                    lambda: self,
                    address.host,
                    address.port,
                    ssl=self._pool.tls,
                    server_hostname=address.server_name if self._pool.tls else None,
                )
        except TimeoutError:
            self._end("no connection in time")
        except Exception as error:  # noqa: BLE001  # whatever it was, those who wait must hear of it
            self._end(
                str(error), local=isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and is_local(error.errno)
            )

    def _retire(self) -> None:
        self._retired = True
        self._pool.retire(self)

    def _end(self, reason: str, *, local: bool = False) -> None:
        if self._ended:
            return
        self._ended = True
        self._pool.gone(self)
        self.server.connect_error = reason
        was_open = self._transport is not None
        for attempt in list(self._outstanding.values()):
            if attempt.exchange is not None:
                self._pool.events.lost(attempt, was_open=was_open, local=reason if local else "")
        self._outstanding.clear()
        if self._transport is not None:
            self._transport.close()

    def _watch_idleness(self) -> None:
        if not self._idleness_watched:
            self._idleness_watched = True
            self._pool.timers.at(self._idle_since_s + IDLE_S, self._end_if_idle, None)

    def _end_if_idle(self, _argument: None, now: float) -> None:
        self._idleness_watched = False
        if self.live or self._ended:
            return
        if now - self._idle_since_s >= IDLE_S:
            self._end("")
        else:
            self._watch_idleness()
