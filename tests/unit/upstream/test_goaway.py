"""GOAWAY frames are taken out of a stream of frames, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.errors import WireError
from pdns.upstream.goaway import MAX_FRAME_BYTES, GoawayFilter


def frame(kind: int, payload: bytes, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, 0)) + stream.to_bytes(4) + payload


def goaway(last: int, debug: bytes = b"") -> bytes:
    return frame(7, last.to_bytes(4) + bytes(4) + debug)


PIECES = st.one_of(
    st.builds(frame, st.integers(0, 6), st.binary(max_size=40), st.integers(0, 9)),
    st.builds(goaway, st.integers(0, 2**31 - 1), st.binary(max_size=20)),
)


@given(st.lists(PIECES, max_size=8), st.lists(st.integers(1, 30), max_size=40))
def test_any_cut(frames: list[bytes], cuts: list[int]) -> None:
    """What comes out is the other frames, in order; the lowest stream of all GOAWAY frames counts."""
    data = b"".join(frames)
    seen, at, found = GoawayFilter(), 0, b""
    for cut in [*cuts, len(data)]:
        found += seen.feed(data[at : at + cut])
        at += cut
    assert found == b"".join(one for one in frames if one[3] != 7)
    last = [int.from_bytes(one[9:13]) for one in frames if one[3] == 7]
    assert seen.last_stream == (min(last) if last else None)


def test_a_frame_too_long() -> None:
    """A length above what was agreed is refused before its bytes come."""
    GoawayFilter().feed(frame(0, bytes(MAX_FRAME_BYTES)))
    with pytest.raises(WireError):
        GoawayFilter().feed((MAX_FRAME_BYTES + 1).to_bytes(3) + bytes(6))
