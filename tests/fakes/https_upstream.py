"""A DoH upstream on loopback whose responses are scripted, on `h2`.

A handler takes one request and writes what it likes to the connection:

    async with HttpsUpstream(certificate, answered()) as upstream:
        ... https://127.0.0.1:{upstream.port}/dns-query#dns.example ...
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self, cast

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings

from tests.fakes.upstream import Handler, SeenQuery, Send, answer

TYPE = "application/dns-message"


class Request(NamedTuple):
    """One request, as it came, and the connection that it can be answered on."""

    server: HttpsConnectionFake
    stream: int
    headers: list[tuple[str, str]]
    query: SeenQuery

    def respond(
        self, body: bytes, *, status: int = 200, content_type: str = TYPE, more: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """A whole response."""
        self.head(status=status, content_type=content_type, more=more)
        self.data(body, end=True)

    def head(self, *, status: int = 200, content_type: str = TYPE, more: tuple[tuple[str, str], ...] = ()) -> None:
        self.server.http.send_headers(self.stream, [(":status", str(status)), ("content-type", content_type), *more])

    def data(self, body: bytes, *, end: bool = False) -> None:
        """A part of the body, as far as the client takes it; the rest follows."""
        http, part = self.server.http, body[:16000]
        if self.stream in self.server.upstream.resets:
            return
        if http.local_flow_control_window(self.stream) < len(part):
            asyncio.get_running_loop().call_later(0.002, lambda: self.data(body, end=end))
            return
        http.send_data(self.stream, part, end_stream=end and len(part) == len(body))
        self.server.flush()
        if len(part) < len(body):
            self.data(body[len(part) :], end=end)

    def reset(self, code: ErrorCodes) -> None:
        self.server.http.reset_stream(self.stream, code)
        self.server.flush()

    def message(self, handler: Handler | None = None) -> bytes:
        """What `handler` answers."""
        (action,) = (handler or answer())(self.query)
        assert isinstance(action, Send)
        return action.wire


Script = Callable[[Request], None]


def answered(handler: Handler | None = None) -> Script:
    """A proper response with the answer of `handler`."""
    return lambda request: request.respond(request.message(handler))


class HttpsConnectionFake(asyncio.Protocol):
    """One connection to the server."""

    def __init__(self, upstream: HttpsUpstream) -> None:
        self.upstream = upstream
        self.http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.http.local_settings = Settings(
            client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: upstream.max_streams}
        )
        self._requests: dict[int, tuple[list[tuple[str, str]], bytearray]] = {}
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.upstream.connections += 1
        self.upstream.resumed += bool(transport.get_extra_info("ssl_object").session_reused)
        self.upstream.open.add(self)
        self.http.initiate_connection()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:  # of the protocol
        self.upstream.open.discard(self)

    def data_received(self, data: bytes) -> None:
        for event in self.http.receive_data(data):
            if isinstance(event, events.RequestReceived):
                headers = [(str(name), str(value)) for name, value in event.headers]
                self._requests[event.stream_id] = headers, bytearray()
                self.upstream.most_open = max(self.upstream.most_open, self.http.open_inbound_streams)
            elif isinstance(event, events.DataReceived):
                self._requests[event.stream_id][1].extend(event.data)
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.StreamEnded):
                headers, body = self._requests.pop(event.stream_id)
                query = SeenQuery(bytes(body), "https", self.transport.get_extra_info("peername"), time.monotonic())
                request = Request(self, event.stream_id, headers, query)
                self.upstream.requests.append(request)
                self.upstream.script(request)
            elif isinstance(event, events.StreamReset):
                self.upstream.resets.append(event.stream_id)
        self.flush()

    def flush(self) -> None:
        self.transport.write(self.http.data_to_send())


class HttpsUpstream:
    """The server. `script` may be replaced at any time; `requests` are all that came, oldest first."""

    def __init__(
        self, pair: tuple[Path, Path], script: Script | None = None, *, alpn: str = "h2", max_streams: int = 100
    ) -> None:
        self.script = script or answered()
        self.requests: list[Request] = []
        self.resets: list[int] = []  # streams that the client has reset
        self.open: set[HttpsConnectionFake] = set()
        self.connections = self.resumed = self.most_open = 0
        self.max_streams = max_streams
        self.port = 0
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(*pair)
        self._tls.set_alpn_protocols([alpn])
        self._server: asyncio.Server | None = None

    def asked(self) -> list[Request]:
        """The requests that clients caused: all but those for the root."""
        return [request for request in self.requests if request.query.name != "."]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def start(self) -> None:
        """Listen, on the port of the last time if there was one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: HttpsConnectionFake(self), "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Close every connection, and listen no more."""
        assert self._server is not None
        self._server.close()
        for connection in list(self.open):
            connection.transport.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)
