"""What the streams of one connection ask, for DNS over QUIC and for DNS over HTTP/3, and how an answer or its absence is told."""

from __future__ import annotations

from typing import Final, Protocol

from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.events import QuicEvent, StopSendingReceived, StreamDataReceived, StreamReset

from pdns.ipc.relay_frames import RelayAnswer
from pdns.quic.doq import DoqErrorCode, DoqStream, DoqViolation, framed
from pdns.quic.http3 import Http3, Http3Error
from pdns.quic.transport import ServerConnection
from pdns.wire.doh import REFUSALS, DohRequest, answer_headers, refusal_headers

_UNIDIRECTIONAL: Final = 2
_BUSY: Final = 503
_NOT_ANSWERED: Final = 400


class Asker(Protocol):
    """The part of a connection that is needed here."""

    quic: ServerConnection

    def ask(self, stream_id: int, message: bytes, token: bytes) -> bool:
        """Hand a message to a worker; `answer` follows. False: there are too many."""

    def end(self, code: int, why: str) -> None:
        """Close the connection, which has done something wrong: `why` is a label."""


class Queries(Protocol):
    """One for each connection."""

    no_error: int
    excessive_load: int

    def take(self, event: QuicEvent, now_s: float) -> None:
        """Something has happened on a stream."""

    def answer(self, stream_id: int, answer: RelayAnswer) -> None:
        """The worker has answered a message, or will not."""

    def go_away(self) -> None:
        """Tell the client to ask no more here, if the protocol can."""

    def oldest_s(self) -> float | None:
        """Since when the oldest query has not been whole; None: all are."""


class DoqQueries:
    """RFC 9250: one query on each bidirectional stream of the client."""

    no_error = int(DoqErrorCode.NO_ERROR)
    excessive_load = int(DoqErrorCode.EXCESSIVE_LOAD)

    def __init__(self, asker: Asker) -> None:
        self._asker, self._quic = asker, asker.quic
        self._streams: dict[int, DoqStream] = {}  # without a whole query; the oldest first
        self._asked: set[int] = set()

    def take(self, event: QuicEvent, now_s: float) -> None:
        if isinstance(event, StreamDataReceived):
            self._data(event.stream_id, event.data, event.end_stream, now_s)
        elif isinstance(event, StreamReset | StopSendingReceived):
            self._cancelled(event.stream_id)

    def _data(self, stream_id: int, data: bytes, ended: bool, now_s: float) -> None:
        stream = self._streams.pop(stream_id, None) or DoqStream(now_s)
        try:
            message = stream.feed(data, ended=ended)
        except DoqViolation as error:
            self._asker.end(DoqErrorCode.PROTOCOL_ERROR, str(error))
            return
        if message is None:
            self._streams[stream_id] = stream
            return
        self._quic.finished(stream_id)
        self._asked.add(stream_id)
        if not self._asker.ask(stream_id, message, b""):
            self._refuse(stream_id, DoqErrorCode.EXCESSIVE_LOAD)

    def _cancelled(self, stream_id: int) -> None:
        if self._streams.pop(stream_id, None) is not None:
            self._quic.finished(stream_id)
        self._refuse(stream_id, DoqErrorCode.REQUEST_CANCELLED)

    def answer(self, stream_id: int, answer: RelayAnswer) -> None:
        if stream_id not in self._asked:
            return  # the client has cancelled it
        if not answer.message:
            self._refuse(stream_id, DoqErrorCode.EXCESSIVE_LOAD if answer.status else DoqErrorCode.INTERNAL_ERROR)
            return
        self._asked.discard(stream_id)
        self._quic.send_stream_data(stream_id, framed(answer.message), end_stream=True)

    def _refuse(self, stream_id: int, code: int) -> None:
        self._asked.discard(stream_id)
        self._quic.reset_stream(stream_id, code)

    def go_away(self) -> None:
        return

    def oldest_s(self) -> float | None:
        return min((stream.started_s for stream in self._streams.values()), default=None)


