"""Content-Encoding gzip and deflate (RFC 9110, 8.4.1), a bounded piece at a time, so that a bomb never is in memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

PIECE_BYTES = 256 * 1024
MAX_SMALL_STREAMS = 1000  # in a row; more of them must unpack to `LEAST_STREAM_BYTES` each
LEAST_STREAM_BYTES = 4096
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS


class InflateError(ValueError):
    """Bytes that are not what the header said. `str()` is the reason."""


class StreamCount:
    """Compressed streams in a row. Each costs time, so that many without content would cost hours for nothing."""

    def __init__(self) -> None:
        self.content_bytes = 0
        self._left = MAX_SMALL_STREAMS

    def begin(self) -> None:
        """Count another stream. Raises `InflateError` when there are too many for what they unpack to."""
        self._left -= 1
        if self._left + self.content_bytes // LEAST_STREAM_BYTES < 0:
            raise InflateError(
                f"packed in too many parts for its size (more than {MAX_SMALL_STREAMS:,} that unpack to less than "
                f"{LEAST_STREAM_BYTES:,} bytes): made to do harm; if it is a list, it must be packed as one part"
            )


class Decoder(Protocol):
    """Turns the body as sent into the content."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces of content, each at most `PIECE_BYTES`. Raises `InflateError`."""
        ...

    def finish(self) -> None:
        """Say that the body is over. Raises `InflateError` when the content is not."""
        ...


def decoder(content_encoding: str) -> Decoder:
    """The decoder for a Content-Encoding header. Raises `InflateError` for one that was not asked for."""
    match content_encoding.strip().lower():
        case "" | "identity":
            return _Identity()
        case "gzip" | "x-gzip":
            return _Inflate()
        case "deflate":
            return _Inflate(raw_too=True)
        case other:
            raise InflateError(f"the body is encoded as {other!r}, which was not asked for")


class _Identity:
    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def finish(self) -> None:
        pass


class _Inflate:
    def __init__(self, *, raw_too: bool = False) -> None:
        self._raw_too = raw_too  # some servers say deflate and send it without the zlib header
        self._engine = zlib.decompressobj(_ZLIB_OR_GZIP)
        self._head = b""
        self._streams = StreamCount()

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._raw_too:
            self._head += data
            if len(self._head) < 2:
                return
            data, self._head, self._raw_too = self._head, b"", False
            if not _has_zlib_header(data):
                self._engine = zlib.decompressobj(_RAW)
        while data:
            if self._engine.eof:  # gzip may be several members in a row (RFC 1952, 2.2)
                self._streams.begin()
                self._engine = zlib.decompressobj(_ZLIB_OR_GZIP)
            yield from self._inflate(data)
            data = self._engine.unused_data if self._engine.eof else b""

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        engine = self._engine
        try:
            while piece := engine.decompress(data, PIECE_BYTES):
                self._streams.content_bytes += len(piece)
                yield piece
                data = engine.unconsumed_tail  # empty, it may still hold content back
                if engine.eof:
                    break
        except zlib.error as exc:
            raise InflateError(f"the compressed body is damaged ({exc})") from None

    def finish(self) -> None:
        if not self._engine.eof:
            raise InflateError("the compressed body ends in the middle")


def _has_zlib_header(data: bytes) -> bool:
    return data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0  # RFC 1950, 2.2
