"""Queries over QUIC (RFC 9250): one stream for each. Nothing is sent as early data (0-RTT)."""

from __future__ import annotations

import asyncio
import ssl
from enum import IntEnum
from typing import Any, cast

from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.tls import SessionTicket
from cryptography.hazmat.primitives.serialization import Encoding

from pdns.clock import boottime_s
from pdns.upstream.exchange import Attempt
from pdns.upstream.proofs import Proofs
from pdns.upstream.streams import IDLE_S, StreamConnection, StreamPool
from pdns.upstream.tls import RESUME_S
from pdns.wire.framing import MAX_MESSAGE_BYTES, frame

MAX_STREAMS = 100  # more queries wait
LATE_S = 5.0  # after nothing waits for an answer any more, its stream is given up
_STREAM_BYTES = MAX_MESSAGE_BYTES + 2


class DoqError(IntEnum):
    """Codes of RFC 9250, 8.4."""

    NO_ERROR = 0
    INTERNAL_ERROR = 1
    PROTOCOL_ERROR = 2
    REQUEST_CANCELLED = 3
    EXCESSIVE_LOAD = 4
    UNSPECIFIED_ERROR = 5


class QuicSessions:
    """What connections to one upstream share: its configuration, and the ticket for the next one."""

    def __init__(self, pool: StreamPool, ca_file: str) -> None:
        self.address = pool.server.address
        self.proofs = Proofs(self.address)
        self.proven_s = 0.0  # when the certificate was last checked
        self.ticket: SessionTicket | None = None
        paths = ssl.get_default_verify_paths()
        self._locations = (ca_file, None) if ca_file else (paths.cafile, paths.capath or paths.openssl_capath)

    def configuration(self) -> QuicConfiguration:
        """For one connection, with the ticket if there is one: each is used once."""
        ticket, self.ticket = self.ticket, None
        if ticket is not None and (boottime_s() >= self.proven_s + RESUME_S or not ticket.is_valid):
            ticket = None
        if ticket is not None:
            ticket.max_early_data_size = None
        return QuicConfiguration(
            is_client=True,
            alpn_protocols=["doq"],
            server_name=self.address.server_name or None,
            verify_mode=ssl.CERT_REQUIRED if self.address.server_name else ssl.CERT_NONE,  # else the pin alone is the proof
            cafile=self._locations[0],
            capath=self._locations[1],
            idle_timeout=IDLE_S * 2,
            max_stream_data=_STREAM_BYTES,
            session_ticket=ticket,
        )


