"""What a session of DNS over HTTPS does with every attack on HTTP/2: it ends, says why, and holds little."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.http2frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    PING,
    PRIORITY,
    SETTINGS,
    encoded,
    frame,
    frames,
    headers,
    post,
    reset,
    window_update,
)
from tests.http2sessions import A_SECOND, GET, MESSAGE, ended_by, session_of


def rapid_resets() -> Iterator[bytes]:
    for stream in itertools.count(1, 2):
        yield headers(stream, GET) + reset(stream)


def made_resets() -> Iterator[bytes]:
    """The server is made to reset each stream that it has begun to work on, by a window that gets too large (CVE-2025-8671)."""
    for stream in itertools.count(1, 2):
        yield headers(stream, GET) + window_update(stream, (1 << 31) - 1)


def wrong_lengths() -> Iterator[bytes]:
    """The same, by bodies that are longer than their fields say."""
    for stream in itertools.count(1, 2):
        yield headers(stream, post(b"/dns-query", (b"content-length", b"1")), ends=False) + frame(DATA, 0, stream, bytes(100))


def malformed() -> Iterator[bytes]:
    for stream in itertools.count(1, 2):
        yield headers(stream, [*GET, (b"transfer-encoding", b"chunked")])


def continuations() -> Iterator[bytes]:
    yield frame(HEADERS, END_STREAM, 1, encoded(GET))
    for _ in range(A_SECOND):
        yield frame(CONTINUATION, 0, 1, b"")


def long_continuations() -> Iterator[bytes]:
    yield frame(HEADERS, END_STREAM, 1, encoded(GET))
    for _ in range(A_SECOND):
        yield frame(CONTINUATION, 0, 1, encoded([(b"a", b"x" * 16_000)]))


def table_bomb() -> Iterator[bytes]:
    """One field of 4,000 bytes in the table of the connection, and then many names for it, of one byte each."""
    yield frame(HEADERS, END_HEADERS | END_STREAM, 1, encoded(GET) + b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4000)
    yield frame(HEADERS, END_HEADERS | END_STREAM, 3, encoded(GET) + b"\xbe" * 16_000)


def many(data: bytes) -> Iterator[bytes]:
    return itertools.repeat(data, A_SECOND)


def empty_data() -> Iterator[bytes]:
    yield headers(1, post(), ends=False)
    yield from many(frame(DATA, 0, 1))


def padded_data() -> Iterator[bytes]:
    """One byte a frame."""
    yield headers(1, post(), ends=False)
    yield from many(frame(DATA, 0, 1, b"x"))


def refused_streams() -> Iterator[bytes]:
    for stream in itertools.count(1, 2):
        yield headers(stream, post(), ends=False)


def priorities() -> Iterator[bytes]:
    for stream in itertools.count(1, 2):
        yield frame(PRIORITY, 0, stream, bytes(5))


SMALL_SETTING = (4).to_bytes(2) + (0).to_bytes(4)
ATTACKS = {
    "rapid resets": (rapid_resets(), "h2_resets"),
    "resets that the server is made to send": (made_resets(), "h2_invalid_frames"),
    "bodies of the wrong length": (wrong_lengths(), "h2_invalid_frames"),
    "malformed requests": (malformed(), "h2_invalid_frames"),
    "continuations": (continuations(), "h2_continuations"),
    "long continuations": (long_continuations(), "h2_headers"),
    "a table as a bomb": (table_bomb(), "h2_headers"),
    "settings": (many(frame(SETTINGS, 0, 0, SMALL_SETTING)), "h2_settings"),
    "pings": (many(frame(PING, 0, 0, bytes(8))), "h2_pings"),
    "answers to pings": (many(frame(PING, 1, 0, bytes(8))), "h2_pings"),
    "priorities": (priorities(), "h2_priorities"),
    "window updates": (many(window_update(0, 1)), "h2_window_updates"),
    "empty data": (empty_data(), "h2_empty_data"),
    "data of one byte": (padded_data(), "h2_empty_data"),
    "unknown frames": (many(frame(0x55, 0, 0, bytes(100))), "h2_wasted_bytes"),
    "data for a closed stream": (itertools.chain([headers(1, GET)], many(frame(DATA, 0, 1, bytes(1000)))), "h2_wasted_bytes"),
    "fields for a closed stream": (many(headers(1, GET)), "h2_invalid_frames"),
    "farewells": (itertools.chain([headers(1, post(), ends=False)], many(frame(GOAWAY, 0, 0, bytes(8)))), "h2_goaways"),
    "resets of closed streams": (itertools.chain([headers(1, GET)], many(reset(1))), "h2_resets"),
    "too many streams": (refused_streams(), "h2_refused_streams"),
}


@pytest.mark.parametrize(("attack", "reason"), ATTACKS.values(), ids=ATTACKS)
def test_attacks_end_the_connection(attack: Iterator[bytes], reason: str) -> None:
    """Within a second of it, with a GOAWAY that says ENHANCE_YOUR_CALM; nothing is read after that."""
    session = session_of()
    assert ended_by(session, itertools.islice(attack, A_SECOND)) == reason
    (goaway,) = frames(session.output())
    assert goaway.kind == GOAWAY
    assert int.from_bytes(goaway.payload[4:]) == ENHANCE_YOUR_CALM
    assert session.output() == b""
    assert session.feed(headers(2**31 - 1, GET), 1.0) == reason
    assert session.requests() == []


@pytest.mark.parametrize("attack", [rapid_resets, made_resets])
def test_streams_that_are_gone_count_while_they_are_processed(attack: Callable[[], Iterator[bytes]]) -> None:
    """Queries that wait for an upstream: resets, of either kind, make no room for more of them."""
    session = session_of()
    waiting = 0
    for number, data in enumerate(itertools.islice(attack(), 1000)):
        stream = 2 * number + 1
        now_s = 10.0 * number  # slower than any budget of frames
        if session.feed(headers(stream, GET), now_s):
            break
        waiting += len(session.requests())
        session.feed(data[len(headers(stream, GET)) :], now_s)
        session.output()
    assert session.reason == "h2_abandoned"
    assert waiting == session.abandoned == 51
    for stream in range(1, 2 * waiting, 2):
        assert not session.answer(stream, MESSAGE, 5)
    assert session.abandoned == 0


def test_answers_after_a_reset_make_room_again() -> None:
    """A client that changes its mind now and then is served for ever."""
    session = session_of()
    for number in range(1000):
        stream = 2 * number + 1
        assert session.feed(headers(stream, GET), float(number)) == ""
        assert [found for found, _, _ in session.requests()] == [stream]
        assert session.feed(reset(stream), float(number)) == ""
        assert session.abandoned == 1
        assert not session.answer(stream, MESSAGE, 5)
        assert session.output() == b""
    assert session.bytes_held < 32_000


def test_a_reset_request_is_not_taken_up() -> None:
    """One that is reset before its turn costs nothing more."""
    session = session_of()
    session.feed(b"".join(headers(stream, GET) + (reset(stream) if stream % 4 == 1 else b"") for stream in range(1, 41, 2)), 0.0)
    assert [stream for stream, _, _ in session.requests()] == list(range(3, 41, 4))
