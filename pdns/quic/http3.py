"""HTTP/3 (RFC 9114) on one connection: aioquic's, without what DNS over HTTPS does not need."""

from __future__ import annotations

from typing import Final

import pylsqpack
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import ErrorCode as Http3Error
from aioquic.h3.connection import FrameType, H3Connection, Setting, encode_frame

from pdns.wire.doh import MAX_HEADERS_BYTES

ALPN: Final = "h3"
UNIDIRECTIONAL_STREAMS: Final = 6  # control, QPACK encoder and decoder; the others are for types that are ignored (RFC 9114, 9)

__all__ = ["ALPN", "UNIDIRECTIONAL_STREAMS", "Http3", "Http3Error"]


class Http3(H3Connection):
    """No dynamic table, so a request depends on no other and holds no memory (RFC 9204, 3.2); no extended CONNECT."""

    def _init_connection(self) -> None:
        self._max_table_capacity = self._blocked_streams = 0
        self._decoder = pylsqpack.Decoder(0, 0)
        super()._init_connection()

    def _get_local_settings(self) -> dict[int, int]:
        return {
            Setting.QPACK_MAX_TABLE_CAPACITY: 0,
            Setting.QPACK_BLOCKED_STREAMS: 0,
            Setting.MAX_FIELD_SECTION_SIZE: MAX_HEADERS_BYTES,
        }

    def respond(self, stream_id: int, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole response."""
        self.send_headers(stream_id, fields, end_stream=not body)
        if body:
            self.send_data(stream_id, body, end_stream=True)

    def go_away(self, next_stream_id: int) -> None:
        """Requests from `next_stream_id` on are not answered (RFC 9114, 5.2)."""
        if self._local_control_stream_id is not None:
            frame = encode_frame(FrameType.GOAWAY, encode_uint_var(next_stream_id))
            self._quic.send_stream_data(self._local_control_stream_id, frame)

    def forget(self, stream_id: int) -> None:
        """Keep nothing of a request that was abandoned."""
        self._stream.pop(stream_id, None)
