"""Lists that come packed - gzip, xz, zstd, zip - unpacked a bounded piece at a time, so that a bomb never is in memory."""

from __future__ import annotations

import importlib
import lzma
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO, Final

from feeds.fetch.inflate import PIECE_BYTES, InflateError, StreamCount, decoder
from feeds.zips import END_MAGIC, MEMBER_MAGIC, unzipped
from pdns.config.schema import Feed
from pdns.errors import FeedError

MAX_RATIO: Final = 250  # unpacked to packed, of what is not small; lists come to 20
SMALL_BYTES: Final = 16 * 1024 * 1024  # which may unpack from anything
_MAX_WINDOW_BYTES = 128 * 1024 * 1024  # what xz and zstd may ask for to unpack
_ZSTD_STEP_BYTES = 256  # packed; so many never become more than 8 MiB


def is_packed(file: BinaryIO) -> bool:
    """Whether `file` begins as one of the containers does."""
    return _unpacker(file) is not None


def unpacked(file: BinaryIO, feed: Feed) -> Iterator[bytes]:
    """The content of `file` in pieces. One file after another, each on lines of its own, where a zip has several.

    Raises `FeedError` when the container is damaged, unpacks to more than `feed.max_bytes` or is a bomb, and `OSError`.
    """
    unpack = _unpacker(file)
    packed_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    if unpack is None:
        while chunk := file.read(PIECE_BYTES):
            yield chunk
        return
    unpacked_bytes = 0
    try:
        for piece in _gathered(unpack(file)):
            unpacked_bytes += len(piece)
            if unpacked_bytes > feed.max_bytes:
                raise FeedError(feed.name, f"more than {feed.max_bytes} bytes when unpacked")
            if unpacked_bytes > max(SMALL_BYTES, MAX_RATIO * packed_bytes):
                raise FeedError(feed.name, f"unpacks to more than {MAX_RATIO} times its size: made to do harm, not a list")
            yield piece
    except InflateError as exc:
        raise FeedError(feed.name, str(exc)) from None
    except lzma.LZMAError as exc:
        raise FeedError(feed.name, f"the packed list is damaged, or packed in a way that is not known here ({exc})") from None


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same content in pieces that are not small: readers copy what they hold back with each of them."""
    held: list[bytes] = []
    held_bytes = 0
    for piece in pieces:
        held.append(piece)
        held_bytes += len(piece)
        if held_bytes >= PIECE_BYTES // 2 or len(held) == PIECE_BYTES:
            yield b"".join(held)
            held, held_bytes = [], 0
    yield b"".join(held)


def _unpacker(file: BinaryIO) -> Callable[[BinaryIO], Iterator[bytes]] | None:
    file.seek(0)
    head = file.read(6)
    return next((unpack for magic, unpack in _UNPACKERS.items() if head.startswith(magic)), None)


def _gzip(file: BinaryIO) -> Iterator[bytes]:
    inflate = decoder("gzip")
    while chunk := file.read(PIECE_BYTES):
        yield from inflate.feed(chunk)
    inflate.finish()


def _xz(file: BinaryIO) -> Iterator[bytes]:
    streams = StreamCount()
    engine = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_WINDOW_BYTES)
    data = b""
    while True:
        if engine.eof:  # several streams in a row, zeros between them
            data = engine.unused_data.lstrip(b"\0")
            while not data and (data := file.read(PIECE_BYTES)):
                data = data.lstrip(b"\0")
            if not data:
                return
            streams.begin()
            engine = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_WINDOW_BYTES)
        elif engine.needs_input and not (data := file.read(PIECE_BYTES)):
            raise InflateError("the packed list ends in the middle")
        piece = engine.decompress(data, PIECE_BYTES)
        data = b""
        streams.content_bytes += len(piece)
        yield piece


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    start, error = _zstd_engine()
    streams = StreamCount()
    engine = start()
    try:
        while data := file.read(_ZSTD_STEP_BYTES):
            while data:
                if engine.eof:
                    streams.begin()
                    engine = start()
                piece = engine.decompress(data)
                streams.content_bytes += len(piece)
                yield piece
                data = engine.unused_data if engine.eof else b""
    except error as exc:
        raise InflateError(f"the packed list is damaged ({exc})") from None
    if not engine.eof:
        raise InflateError("the packed list ends in the middle")


def _zstd_engine() -> tuple[Callable[[], Any], type[Exception]]:  # Any: two libraries, alike in what is used here
    """What makes a decompressor, and what it raises: Python's own from 3.14 on, else the package `zstandard`."""
    with suppress(ImportError):
        own = importlib.import_module("compression.zstd")
        options = {own.DecompressionParameter.window_log_max: _MAX_WINDOW_BYTES.bit_length() - 1}
        return lambda: own.ZstdDecompressor(options=options), own.ZstdError
    try:
        package = importlib.import_module("zstandard")
    except ImportError:
        raise InflateError("packed with zstd, which this Python cannot unpack: install the package zstandard") from None
    return package.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).decompressobj, package.ZstdError


_UNPACKERS: Final[dict[bytes, Callable[[BinaryIO], Iterator[bytes]]]] = {
    b"\x1f\x8b": _gzip,
    b"\xfd7zXZ\0": _xz,
    b"\x28\xb5\x2f\xfd": _zstd,
    MEMBER_MAGIC: unzipped,
    END_MAGIC: unzipped,
}