class QuicUpstream(StreamConnection, asyncio.DatagramProtocol):
    """One QUIC connection."""

    def __init__(self, pool: StreamPool, sessions: QuicSessions) -> None:
        self._sessions = sessions
        self._ticket: SessionTicket | None = None
        self._quic = QuicConnection(configuration=sessions.configuration(), session_ticket_handler=self._keep)
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._finished = pool.loop.create_future()  # the handshake
        self._answers: dict[int, tuple[Attempt, bytearray]] = {}  # by stream
        self._streams: dict[int, int] = {}  # by id of the attempt
        super().__init__(pool)

    async def _open(self) -> None:
        address = self.server.address
        await self.pool.loop.create_datagram_endpoint(lambda: self, remote_addr=(address.host, address.port))
        await self._finished

    def release(self, attempt: Attempt) -> None:
        if attempt.query_id in self._streams:
            self.pool.timers.at(boottime_s() + LATE_S, self._give_up, attempt)
        super().release(attempt)

    # asyncio.DatagramProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        if self._ended:
            self._transport.abort()
            return
        self._quic.connect(self._peer, now=self.pool.loop.time())
        self._transmit()

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:  # noqa: ARG002  # the socket is connected
        if self._ended:
            return
        try:
            self._quic.receive_datagram(data, self._peer, now=self.pool.loop.time())
            self._pump()
        except Exception as error:  # noqa: BLE001  # of the server's making: the connection cannot be read any more
            self._end(f"broke QUIC: {error or type(error).__name__}")

    def error_received(self, exc: Exception) -> None:
        if not self._is_open:  # of an open one, an ICMP error may be forged
            self._end(str(exc))

    # StreamConnection

    def _flush(self) -> None:
        while self._unsent and len(self._answers) < MAX_STREAMS:
            attempt, message = self._unsent.popleft()
            if self._outstanding.get(attempt.query_id) is not attempt:
                continue
            if attempt.exchange is None:  # nothing waits for it any more
                del self._outstanding[attempt.query_id]
                continue
            stream = self._quic.get_next_available_stream_id()
            self._quic.send_stream_data(stream, frame(message), end_stream=True)
            self._answers[stream] = attempt, bytearray()
            self._streams[attempt.query_id] = stream
        self._transmit()

    def _shut(self) -> None:
        self._stop(DoqError.NO_ERROR)

    def _abort(self) -> None:
        self._stop(DoqError.NO_ERROR)

    def _stop(self, code: DoqError) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._finished.done():
            self._finished.set_result(None)
        transport, self._transport = self._transport, None
        if transport is None:
            return
        self._quic.close(error_code=code)
        for datagram, _ in self._quic.datagrams_to_send(now=self.pool.loop.time()):
            transport.sendto(datagram)
        transport.close()

    # What comes

    def _pump(self) -> None:
        self._last_received_s = boottime_s()
        while not self._ended and (event := self._quic.next_event()) is not None:
            self._happened(event)
        if not self._ended and self._is_open:
            self._flush()
        elif not self._ended:
            self._transmit()

    def _happened(self, event: events.QuicEvent) -> None:
        if isinstance(event, events.StreamDataReceived):
            self._came(event)
        elif isinstance(event, events.HandshakeCompleted):
            self._proven(event)
        elif isinstance(event, events.StreamReset) and event.stream_id in self._answers:
            attempt = self._forget(event.stream_id)
            self.pool.events.unanswered(attempt, f"the stream was reset: {_name(event.error_code)}", "error")
        elif isinstance(event, events.ConnectionTerminated):
            self._end(event.reason_phrase or f"the server ended the connection: {_name(event.error_code)}")

    def _proven(self, event: events.HandshakeCompleted) -> None:
        """The handshake is over, in which the name was checked."""
        if not event.session_resumed:
            certificate = self._quic.tls._peer_certificate  # noqa: SLF001  # there is no other way to it
            if self._sessions.proofs.are_wanted:
                unproven = self._sessions.proofs.unproven(certificate.public_bytes(Encoding.DER) if certificate else b"")
                if unproven:
                    self._end(unproven)
                    return
            self._sessions.proven_s = boottime_s()
        assert self._transport is not None
        if not self._finished.done():
            self._finished.set_result(None)
        source = self._transport.get_extra_info("sockname") or ("",)
        self._opened(str(source[0]), resumed=event.session_resumed)

    def _came(self, event: events.StreamDataReceived) -> None:
        if event.stream_id & 3:  # not one that a client opens with both directions (RFC 9250, 4.2)
            self._stop(DoqError.PROTOCOL_ERROR)
            self._end("the server opened a stream")
            return
        if event.stream_id not in self._answers:
            return
        if self._ticket is not None:
            self._sessions.ticket, self._ticket = self._ticket, None
        attempt, data = self._answers[event.stream_id]
        data += event.data
        if len(data) > _STREAM_BYTES:
            self._forget(event.stream_id)
            self._quic.stop_stream(event.stream_id, DoqError.PROTOCOL_ERROR)
            self.pool.events.unanswered(attempt, f"an answer of more than {MAX_MESSAGE_BYTES} bytes")
        elif event.end_stream:
            self._forget(event.stream_id)
            if len(data) < 2 or int.from_bytes(data[:2]) != len(data) - 2:
                self.pool.events.unanswered(attempt, "a stream without one whole message")
            else:
                self._answered(attempt, bytes(data[2:]))

    def _give_up(self, attempt: Attempt, _now: float) -> None:
        """Its answer is too late to tell anything (RFC 9250, 4.3.1)."""
        if self._outstanding.get(attempt.query_id) is attempt and not self._ended:
            del self._outstanding[attempt.query_id]
            if (stream := self._streams.get(attempt.query_id)) is not None:
                self._forget(stream)
                self._quic.stop_stream(stream, DoqError.REQUEST_CANCELLED)
                self._flush()

    def _forget(self, stream: int) -> Attempt:
        attempt, _ = self._answers.pop(stream)
        self._streams.pop(attempt.query_id, None)
        return attempt

    def _keep(self, ticket: SessionTicket) -> None:
        """Told by the library, maybe before the server has proven itself: the first answer decides."""
        self._ticket = ticket

    # Datagrams and time

    @property
    def _peer(self) -> tuple[str, int]:
        return self.server.address.endpoint

    def _transmit(self) -> None:
        if self._transport is None:
            return
        for datagram, _ in self._quic.datagrams_to_send(now=self.pool.loop.time()):
            self._transport.sendto(datagram)
        at = self._quic.get_timer()
        if self._timer is not None and at != self._timer_at:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and at is not None:
            self._timer_at = at
            self._timer = self.pool.loop.call_at(at, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        if self._ended:
            return
        heard_s = self._last_received_s
        self._quic.handle_timer(now=max(self._timer_at, self.pool.loop.time()))
        self._pump()
        self._last_received_s = heard_s


def _name(code: int) -> str:
    return f"DOQ_{DoqError(code).name}" if code in set(DoqError) else f"code {code:#x}"
