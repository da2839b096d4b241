"""The connections of a quic process on a real socket, with workers that a test writes; a client that keeps all that comes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import dns.message
from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamDataReceived, StreamReset
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pdns.ipc.relay_frames import NO_ANSWER, RelayAnswer, RelayQuery, pack_answer, queries_in
from pdns.quic import doq, http3
from pdns.quic.client import Address
from pdns.quic.clients import ClientLimits, QuicClients, QuicService
from pdns.quic.connection_ids import ConnectionIds
from pdns.quic.endpoint import DatagramOrigin, UdpEndpoint
from pdns.quic.relay import Relay
from pdns.quic.retry import AddressProof
from pdns.quic.stats import QuicStats
from pdns.quic.transport import ServerCertificate, server_settings
from pdns.telemetry.counters import Counters
from pdns.wire.transport import Transport
from tests.certificates import issue

LIMITS = ClientLimits(
    max_connections=50, max_per_client=20, idle_timeout_s=10.0, handshake_timeout_s=5.0, max_handshakes=40,
    new_per_client_per_s=100.0, max_streams=20,
)  # fmt: skip
AUTHORITY = issue(("authority.example",), authority=True)
LEAF = issue(("dns.example", "127.0.0.1"), issuer=AUTHORITY)
CERTIFICATE = ServerCertificate(LEAF.certificate, [], load_pem_private_key(LEAF.key_pem, None))
QUERY = dns.message.make_query("www.council.example", "A", id=0).to_wire()

Answerer = Callable[[RelayQuery], RelayAnswer | None]


def silent(_: RelayQuery) -> None:
    """A worker that never answers."""


def without_answer(status: int) -> Answerer:
    """A worker that says that there is none, and why."""
    return lambda query: RelayAnswer(query.number, 0, status, NO_ANSWER)


def reply_of(query: RelayQuery) -> RelayAnswer:
    """The query as its own answer, with the bit that says so."""
    message = query.message[:2] + bytes([query.message[2] | 0x80]) + query.message[3:]
    return RelayAnswer(query.number, 60, 0, message)


class FakeWorker:
    """One worker at the other end of a socket. `answer` decides; None: it never answers."""

    def __init__(self, relay: Relay, index: int, loop: asyncio.AbstractEventLoop, answer: Answerer) -> None:
        theirs, self.socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.setblocking(False)
        self.queries: list[RelayQuery] = []
        self.answer, self._loop = answer, loop
        relay.link(index, theirs)
        loop.add_reader(self.socket.fileno(), self._read)

    def close(self) -> None:
        """Die."""
        if self.socket.fileno() >= 0:
            self._loop.remove_reader(self.socket.fileno())
            self.socket.close()

    def _read(self) -> None:
        packet = self.socket.recv(1 << 17)
        if not packet:
            self.close()
            return
        for query in queries_in(packet):
            self.queries.append(query)
            if (answer := self.answer(query)) is not None:
                self.socket.send(pack_answer(answer.number, answer.message, max_age_s=answer.max_age_s, status=answer.status))


class QuicEdge:
    """What a test has of the server."""

    def __init__(
        self, transport: Transport = Transport.QUIC, limits: ClientLimits = LIMITS, answer: Answerer = reply_of, process: int = 7
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.counters = Counters.create(1024)
        self.ids = ConnectionIds(process, b"secret" * 6)
        stats = QuicStats(self.counters)
        self.relay = Relay(self.loop, stats, lambda: self.clients.flush())  # noqa: PLW0108 (it does not exist yet)
        self.clients = QuicClients(self.loop, self.ids, AddressProof(b"secret" * 6), limits, stats, self.relay)
        self.worker = FakeWorker(self.relay, 0, self.loop, answer)
        alpn = http3.ALPN if transport is Transport.H3 else doq.ALPN
        settings = server_settings(alpn, idle_timeout_s=limits.idle_timeout_s, certificate=CERTIFICATE)
        self.service = QuicService(transport, settings, lambda _: CERTIFICATE)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        self.port = int(sock.getsockname()[1])
        self.endpoint = UdpEndpoint("test", sock, self, self.loop)
        self.endpoint.start()

    def arrived_at(self, _: UdpEndpoint, datagram: bytes, address: Address, origin: DatagramOrigin) -> None:
        self.clients.arrived(datagram, address, self.service, origin)

    def all_arrived(self) -> None:
        self.clients.flush()

    def count(self, family: str, *labels: str) -> int:
        """The value of a counter."""
        return self.counters.value(family, *labels) or 0

    def close(self) -> None:
        self.clients.close()
        self.endpoint.close()
        self.relay.close()
        self.worker.close()
        self.counters.close()


def run(
    scene: Callable[[QuicEdge], Awaitable[None]],
    transport: Transport = Transport.QUIC,
    *,
    limits: ClientLimits = LIMITS,
    answer: Answerer = reply_of,
) -> None:
    """Run `scene` with a server, on a loop of its own."""

    async def main() -> None:
        edge = QuicEdge(transport, limits, answer)
        try:
            await scene(edge)
        finally:
            edge.close()

    asyncio.run(main())


class StreamClient(QuicConnectionProtocol):
    """A client that keeps what every stream has brought."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.data: dict[int, bytes] = {}
        self.ended: dict[int, int] = {}  # stream -> error code; -1: in order
        self.closed: int | None = None  # error code
        self._news = asyncio.Event()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamDataReceived):
            self.data[event.stream_id] = self.data.get(event.stream_id, b"") + event.data
            if event.end_stream:
                self.ended[event.stream_id] = -1
        elif isinstance(event, StreamReset):
            self.ended[event.stream_id] = event.error_code
        elif isinstance(event, ConnectionTerminated):
            self.closed = event.error_code
        self._news.set()

    def put(self, data: bytes, *, end: bool = True, stream_id: int | None = None) -> int:
        """Send on a stream, a new one unless it is named."""
        stream_id = self._quic.get_next_available_stream_id() if stream_id is None else stream_id
        self._quic.send_stream_data(stream_id, data, end_stream=end)
        self.transmit()
        return stream_id

    async def until(self, condition: Callable[[], object], within_s: float = 20.0) -> None:
        """Wait until `condition` holds."""
        async with asyncio.timeout(within_s):
            while not condition():
                self._news.clear()
                await asyncio.wait([asyncio.ensure_future(self._news.wait())], timeout=0.05)

    async def ask(self, message: bytes) -> bytes:
        """The answer over DoQ."""
        stream_id = self.put(len(message).to_bytes(2) + message)
        await self.until(lambda: stream_id in self.ended or self.closed is not None)
        return self.data.get(stream_id, b"")[2:]


def client_settings(alpn: str = doq.ALPN) -> QuicConfiguration:
    """Of a client that trusts the authority of the tests."""
    settings = QuicConfiguration(alpn_protocols=[alpn], is_client=True, server_name="dns.example")
    settings.load_verify_locations(cadata=AUTHORITY.cert_pem)
    return settings


@asynccontextmanager
async def connected(port: int, alpn: str = doq.ALPN) -> AsyncIterator[StreamClient]:
    """A client with a connection."""
    async with connect("127.0.0.1", port, configuration=client_settings(alpn), create_protocol=StreamClient) as client:
        assert isinstance(client, StreamClient)
        yield client
