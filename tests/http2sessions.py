"""A session of DNS over HTTPS without its connection, and what ends it."""

from __future__ import annotations

from collections.abc import Iterable

from pdns.fast.http2 import Http2Limits, Http2Session
from tests.http2frames import get, start

MESSAGE = bytes(12) + b"\x03www\x07example\x03com\0\0\1\0\1"
GET = get(message=MESSAGE)
MOST_BYTES = 1 << 20  # that a session may hold
A_SECOND = 5000  # frames that a quick attacker may send in one


def session_of(limits: Http2Limits | None = None, *settings: tuple[int, int]) -> Http2Session:
    """One that has got what a client begins with, and has written what it begins with."""
    session = Http2Session(limits or Http2Limits(100), b"/dns-query", 0.0)
    assert session.feed(start(*settings), 0.0) == ""
    assert session.output()
    return session


def ended_by(session: Http2Session, attack: Iterable[bytes], *, answer: bytes | None = MESSAGE, per_s: int = A_SECOND) -> str:
    """Why the session ends; "" if it does not. What can be answered is answered at once, unless there is no `answer`."""
    for number, data in enumerate(attack):
        reason = session.feed(data, number / per_s)
        assert session.bytes_held <= MOST_BYTES
        if reason:
            return reason
        for stream, _, _ in session.requests():
            if answer is not None:
                session.answer(stream, answer, 5)
        session.output()
        if session.reason:
            return session.reason
    return ""
