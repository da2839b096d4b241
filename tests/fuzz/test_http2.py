"""Random connections of HTTP/2, as `tests.fuzz.http2` makes them by the million."""

from __future__ import annotations

from tests.fuzz.http2 import Http2Fuzzer


def test_random_connections_do_no_harm() -> None:
    """Whole frames come out, nothing stays in memory, and most kinds of ends are seen."""
    fuzzer = Http2Fuzzer(1)
    for _ in range(400):
        fuzzer.connection()
    assert fuzzer.requests > 400
    assert len(fuzzer.ends) >= 8
