"""A QUIC connection of a client: aioquic's, with bounds on what a peer can make it keep, and without what is not offered here.

This is the only module that knows the inside of aioquic, which is why pyproject.toml names its version so closely.
"""

# ruff: noqa: SLF001

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from aioquic import tls
from aioquic.buffer import Buffer
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE, QuicConfiguration
from aioquic.quic.connection import QuicConnection, QuicConnectionError, QuicConnectionId, QuicConnectionState, QuicReceiveContext
from aioquic.quic.packet import QuicErrorCode, QuicFrameType, QuicProtocolVersion
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream

from pdns.quic.connection_ids import CONNECTION_ID_BYTES, ConnectionIds

VERSIONS: Final = (int(QuicProtocolVersion.VERSION_1),)
STREAM_WINDOW_BYTES: Final = 4096  # of a stream; it grows as what has come is read
STREAM_BYTES: Final = 2 + 65535 + 16384  # of a stream in all: a message, or a request with its fields
CONNECTION_WINDOW_BYTES: Final = 98304  # of all streams that are not finished
MAX_CRYPTO_BYTES: Final = 32768  # of a handshake, in each direction and level
MAX_GAPS: Final = 64  # in what has come of a stream
SPARE_IDS: Final = 2
ACK_DELAY_S: Final = 0.005  # an answer that comes sooner takes the acknowledgement along
_MAX_STREAM_DATA_BYTES: Final = 17
_MAX_FRAME_BYTES: Final = 9

ChooseCertificate = Callable[[str], "ServerCertificate"]


class ServerCertificate:
    """A certificate, the others of its chain, and its key, as aioquic takes them."""

    __slots__ = ("certificate", "chain", "private_key")

    def __init__(self, certificate: Any, chain: list[Any], private_key: Any) -> None:  # objects of `cryptography`
        self.certificate = certificate
        self.chain = chain
        self.private_key = private_key


class _Silent(logging.LoggerAdapter):  # type: ignore[type-arg]  # generic since Python 3.11 only for type checkers
    """No log: a peer decides how many lines there would be."""

    def log(self, *_: Any, **__: Any) -> None:
        return

    debug = info = warning = error = log


_SILENT: Final = _Silent(logging.getLogger("quic"), {})


def server_settings(alpn: str, *, idle_timeout_s: float, certificate: ServerCertificate) -> QuicConfiguration:
    """What all connections of a listener have in common. `certificate` is used when a client names none that is there."""
    return QuicConfiguration(
        alpn_protocols=[alpn],
        is_client=False,
        idle_timeout=idle_timeout_s,
        connection_id_length=CONNECTION_ID_BYTES,
        max_data=CONNECTION_WINDOW_BYTES,
        max_stream_data=STREAM_WINDOW_BYTES,
        max_datagram_size=SMALLEST_MAX_DATAGRAM_SIZE,
        supported_versions=list(VERSIONS),
        certificate=certificate.certificate,
        certificate_chain=certificate.chain,
        private_key=certificate.private_key,
    )