class DohQueries:
    """RFC 8484 over HTTP/3: one request on each bidirectional stream of the client."""

    no_error = int(Http3Error.H3_NO_ERROR)
    excessive_load = int(Http3Error.H3_EXCESSIVE_LOAD)

    def __init__(self, asker: Asker, base_path: bytes) -> None:
        self._asker, self._quic = asker, asker.quic
        self._http = Http3(asker.quic)
        self._base_path = base_path
        self._requests: dict[int, tuple[DohRequest, float]] = {}  # not whole; since when
        self._asked: set[int] = set()
        self._refused: set[int] = set()  # before they were whole; what still comes of them is not read
        self._next_stream_id = 0
        self._left_from: int | None = None

    def take(self, event: QuicEvent, now_s: float) -> None:
        if isinstance(event, StreamDataReceived):
            stream_id = event.stream_id
            if stream_id & _UNIDIRECTIONAL:
                self._quic.consumed(len(event.data))
            else:
                self._began(stream_id, now_s)
                if event.end_stream:
                    self._quic.finished(stream_id)
                    self._refused.discard(stream_id)
        elif isinstance(event, StreamReset | StopSendingReceived):
            self._cancelled(event)
        for told in self._http.handle_event(event):
            if isinstance(told, HeadersReceived):
                self._headers(told)
            elif isinstance(told, DataReceived):
                self._body(told)

    def _began(self, stream_id: int, now_s: float) -> None:
        if stream_id >= self._next_stream_id:
            self._next_stream_id = stream_id + 4
        if not (stream_id in self._requests or stream_id in self._asked or stream_id in self._refused):
            self._requests[stream_id] = DohRequest(self._base_path), now_s

    def _headers(self, event: HeadersReceived) -> None:
        if event.stream_id not in self._requests:
            return
        request = self._requests[event.stream_id][0]
        for name, value in event.headers:
            request.header(name, value)
        self._go_on(event.stream_id, request, event.stream_ended)

    def _body(self, event: DataReceived) -> None:
        if event.stream_id not in self._requests:
            return
        request = self._requests[event.stream_id][0]
        request.data(event.data)
        self._go_on(event.stream_id, request, event.stream_ended)

    def _go_on(self, stream_id: int, request: DohRequest, ended: bool) -> None:
        if not ended:
            if status := request.refused:
                self._refused.add(stream_id)
                self._refuse(stream_id, status)
                if self._quic.is_open(stream_id):
                    self._quic.stop_stream(stream_id, Http3Error.H3_NO_ERROR)
            return
        del self._requests[stream_id]
        query = request.end()
        self._asked.add(stream_id)
        if isinstance(query, int):
            self._refuse(stream_id, query)
        elif not self._asker.ask(stream_id, query.message, query.token):
            self._refuse(stream_id, _BUSY)

    def _cancelled(self, event: StreamReset | StopSendingReceived) -> None:
        stream_id = event.stream_id
        if stream_id & _UNIDIRECTIONAL:
            return
        if self._requests.pop(stream_id, None) is not None or stream_id in self._refused:
            self._quic.finished(stream_id)
        self._asked.discard(stream_id)
        self._refused.discard(stream_id)
        self._http.forget(stream_id)
        if isinstance(event, StreamReset):
            self._quic.reset_stream(stream_id, Http3Error.H3_REQUEST_CANCELLED)

    def answer(self, stream_id: int, answer: RelayAnswer) -> None:
        if stream_id not in self._asked:
            return
        if not answer.message:
            self._refuse(stream_id, answer.status or _NOT_ANSWERED)
            return
        self._asked.discard(stream_id)
        self._http.respond(stream_id, answer_headers(len(answer.message), answer.max_age_s), answer.message)

    def _refuse(self, stream_id: int, status: int) -> None:
        self._requests.pop(stream_id, None)
        self._asked.discard(stream_id)
        self._http.respond(stream_id, refusal_headers(status), REFUSALS[status])

    def go_away(self) -> None:
        if self._left_from is None:
            self._left_from = self._next_stream_id
            self._http.go_away(self._next_stream_id)

    def oldest_s(self) -> float | None:
        return min((started_s for _, started_s in self._requests.values()), default=None)
