"""Bounded decompression."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest

from feeds.fetch.inflate import PIECE_BYTES, InflateError, decoder


def inflate(encoding: str, body: bytes, cut: int) -> bytes:
    engine = decoder(encoding)
    content = b""
    for at in range(0, len(body), cut):
        for piece in engine.feed(body[at : at + cut]):
            assert len(piece) <= PIECE_BYTES
            content += piece
    engine.finish()
    return content


def raw_deflate(content: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(content) + engine.flush()


@pytest.mark.parametrize("cut", [1, 2, 1000, 1 << 30])
@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
@pytest.mark.parametrize("kind", ["zeros", "noise"])
def test_content_comes_out_however_it_is_cut(size: int, cut: int, kind: str) -> None:
    """Every encoding gives its content back, in pieces of bounded size, however the network cuts the body."""
    if cut < 1000 and kind == "noise" and size > 1:
        size = 500
    content = bytes(size) if kind == "zeros" else random.Random(size).randbytes(size)
    assert inflate("gzip", gzip.compress(content), cut) == content
    assert inflate("gzip", gzip.compress(content) + gzip.compress(b"more"), cut) == content + b"more"
    assert inflate("deflate", zlib.compress(content), cut) == content
    assert inflate("deflate", raw_deflate(content), cut) == content


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_end_in_the_middle_is_seen(encoding: str) -> None:
    """A body without its last byte is not whole."""
    body = gzip.compress(b"x" * 1000) if encoding == "gzip" else zlib.compress(b"x" * 1000)
    with pytest.raises(InflateError, match="ends in the middle"):
        inflate(encoding, body[:-1], 100)


def test_unknown_encodings_are_refused() -> None:
    """What was not asked for is not guessed at."""
    with pytest.raises(InflateError, match="'zstd'"):
        decoder("zstd")