class ServerConnection(QuicConnection):
    """One connection. `next_event`, `receive_datagram`, `datagrams_to_send`, `get_timer` and the others are aioquic's."""

    def __init__(
        self,
        settings: QuicConfiguration,
        ids: ConnectionIds,
        choose: ChooseCertificate,
        *,
        original_destination: bytes,
        retry_source: bytes | None,
        max_streams: int,
        max_unidirectional: int,
    ) -> None:
        super().__init__(
            configuration=settings,
            original_destination_connection_id=original_destination,
            retry_source_connection_id=retry_source,
        )
        self.server_name = ""  # that the client named; "" before it has
        self._ids, self._choose = ids, choose
        self._logger = self._loss._logger = _SILENT  # type: ignore[assignment]
        first = ids.new()
        self._host_cids = [QuicConnectionId(first, 0, ids.reset_token(first), was_sent=True)]
        self.host_cid = self._local_initial_source_connection_id = first
        self._ack_delay = ACK_DELAY_S
        for limit, most in ((self._local_max_streams_bidi, max_streams), (self._local_max_streams_uni, max_unidirectional)):
            limit.value = limit.sent = most
        self._read_bytes = 0  # of streams that are finished

    # What the owner asks.

    @property
    def client(self) -> Any:
        """The client's address, where it has been proven; None while the present one has not."""
        path = self._network_paths[0]
        return path.addr if path.is_validated else None

    @property
    def has_begun(self) -> bool:
        """Whether a client has sent a packet that its key decrypts."""
        return self._state is not QuicConnectionState.FIRSTFLIGHT

    @property
    def held_bytes(self) -> int:
        """What it has received of streams that are not finished."""
        return max(0, self._local_max_data.used - self._read_bytes)

    def finished(self, stream_id: int) -> None:
        """All of a stream that is of use has been read: its room in the window is free again."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._read_bytes += stream.receiver.highest_offset

    def consumed(self, count: int) -> None:
        """So many bytes of a stream that never ends have been read."""
        self._read_bytes += count

    def is_open(self, stream_id: int) -> bool:
        """Whether there still is such a stream: the client has not confirmed its end."""
        return stream_id in self._streams

    def acknowledge_now(self) -> None:
        """What is sent next acknowledges what was received."""
        space = self._spaces[tls.Epoch.ONE_RTT]
        if space.ack_at is not None:
            space.ack_at = 0.0

    # What is otherwise than aioquic does it.

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        context = self.tls
        context._max_early_data = None  # no 0-RTT (RFC 9250, 5.5.2.1: replays)
        context._signature_algorithms = [one for one in context._signature_algorithms if one not in _OLD_SIGNATURES]
        handle_hello = context._server_handle_hello

        def choose_first(input_buf: Buffer, initial_buf: Buffer, handshake_buf: Buffer) -> None:
            hello = tls.pull_client_hello(input_buf)
            input_buf.seek(0)
            self.server_name = hello.server_name or ""
            chosen = self._choose(self.server_name)
            context.certificate, context.certificate_chain = chosen.certificate, chosen.chain
            context.certificate_private_key = chosen.private_key
            handle_hello(input_buf, initial_buf, handshake_buf)

        context._server_handle_hello = choose_first  # type: ignore[method-assign]

    def _replenish_connection_ids(self) -> None:
        while len(self._host_cids) < min(SPARE_IDS, self._remote_active_connection_id_limit):
            fresh = self._ids.new()
            self._host_cids.append(QuicConnectionId(fresh, self._host_cid_seq, self._ids.reset_token(fresh)))
            self._host_cid_seq += 1

    def _handle_crypto_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        start = buf.tell()
        end = buf.pull_uint_var() + buf.pull_uint_var()
        buf.seek(start)
        if end > MAX_CRYPTO_BYTES:
            raise _too_much(QuicErrorCode.CRYPTO_BUFFER_EXCEEDED, frame_type)
        super()._handle_crypto_frame(context, frame_type, buf)
        if len(self._crypto_streams[context.epoch].receiver._ranges) > MAX_GAPS:
            raise _too_much(QuicErrorCode.CRYPTO_BUFFER_EXCEEDED, frame_type)

    def _handle_stream_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        start = buf.tell()
        stream_id = buf.pull_uint_var()
        buf.seek(start)
        super()._handle_stream_frame(context, frame_type, buf)
        stream = self._streams.get(stream_id)
        if stream is not None and len(stream.receiver._ranges) > MAX_GAPS:
            raise _too_much(QuicErrorCode.INTERNAL_ERROR, frame_type)

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        limit = self._local_max_data
        ahead = self._read_bytes + CONNECTION_WINDOW_BYTES
        if 2 * (ahead - limit.value) > CONNECTION_WINDOW_BYTES:
            limit.value = ahead
        used, limit.used = limit.used, 0  # aioquic doubles the window where half of it is used, whether it was read or not
        try:
            super()._write_connection_limits(builder, space)
        finally:
            limit.used = used

    def _write_stream_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream) -> None:  # noqa: ARG002
        most, number = stream.max_stream_data_local, stream.stream_id
        if not most or number is None:
            return
        read = stream.receiver.starting_offset()
        if number & 2:  # of one direction: without an end, and read as it comes
            if 2 * (most - read) < STREAM_WINDOW_BYTES:
                most = stream.max_stream_data_local = read + STREAM_WINDOW_BYTES
        elif 2 * read > most:
            most = stream.max_stream_data_local = min(STREAM_BYTES, 2 * most)
        if stream.max_stream_data_local_sent != most:
            frame = builder.start_frame(
                QuicFrameType.MAX_STREAM_DATA,
                capacity=_MAX_STREAM_DATA_BYTES,
                handler=self._on_max_stream_data_delivery,
                handler_args=(stream,),
            )
            frame.push_uint_var(number)
            frame.push_uint_var(most)
            stream.max_stream_data_local_sent = most


_OLD_SIGNATURES: Final = (tls.SignatureAlgorithm.RSA_PKCS1_SHA1,)


def _too_much(code: int, frame_type: int) -> QuicConnectionError:
    return QuicConnectionError(error_code=code, frame_type=frame_type, reason_phrase="too much is not in order")
