"""Lists that come packed - gzip, xz, zstd, zip - unpacked a bounded piece at a time, so that a bomb never is in memory."""

from __future__ import annotations

import importlib
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO, Final

from feeds.fetch.inflate import PIECE_BYTES, InflateError, decoder
from pdns.config import Feed
from pdns.errors import FeedError

MAX_MEMBERS: Final = 64  # files in one zip
MAX_RATIO: Final = 250  # unpacked to packed, of what is not small; lists come to 20
_SMALL_BYTES = 16 * 1024 * 1024
_MAX_DIRECTORY_BYTES = 256 * 1024  # of a zip: what so many members, with names that anybody gives, need
_MAX_WINDOW_BYTES = 128 * 1024 * 1024  # what xz and zstd may ask for to unpack
_ZSTD_STEP_BYTES = 256  # packed; so many never become more than 8 MiB
_ZIP_END, _ZIP64_LOCATOR = b"PK\x05\x06", b"PK\x06\x07"
_ZIP_END_BYTES, _ZIP_COMMENT_BYTES = 22, 65535


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
        for piece in unpack(file):
            unpacked_bytes += len(piece)
            if unpacked_bytes > feed.max_bytes:
                raise FeedError(feed.name, f"more than {feed.max_bytes} bytes when unpacked")
            if unpacked_bytes > max(_SMALL_BYTES, MAX_RATIO * packed_bytes):
                raise FeedError(feed.name, f"unpacks to more than {MAX_RATIO} times its size: made to do harm, not a list")
            yield piece
    except InflateError as exc:
        raise FeedError(feed.name, str(exc)) from None
    except (lzma.LZMAError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as exc:
        raise FeedError(feed.name, f"the packed list is damaged, or packed in a way that is not known here ({exc})") from None


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
    engine = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_WINDOW_BYTES)
    while True:
        data = file.read(PIECE_BYTES) if engine.needs_input else b""
        if not data and engine.needs_input:
            break
        yield engine.decompress(data, PIECE_BYTES)
        while engine.eof:  # several streams in a row, zeros between them
            rest = engine.unused_data.lstrip(b"\0")
            if not rest and not (rest := file.read(PIECE_BYTES).lstrip(b"\0")):
                return
            engine = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_WINDOW_BYTES)
            yield engine.decompress(rest, PIECE_BYTES)
    raise InflateError("the packed list ends in the middle")


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    start, error = _zstd_engine()
    engine = start()
    try:
        while data := file.read(_ZSTD_STEP_BYTES):
            while data:
                if engine.eof:
                    engine = start()
                yield engine.decompress(data)
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


def _zip(file: BinaryIO) -> Iterator[bytes]:
    _check_directory(file)
    with zipfile.ZipFile(file) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if not members:
            raise InflateError("a zip without a file in it")
        if len(members) > MAX_MEMBERS:
            raise InflateError(f"a zip of {len(members):,} files: at most {MAX_MEMBERS} are read")
        for member in members:
            if member.flag_bits & 1:
                raise InflateError("a zip with a password: unpack it first")
            last = b"\n"
            with archive.open(member) as inside:
                while piece := inside.read(PIECE_BYTES):
                    last = piece
                    yield piece
            if not last.endswith(b"\n"):
                yield b"\n"


def _check_directory(file: BinaryIO) -> None:
    """Look at how long the directory says it is before all of it is read into memory."""
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(max(0, size_bytes - _ZIP_END_BYTES - _ZIP_COMMENT_BYTES - 20))
    tail = file.read()
    end = tail.rfind(_ZIP_END)
    if end < 0 or len(tail) < end + _ZIP_END_BYTES:
        raise InflateError("the packed list ends in the middle")
    too_long = int.from_bytes(tail[end + 12 : end + 16], "little") > _MAX_DIRECTORY_BYTES
    if too_long or tail[max(0, end - 20) : end].startswith(_ZIP64_LOCATOR):
        raise InflateError(f"a zip of too many files: at most {MAX_MEMBERS} are read")


_UNPACKERS: Final[dict[bytes, Callable[[BinaryIO], Iterator[bytes]]]] = {
    b"\x1f\x8b": _gzip,
    b"\xfd7zXZ\0": _xz,
    b"\x28\xb5\x2f\xfd": _zstd,
    b"PK\x03\x04": _zip,
    _ZIP_END: _zip,
}
