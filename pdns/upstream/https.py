"""Queries over HTTP/2 (RFC 8484, RFC 9113): POST, one stream for each."""

from __future__ import annotations

from typing import ClassVar

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from pdns.clock import boottime_s
from pdns.upstream.doh_response import DohResponse
from pdns.upstream.exchange import Attempt
from pdns.upstream.goaway import GoawayFilter
from pdns.upstream.streams import StreamPool
from pdns.upstream.tcp import TcpConnection
from pdns.upstream.tls import UpstreamTls
from pdns.wire.framing import MAX_MESSAGE_BYTES

MAX_STREAMS = 100  # or fewer, as the server says; more queries wait
LATE_S = 5.0  # after nothing waits for an answer any more, its stream is reset
_CONNECTION_WINDOW = 1 << 24
_MAX_HEADER_BYTES = 16384
_MAX_UNSENT_BYTES = 1 << 18  # that a server does not read
_SETTINGS = {
    SettingCodes.ENABLE_PUSH: 0,
    SettingCodes.INITIAL_WINDOW_SIZE: MAX_MESSAGE_BYTES,
    SettingCodes.MAX_HEADER_LIST_SIZE: _MAX_HEADER_BYTES,
}


class HttpsConnection(TcpConnection):
    """One HTTP/2 connection."""

    numbered: ClassVar[bool] = False

    def __init__(self, pool: StreamPool, tls: UpstreamTls) -> None:
        address = pool.server.address
        self._headers = [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", address.authority.encode()),
            (b":path", address.path.encode()),
            (b"accept", b"application/dns-message"),
            (b"content-type", b"application/dns-message"),
        ]
        self._http = H2Connection(
            H2Configuration(client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self._http.local_settings = Settings(client=True, initial_values=_SETTINGS)
        self._goaway = GoawayFilter()
        self._responses: dict[int, DohResponse] = {}  # by stream
        self._streams: dict[int, int] = {}  # by id of the attempt
        super().__init__(pool, tls)

    def release(self, attempt: Attempt) -> None:
        if self._streams.get(attempt.query_id) is not None:
            self.pool.timers.at(boottime_s() + LATE_S, self._give_up, attempt)
        super().release(attempt)

    # TcpConnection

    def _begun(self) -> str:
        if self._ssl_object().selected_alpn_protocol() != "h2":
            return "it does not speak HTTP/2"
        assert self._transport is not None
        self._transport.set_write_buffer_limits(high=_MAX_UNSENT_BYTES)
        self._http.initiate_connection()
        self._http.increment_flow_control_window(_CONNECTION_WINDOW)
        self._write()
        return ""

    def pause_writing(self) -> None:
        self._end("it does not read what it is sent")
        self._abort()

    def _received(self, data: bytes) -> None:
        try:
            for event in self._http.receive_data(self._goaway.feed(data)):
                if self._ended:
                    return
                self._happened(event)
        except Exception as error:  # noqa: BLE001  # of the server's making: the connection cannot be read any more
            self._write()
            self._end(f"broke HTTP/2: {error or type(error).__name__}")
            return
        if self._goaway.last_stream is not None:
            self._leave(self._goaway.last_stream)
        if not self._ended:
            self._flush()

    def _flush(self) -> None:
        http, unsent = self._http, self._unsent
        most = min(MAX_STREAMS, http.remote_settings.max_concurrent_streams)
        while unsent and not self._ended and len(self._responses) < most:
            attempt, message = unsent[0]
            if attempt.query_id not in self._outstanding:
                unsent.popleft()
                continue
            if min(http.outbound_flow_control_window, http.remote_settings.initial_window_size) < len(message):
                break  # until it takes more
            unsent.popleft()
            if attempt.exchange is None:  # nothing waits for it any more
                del self._outstanding[attempt.query_id]
                continue
            stream = http.get_next_available_stream_id()
            http.send_headers(stream, [*self._headers, (b"content-length", b"%d" % len(message))])
            http.send_data(stream, message, end_stream=True)
            self._responses[stream] = DohResponse(attempt)
            self._streams[attempt.query_id] = stream
        self._write()

    def _shut(self) -> None:
        if self._is_open and self._transport is not None and not self._transport.is_closing():
            self._http.close_connection()
            self._write()
        super()._shut()

    # What comes

    def _happened(self, event: events.Event) -> None:
        if isinstance(event, events.DataReceived):
            self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, events.PushedStreamReceived):
            raise ProtocolError("pushed a stream")
        stream: int = getattr(event, "stream_id", None) or 0
        response = self._responses.get(stream)
        if response is None:
            return
        if isinstance(event, events.ResponseReceived):
            response.head(event.headers)
        elif isinstance(event, events.DataReceived):
            response.body(event.data)
        elif isinstance(event, events.StreamEnded):
            self._forget(stream)
            if not response.refusal:
                self._answered(response.attempt, response.message())
                return
        elif isinstance(event, events.StreamReset):
            self._forget(stream)
            self._was_reset(response, event.error_code)
            return
        if response.refusal:
            self._refuse(stream, response)

    def _refuse(self, stream: int, response: DohResponse) -> None:
        """End a stream that brings no answer."""
        if stream in self._responses:
            self._forget(stream)
            self._reset(stream)
        kind = "http_error" if response.is_http_error else "malformed"
        self.pool.events.unanswered(response.attempt, response.refusal, kind)

    def _was_reset(self, response: DohResponse, code: int | None) -> None:
        if code == ErrorCodes.REFUSED_STREAM:  # it was not processed (RFC 9113, 8.7)
            self._lose(response.attempt, "the stream was refused")
        else:
            name = ErrorCodes(code).name if code in set(ErrorCodes) else code
            self.pool.events.unanswered(response.attempt, f"the stream was reset: {name}", "error")

    def _leave(self, last_stream: int) -> None:
        """The server ends the connection: it has not processed what is beyond `last_stream`."""
        if not self._retired:
            self._retire()
        for stream in [stream for stream in self._responses if stream > last_stream]:
            response = self._responses[stream]
            self._forget(stream)
            self._lose(response.attempt, "the server ends connections (GOAWAY)")
        while self._unsent and not self._ended:
            attempt, _ = self._unsent.popleft()
            if attempt.query_id in self._outstanding:
                self._lose(attempt, "the server ends connections (GOAWAY)")
        if not self.live:
            self._end("")

    def _give_up(self, attempt: Attempt, _now: float) -> None:
        """Its answer is too late to tell anything."""
        if self._outstanding.get(attempt.query_id) is attempt and not self._ended:
            del self._outstanding[attempt.query_id]
            stream = self._streams.get(attempt.query_id)
            if stream is not None:
                self._forget(stream)
                self._reset(stream)
                self._flush()

    def _forget(self, stream: int) -> None:
        self._streams.pop(self._responses.pop(stream).attempt.query_id, None)

    def _reset(self, stream: int) -> None:
        try:
            self._http.reset_stream(stream, ErrorCodes.CANCEL)
        except ProtocolError:  # it has ended
            return
        self._write()

    def _write(self) -> None:
        data = self._http.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)
