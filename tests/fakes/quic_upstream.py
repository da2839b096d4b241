"""A DoQ upstream on loopback whose responses are scripted, on `aioquic`.

A handler takes one request and does what it likes to the connection:

    async with QuicUpstream(pair, answered()) as upstream:
        ... quic://127.0.0.1:{upstream.port}#dns.example ...
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer, serve
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.tls import SessionTicket

from tests.fakes.upstream import Handler, SeenQuery, Send, answer


class QuicRequest(NamedTuple):
    """One request, as it came, and the connection that it can be answered on."""

    connection: QuicPeer
    stream: int
    query: SeenQuery

    def respond(self, data: bytes, *, end: bool = True) -> None:
        """These bytes on its stream, while the server runs."""
        if self.connection.upstream.is_stopped:
            return
        self.connection._quic.send_stream_data(self.stream, data, end_stream=end)
        self.connection.transmit()

    def reset(self, code: int) -> None:
        self.connection._quic.reset_stream(self.stream, code)
        self.connection.transmit()

    def message(self, handler: Handler | None = None) -> bytes:
        """What `handler` answers."""
        (action,) = (handler or answer())(self.query)
        assert isinstance(action, Send)
        return action.wire

    def framed(self, handler: Handler | None = None) -> bytes:
        """The same behind its length."""
        wire = self.message(handler)
        return len(wire).to_bytes(2) + wire


Script = Callable[[QuicRequest], None]


def answered(handler: Handler | None = None) -> Script:
    """A proper response with the answer of `handler`."""
    return lambda request: request.respond(request.framed(handler))


class QuicPeer(QuicConnectionProtocol):
    """One connection to the server."""

    upstream: QuicUpstream

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._parts: dict[int, bytearray] = {}

    def quic_event_received(self, event: events.QuicEvent) -> None:
        if isinstance(event, events.HandshakeCompleted):
            self.upstream.connections += 1
            self.upstream.resumed += event.session_resumed
            self.upstream.early += event.early_data_accepted
        elif isinstance(event, events.StreamDataReceived):
            part = self._parts.setdefault(event.stream_id, bytearray())
            part += event.data
            if event.end_stream:
                wire = bytes(part[2:])
                assert len(wire) == int.from_bytes(part[:2])
                request = QuicRequest(self, event.stream_id, SeenQuery(wire, "quic", ("127.0.0.1", 0), time.monotonic()))
                self.upstream.requests.append(request)
                self.upstream.script(request)
        elif isinstance(event, events.StopSendingReceived):
            self.upstream.stopped.append(event.error_code)
        elif isinstance(event, events.ConnectionTerminated):
            self.upstream.ended.append(event.error_code)


class QuicUpstream:
    """The server. `script` may be replaced at any time; `requests` are all that came, oldest first."""

    def __init__(self, pair: tuple[Path, Path], script: Script | None = None, *, alpn: str = "doq") -> None:
        self.script = script or answered()
        self.requests: list[QuicRequest] = []
        self.stopped: list[int] = []  # codes with which the client has given up streams
        self.ended: list[int] = []  # codes with which connections have ended
        self.connections = self.resumed = self.early = 0
        self.port = 0
        self._configuration = QuicConfiguration(is_client=False, alpn_protocols=[alpn])
        self._configuration.load_cert_chain(*pair)
        self._tickets: dict[bytes, SessionTicket] = {}
        self._server: QuicServer | None = None

    @property
    def is_stopped(self) -> bool:
        return self._server is None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def start(self) -> None:
        """Listen, on the port of the last time if there was one."""
        kind = type("Peer", (QuicPeer,), {"upstream": self})
        self._server = await serve(
            "127.0.0.1",
            self.port,
            configuration=self._configuration,
            create_protocol=kind,
            session_ticket_fetcher=lambda label: self._tickets.pop(label, None),
            session_ticket_handler=lambda ticket: self._tickets.update({ticket.ticket: ticket}),
        )
        transport = cast("asyncio.DatagramTransport", self._server._transport)
        self.port = transport.get_extra_info("sockname")[1]

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Close every connection, and listen no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def vanish(self) -> None:
        """Listen no more, and tell no client."""
        assert self._server is not None
        transport = cast("asyncio.DatagramTransport", self._server._transport)
        for peer in set(self._server._protocols.values()):
            timer = cast("Any", peer)._timer
            if timer is not None:
                timer.cancel()
        transport.abort()
        self._server = None
        await asyncio.sleep(0)
        await asyncio.sleep(0)
