"""Connections of HTTP/2 with frames that are sound, changed, or random, in pieces of any size:

    python -m tests.fuzz.http2 --connections 100000 --seed 1

Whatever comes, a session writes whole frames, holds little, keeps no memory at its end, and finds the messages that were sent.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from typing import Final

import hpack

from pdns.fast.http2 import Http2Limits, Http2Session
from pdns.wire.doh import HTTP_1_RESPONSE, max_age_s
from tests.fuzz.corpus import QUERIES, RESPONSES
from tests.http2frames import DATA, END_STREAM, Fields, encoded, frame, frames, get, headers, post, reset, start, window_update

_MOST_BYTES: Final = 300_000
_OPENING: Final = 0.55  # kinds of pieces below it open a stream
_PATHS = (b"/dns-query", b"/dns-query", b"/dns-query/token_of-a-client", b"/", b"/dns-query/")
_FIELDS = (
    (b"accept", b"*/*"),
    (b"te", b"trailers"),
    (b"content-length", b"30"),
    (b"cookie", b"x" * 5000),
    (b"A", b""),
    (b"a", b"\r"),
)


class Http2Fuzzer:
    """Makes connections from a seed, and checks what a session does with them."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._limits = Http2Limits(20, max_session_bytes=_MOST_BYTES, max_requests=50)
        self.ends: Counter[str] = Counter()
        self.requests = self.bytes = self._opened = 0

    def connection(self) -> None:
        """One, from its start to its end."""
        draw = self._draw
        session = Http2Session(self._limits, b"/dns-query", 0.0)
        wire = self._wire()
        self.bytes += len(wire)
        at, now_s, waiting = 0, 0.0, []
        is_http_1 = False
        while at < len(wire):
            size = draw.choice((1, 9, 100, 1000, 16_384, len(wire)))
            reason = session.feed(wire[at : at + size], now_s)
            at, now_s = at + size, now_s + draw.choice((0.0, 0.0, 0.1, 3.0))
            waiting += session.requests()
            draw.shuffle(waiting)
            while waiting and draw.random() < 0.7:
                self._answer(session, waiting.pop())
            if draw.random() < 0.02:
                session.leave()
            output = session.output() if draw.random() < 0.8 else b""
            is_http_1 = is_http_1 or reason == "h2_http_1"
            if is_http_1:
                assert output in (b"", HTTP_1_RESPONSE)
            else:
                list(frames(output))
            assert session.bytes_held <= _MOST_BYTES + 20_000, session.bytes_held
            if session.reason or session.check(now_s):
                break
        for one in waiting:
            self._answer(session, one)
        session.output()
        self.ends[session.reason or "open"] += 1
        del session
        assert self._limits.bytes_held == 0

    def _answer(self, session: Http2Session, request: tuple[int, bytes, bytes]) -> None:
        stream, message, token = request
        self.requests += 1
        assert 12 <= len(message) <= 65_535
        assert token in (b"", b"token_of-a-client") or len(token) <= 128
        answer = self._draw.choice((message, self._draw.choice(RESPONSES), bytes(self._draw.choice((500, 5000, 60_000)))))
        if self._draw.random() < 0.9:
            session.answer(stream, answer, max_age_s(answer))
        else:
            session.turn_away(stream, self._draw.choice((404, 429, 503)))

    def _wire(self) -> bytes:
        draw = self._draw
        if draw.random() < 0.02:
            return draw.choice((b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"POST /dns-query", draw.randbytes(50)))
        encoder = hpack.Encoder()
        wire = bytearray(start(*draw.choice(((), (), ((4, 0),), ((4, 100), (1, 0)), ((5, 1 << 20),), ((3, 1),)))))
        stream = self._opened = 1
        wildness = draw.choice((0.78, 0.78, 0.8, 1.0))  # most connections are to get far
        for _ in range(draw.choice((5, 60, 300))):
            kind = draw.random() * wildness
            wire += self._piece(stream, encoder, kind)
            if wildness < 1.0 and kind >= _OPENING:
                continue
            stream += draw.choice((2, 2, 2, 2, 4)) if wildness < 1.0 else draw.choice((0, 2, 4))
        for _ in range(draw.choice((0, 1, 3)) if wildness == 1.0 else 0):
            where = draw.randrange(24, len(wire))
            wire[where : where + draw.randrange(3)] = draw.randbytes(draw.randrange(3))
        return bytes(wire)

    def _piece(self, stream: int, encoder: hpack.Encoder, kind: float) -> bytes:
        """A request, or something else."""
        draw = self._draw
        message = draw.choice(QUERIES)
        if kind < _OPENING:
            self._opened = stream
        if kind < 0.3:
            return headers(stream, get(draw.choice(_PATHS), message))
        if kind < 0.5:
            ends = frame(DATA, END_STREAM, stream, message[draw.randrange(len(message) + 1) :])
            return headers(stream, post(draw.choice(_PATHS), *self._more()), ends=False) + frame(DATA, 0, stream, message) + ends
        if kind < _OPENING:
            return frame(1, 5, stream, encoder.encode(get(draw.choice(_PATHS), message)))
        if kind < 0.7:
            return reset(max(1, self._opened - draw.choice((0, 2, 4))), draw.choice((0, 8, 1 << 31)))
        if kind < 0.76:
            return window_update(draw.choice((0, self._opened)), draw.choice((1, 65_535)))
        if kind < 0.78:
            return draw.choice((frame(6, 0, 0, bytes(8)), frame(4), frame(2, 0, stream, bytes(5)), frame(0x42, 0, 0, bytes(30))))
        if kind < 0.83:
            block = encoder.encode([*get(draw.choice(_PATHS), message), *self._more()])
            return frame(1, draw.choice((5, 5, 5, 4, 1, 0x2D)), stream, block)
        if kind < 0.87:
            return window_update(draw.choice((0, stream, max(1, stream - 2))), draw.choice((0, (1 << 31) - 1)))
        if kind < 0.9:
            payload = draw.randbytes(draw.choice((0, 4, 5, 6, 8, 8, 12, 30)))
            return frame(draw.randrange(12), draw.choice((0, 1, 4, 5, 8, 0x20, 0xFF)), draw.choice((0, stream, stream)), payload)
        if kind < 0.95:
            return frame(1, 4, stream, draw.randbytes(20)) + frame(9, draw.choice((0, 4)), stream, encoded(get(message=message)))
        return frame(DATA, draw.choice((0, 1, 9)), max(1, stream - 2), bytes(draw.choice((0, 1, 100, 16_384))))

    def _more(self) -> Fields:
        return self._draw.choices(_FIELDS, k=1) if self._draw.random() < 0.2 else []


def main() -> int:
    """0: nothing was found; else the process ends where it was."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.http2", description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--connections", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began_s = time.perf_counter()
    fuzzer = Http2Fuzzer(arguments.seed)
    for _ in range(arguments.connections):
        fuzzer.connection()
    lasted_s = time.perf_counter() - began_s
    sys.stdout.write(
        f"  {arguments.connections:,} connections of seed {arguments.seed}, {fuzzer.bytes:,} bytes, {fuzzer.requests:,} requests"
        f" in {lasted_s:.0f} s\n"
    )
    for reason, count in sorted(fuzzer.ends.items()):
        sys.stdout.write(f"  {reason:20} {count:>9,}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
