"""DNS over HTTP/3 on a real socket: requests, refusals, and clients that misuse HTTP/3."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aioquic.asyncio import connect
from aioquic.h3.connection import ErrorCode, FrameType, H3Connection, encode_frame
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.events import QuicEvent, StreamDataReceived

from pdns.quic import clients as clients_module
from pdns.wire.transport import Transport
from tests.fakes.quic import LIMITS, QUERY, QuicEdge, StreamClient, client_settings, reply_of, run, without_answer

BASE64 = base64.urlsafe_b64encode(QUERY).rstrip(b"=")
POST = (b"POST", b"/dns-query", b"application/dns-message", QUERY)


class HttpClient(StreamClient):
    """A client that sends requests and keeps the responses."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.headers: dict[int, dict[bytes, bytes]] = {}
        self.bodies: dict[int, bytes] = {}
        self.done: set[int] = set()

    def quic_event_received(self, event: QuicEvent) -> None:
        for told in self.http.handle_event(event) if isinstance(event, StreamDataReceived) else ():
            if isinstance(told, HeadersReceived):
                self.headers[told.stream_id] = dict(told.headers)
            elif isinstance(told, DataReceived):
                self.bodies[told.stream_id] = self.bodies.get(told.stream_id, b"") + told.data
            if isinstance(told, HeadersReceived | DataReceived) and told.stream_ended:
                self.done.add(told.stream_id)
        super().quic_event_received(event)

    def request(self, method: bytes, path: bytes, content_type: bytes = b"", body: bytes = b"", *, end: bool = True) -> int:
        """Send one, and return its stream."""
        stream_id = self._quic.get_next_available_stream_id()
        fields = [(b":method", method), (b":scheme", b"https"), (b":authority", b"dns.example"), (b":path", path)]
        fields += [(b"content-type", content_type)] if content_type else []
        self.http.send_headers(stream_id, fields, end_stream=end and not body)
        if body:
            self.http.send_data(stream_id, body, end_stream=end)
        self.transmit()
        return stream_id

    async def response(self, stream_id: int) -> tuple[bytes, bytes]:
        """Status and body."""
        await self.until(lambda: stream_id in self.done or self.closed is not None)
        return self.headers.get(stream_id, {}).get(b":status", b""), self.bodies.get(stream_id, b"")


@asynccontextmanager
async def browsing(port: int) -> AsyncIterator[HttpClient]:
    async with connect("127.0.0.1", port, configuration=client_settings("h3"), create_protocol=HttpClient) as client:
        assert isinstance(client, HttpClient)
        yield client


def test_get_and_post_are_answered() -> None:
    """With the type, the age and the token of the path; many at a time."""

    async def scene(edge: QuicEdge) -> None:
        async with browsing(edge.port) as client:
            asked = [client.request(b"GET", b"/dns-query/s3cret?dns=" + BASE64), *(client.request(*POST) for _ in range(15))]
            answers = [await client.response(stream_id) for stream_id in asked]
            assert set(answers) == {(b"200", reply_of(edge.worker.queries[0]).message)}
            assert client.headers[asked[0]][b"content-type"] == b"application/dns-message"
            assert client.headers[asked[0]][b"cache-control"] == b"private, max-age=60"
            assert [one.client.token for one in edge.worker.queries][:2] == [b"s3cret", b""]

    run(scene, Transport.H3)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ((b"GET", b"/"), b"404"),
        ((b"GET", b"/dns-query"), b"400"),
        ((b"GET", b"/dns-query?dns=AAAA"), b"400"),
        ((b"GET", b"/dns-query?dns=" + BASE64 + b"=="), b"400"),
        ((b"PUT", b"/dns-query"), b"405"),
        ((b"POST", b"/dns-query", b"text/plain", QUERY), b"415"),
        ((b"POST", b"/dns-query", b"application/dns-message", bytes(65536)), b"413"),
        ((b"GET", b"/dns-query?dns=" + b"A" * 9000), b"414"),
    ],
)
def test_other_requests_are_refused(request_: tuple[bytes, ...], status: bytes) -> None:
    """With a status; the connection goes on, and no worker hears of it."""

    async def scene(edge: QuicEdge) -> None:
        async with browsing(edge.port) as client:
            assert (await client.response(client.request(*request_)))[0] == status
            assert edge.worker.queries == []
            assert (await client.response(client.request(*POST)))[0] == b"200"

    run(scene, Transport.H3)


