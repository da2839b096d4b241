"""What a session of DNS over HTTPS does with clients that are good, slow, greedy, wrong, or of another protocol."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from pdns.fast.http2 import REASONS, Http2Limits, Http2Session
from pdns.wire.doh import HTTP_1_RESPONSE
from tests.http2frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    SETTINGS,
    Fields,
    Responses,
    encoded,
    frame,
    headers,
    post,
    start,
    window_update,
)
from tests.http2sessions import GET, MESSAGE, ended_by, session_of


def test_answers_that_are_not_taken_are_bounded() -> None:
    """With windows of zero, large answers wait; the one that is too much ends the connection, others are not harmed."""
    limits = Http2Limits(100, max_session_bytes=300_000)
    other = session_of(limits)
    session = session_of(limits, (4, 0))
    attack = (headers(stream, GET) for stream in itertools.count(1, 2))
    assert ended_by(session, itertools.islice(attack, 100), answer=bytes(20_000)) == "h2_memory"
    assert session.bytes_held < 310_000
    assert ended_by(other, [headers(1, GET)]) == ""


def test_all_sessions_together_are_bounded() -> None:
    """When all hold too much, those that hold much end first."""
    limits = Http2Limits(100, max_bytes=500_000)
    sessions = [session_of(limits, (4, 0)) for _ in range(8)]
    attack = b"".join(headers(stream, GET) for stream in range(1, 21, 2))
    ends = [ended_by(session, [attack], answer=bytes(12_000)) for session in sessions]
    assert ends.count("h2_memory") >= 3
    assert limits.bytes_held < 700_000
    assert ended_by(session_of(limits), [headers(1, GET)]) == ""
    del sessions
    assert limits.bytes_held == 0


def test_slow_peers_are_noticed() -> None:
    """A request that does not become whole, by fields or body, and an answer that is not taken; not a wait for an upstream."""
    for begun in (frame(HEADERS, END_STREAM, 1, encoded(GET)), headers(1, post(), ends=False) + frame(DATA, 0, 1, bytes(100))):
        session = session_of()
        assert session.feed(begun, 0.0) == ""
        assert session.check(4.9) == ""
        assert session.check(5.1) == "h2_slow_request"
    session = session_of(None, (4, 0))
    assert ended_by(session, [headers(1, GET)]) == ""
    assert session.check(9.9) == ""
    assert session.check(10.1) == "h2_stalled_answer"
    session = session_of()
    assert session.feed(headers(1, GET), 0.0) == ""
    assert len(session.requests()) == 1
    assert session.check(100.0) == ""


def test_a_long_body_is_refused_while_it_comes() -> None:
    """After 65,535 bytes, with 413; the rest is not kept, and the connection stays."""
    session, responses = session_of(), Responses()
    session.feed(headers(1, post(), ends=False), 0.0)
    for _ in range(20):
        assert session.feed(frame(DATA, 0, 1, bytes(4000)), 0.0) == ""
        responses.take(session.output())
    assert responses.status(1) == 413
    assert responses.resets == {1: 0}
    assert session.bytes_held < 32_000
    assert ended_by(session, [headers(3, GET)]) == ""


def test_the_longest_message_is_read() -> None:
    """65,535 bytes, and an answer as long, as windows allow."""
    session, responses = session_of(), Responses()
    wire = headers(1, post(), ends=False)
    wire += b"".join(frame(DATA, 0, 1, bytes(16_384)) for _ in range(3)) + frame(DATA, END_STREAM, 1, bytes(16_383))
    session.feed(wire, 0.0)
    assert [(stream, len(message)) for stream, message, _ in session.requests()] == [(1, 65_535)]
    assert session.answer(1, bytes(65_535), 5)
    responses.take(session.output())
    assert len(responses.bodies[1]) == 65_535
    assert responses.ended == {1}


def test_queries_of_a_connection_are_bounded() -> None:
    """The last one is answered, then the connection ends without a fault; the client opens another."""
    session, responses = session_of(Http2Limits(100, max_requests=10)), Responses()
    session.feed(b"".join(headers(stream, GET) for stream in range(1, 31, 2)), 0.0)
    for stream, _, _ in session.requests():
        session.answer(stream, MESSAGE, 5)
    responses.take(session.output())
    assert sorted(responses.ended) == list(range(1, 20, 2))
    assert responses.goaway == 0
    assert session.reason == "h2_done"


def test_a_drained_session_answers_what_it_has() -> None:
    """After GOAWAY, and ends with the last answer."""
    session, responses = session_of(), Responses()
    session.feed(headers(1, GET), 0.0)
    assert len(session.requests()) == 1
    session.leave()
    responses.take(session.output())
    assert (responses.goaway, session.reason) == (0, "")
    session.feed(headers(3, GET), 0.0)
    assert session.requests() == []
    assert session.answer(1, MESSAGE, 5)
    responses.take(session.output())
    assert (responses.ended, session.reason) == ({1}, "h2_done")


@pytest.mark.parametrize(
    "request_line",
    [b"GET /dns-query?dns=AAAB HTTP/1.1\r\n", b"POST / HTTP/1.1\r\n", b"PUT / HTTP/1.0\r\n", b"OPTIONS * HTTP/1.1"],
)
@pytest.mark.parametrize("size", [1, 100])
def test_http_1_gets_a_text(request_line: bytes, size: int) -> None:
    """In its own kind, whatever the pieces are; an upgrade is not offered."""
    session = Http2Session(Http2Limits(100), b"/dns-query", 0.0)
    wire = request_line + b"Host: dns.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
    reasons = [session.feed(wire[at : at + size], 0.0) for at in range(0, len(wire), size)]
    assert reasons[-1] == "h2_http_1"
    assert session.output() == HTTP_1_RESPONSE
    assert session.output() == b""


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x02\x00\x01", b"\0\x1d" + MESSAGE, b"PRI * HTTP/2.0\r\n\r\nXX", b"get / HTTP/1.1"]
)
def test_other_protocols_get_nothing(junk: bytes) -> None:
    """TLS inside of TLS, DNS over TLS, and a preface that goes wrong."""
    session = Http2Session(Http2Limits(100), b"/dns-query", 0.0)
    assert session.feed(junk, 0.0) == "h2_not_http"
    assert session.output() == b""


BROKEN = {
    "no settings first": start()[:24] + headers(1, GET),
    "an even stream": start() + headers(2, GET),
    "a window update of nothing": start() + window_update(0, 0),
    "settings that acknowledge nothing": start() + frame(SETTINGS, ACK) * 2,
    "data for no stream": start() + frame(DATA, 0, 0, b"x"),
    "a frame that is too long": start() + frame(DATA, 0, 1, bytes(16_385)),
    "an index that is not there": start() + frame(HEADERS, END_HEADERS, 1, b"\xff\xff\x7f"),
    "a frame among continuations": start() + frame(HEADERS, 0, 1, encoded(GET)) + frame(PING, 0, 0, bytes(8)),
    "a push": start() + frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4)),
    "a window that overflows": start() + window_update(0, (1 << 31) - 1),
    "a setting that cannot be": start((5, 1)),
}


@pytest.mark.parametrize("wire", BROKEN.values(), ids=BROKEN)
def test_faults_end_the_connection(wire: bytes) -> None:
    """With a GOAWAY that has another code than none."""
    session, responses = Http2Session(Http2Limits(100), b"/dns-query", 0.0), Responses()
    session.feed(wire, 0.0)
    responses.take(session.output())
    assert session.reason == "h2_protocol"
    assert responses.goaway
    assert session.output() == b""


@pytest.mark.parametrize(
    "field",
    [(b"transfer-encoding", b"chunked"), (b"te", b"gzip"), (b"connection", b"close"), (b"content-length", b"7"), (b"Upper", b"x"),
     (b"a", b"x\r\ny"), (b":path", b"/other"), (b"upgrade", b"h2c"), (b"content-length", b"x")],
)  # fmt: skip
def test_malformed_requests_are_reset(field: tuple[bytes, bytes]) -> None:
    """Two lengths, fields of HTTP/1.1, line ends in values: no request comes out, and the connection stays (RFC 9113, 8.1.1)."""
    session, responses = session_of(), Responses()
    assert session.feed(headers(1, [*post(), field], ends=False) + frame(DATA, END_STREAM, 1, MESSAGE), 0.0) == ""
    assert session.requests() == []
    responses.take(session.output())
    assert responses.resets[1] == 1
    assert ended_by(session, [headers(3, GET)]) == ""


def client_that_updates_windows() -> Iterator[bytes]:
    """As libraries do that acknowledge each piece of an answer, in their stream and for the connection; with a ping at times."""
    for number in range(3000):
        stream = 2 * number + 1
        yield headers(stream, GET)
        yield window_update(0, len(MESSAGE))
        if number % 10 == 0:
            yield frame(PING, 0, 0, bytes(8))
            yield frame(PRIORITY, 0, stream, bytes(5))


def client_that_pings() -> Iterator[bytes]:
    return itertools.repeat(frame(PING, 0, 0, bytes(8)), 1000)


def test_good_clients_are_served_for_ever() -> None:
    """No budget ends what a library does, be it quick, or idle for hours with a ping now and then."""
    session = session_of()
    assert ended_by(session, client_that_updates_windows(), per_s=100_000) == ""
    assert ended_by(session, client_that_pings(), per_s=1) == ""
    assert session.bytes_held < 64_000


def test_a_stream_is_answered_once() -> None:
    """And one that never was is not."""
    session = session_of()
    session.feed(headers(1, GET), 0.0)
    assert session.turn_away(1, 404) is False  # it was not taken up
    assert len(session.requests()) == 1
    assert session.turn_away(1, 429)
    assert not session.answer(1, MESSAGE, 5)
    assert not session.answer(7, MESSAGE, 5)
    responses = Responses()
    responses.take(session.output())
    assert responses.status(1) == 429


def test_a_session_is_small() -> None:
    """While nothing is asked."""
    session = session_of()
    ended_by(session, [headers(1, GET)])
    assert session.bytes_held < 28_000


def test_reasons_are_labels() -> None:
    """One for each end."""
    assert len(set(REASONS)) == len(REASONS)
    assert all(reason.startswith("h2_") for reason in REASONS[1:])


def test_fields_of_attacks_are_sound() -> None:
    """Else they would end for another reason."""
    sound: Fields = GET
    assert ended_by(session_of(), [headers(1, sound), headers(3, post(), ends=False) + frame(DATA, END_STREAM, 3, MESSAGE)]) == ""