def test_the_reason_of_a_worker_is_the_status() -> None:
    """An unknown token is a 404 as any other path; a client that asks too much is told so."""

    async def scene(edge: QuicEdge) -> None:
        async with browsing(edge.port) as client:
            for status in (404, 429, 400):
                edge.worker.answer = without_answer(status)
                assert (await client.response(client.request(*POST)))[0] == b"%d" % status

    run(scene, Transport.H3)


def test_a_refusal_does_not_wait_for_the_end_of_the_request() -> None:
    """What still comes of it is not kept, and the stream is free again."""

    async def scene(edge: QuicEdge) -> None:
        async with browsing(edge.port) as client:
            for _ in range(LIMITS.max_streams * 3):  # more bytes than the window of the connection
                stream_id = client.request(b"POST", b"/elsewhere", b"application/dns-message", bytes(3000), end=False)
                assert (await client.response(stream_id))[0] == b"404"
            assert (await client.response(client.request(*POST)))[0] == b"200"
            assert all(len(one.queries._requests) == 0 for one in edge.clients._all)  # type: ignore[union-attr]

    run(scene, Transport.H3)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (encode_frame(FrameType.DATA, b"x"), ErrorCode.H3_FRAME_UNEXPECTED),
        (encode_frame(FrameType.HEADERS, b"\xff" * 20), ErrorCode.QPACK_DECOMPRESSION_FAILED),
        (encode_frame(FrameType.SETTINGS, b""), ErrorCode.H3_FRAME_UNEXPECTED),
        (encode_frame(FrameType.HEADERS, b"\x02\0\x80"), ErrorCode.QPACK_DECOMPRESSION_FAILED),  # of a dynamic table
    ],
)
def test_frames_that_may_not_be_there(data: bytes, code: int) -> None:
    """The connection ends with the code of RFC 9114 or RFC 9204."""

    async def scene(edge: QuicEdge) -> None:
        async with browsing(edge.port) as client:
            client.put(data)
            await client.until(lambda: client.closed is not None)
            assert client.closed == code

    run(scene, Transport.H3)


def test_cancelled_requests_leave_nothing() -> None:
    """A thousand requests that are reset at once: workers get no more than may be open, and the next one is answered."""

    async def scene(edge: QuicEdge) -> None:
        async with browsing(edge.port) as client:
            for _ in range(300):
                stream_id = client.request(*POST)
                client._quic.reset_stream(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
                client._quic.stop_stream(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
                client.transmit()
                await asyncio.sleep(0)
            await asyncio.sleep(0.3)
            assert (await client.response(client.request(*POST)))[0] == b"200"
            for one in edge.clients._all:
                assert not one.queries._requests  # type: ignore[union-attr]
                assert not one.queries._asked  # type: ignore[union-attr]

    run(scene, Transport.H3)


def test_stalled_requests_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that never end: the connection does, with H3_EXCESSIVE_LOAD."""
    monkeypatch.setattr(clients_module, "STALLED_S", 0.2)

    async def scene(edge: QuicEdge) -> None:
        async with browsing(edge.port) as client:
            for _ in range(5):
                client.request(b"POST", b"/dns-query", b"application/dns-message", b"\0", end=False)
            await asyncio.sleep(0.4)
            edge.clients.sweep()
            await client.until(lambda: client.closed is not None)
            assert client.closed == ErrorCode.H3_EXCESSIVE_LOAD

    run(scene, Transport.H3)
