"""Objects of the store, packed with Zstandard: named by the SHA-256 of what is stored, bounded in what they unpack to."""

from __future__ import annotations

import hashlib
import importlib
import io
from types import ModuleType
from typing import BinaryIO, Final

from feeds.fleet.release import StoredObject
from pdns.errors import PdnsError

LEVEL: Final = 9  # of a million names: 1.5 s; level 15 is 3 % smaller and takes seven times as long
DELTA_LEVEL: Final = 19  # of what is small
_SMALL_BYTES: Final = 4 * 1024 * 1024
_MAX_WINDOW_BYTES: Final = 8 * 1024 * 1024  # as the levels use it
_CHUNK_BYTES: Final = 1024 * 1024


class BadObject(PdnsError):
    """Bytes that are not the object which a release names."""


class MissingLibrary(PdnsError):
    """A library that fleets need is not installed. The message says what to run."""


def zstandard() -> ModuleType:
    """The library. Raises `MissingLibrary`."""
    try:
        return importlib.import_module("zstandard")
    except ImportError:
        raise MissingLibrary("fleets need the library zstandard: pip install 'protective-dns[fleet]'") from None


def path_of(sha256: str) -> str:
    """Where in a store the object with that hash is."""
    return f"objects/{sha256}.zst"


def pack(source: BinaryIO, out: BinaryIO) -> StoredObject:
    """Pack all of `source` into `out`: the same content gives the same bytes. Raises `OSError` and `MissingLibrary`."""
    size = source.seek(0, io.SEEK_END)
    source.seek(0)
    library = zstandard()
    engine = library.ZstdCompressor(
        compression_params=library.ZstdCompressionParameters.from_level(
            DELTA_LEVEL if size <= _SMALL_BYTES else LEVEL, source_size=size, write_checksum=False, window_log=23
        )
    ).compressobj(size=size)
    digest, packed_bytes = hashlib.sha256(), 0

    def put(data: bytes) -> None:
        nonlocal packed_bytes
        packed_bytes += len(data)
        digest.update(data)
        out.write(data)

    while chunk := source.read(_CHUNK_BYTES):
        put(engine.compress(chunk))
    put(engine.flush())
    return StoredObject(sha256=digest.hexdigest(), bytes=packed_bytes, unpacked_bytes=size)


def unpack(data: bytes, expected: StoredObject) -> BinaryIO:
    """What is packed in `data`, to be read once. Nothing is unpacked before it is read, and never more than `expected` says.

    Raises `BadObject`, also when it is read, and `MissingLibrary`.
    """
    if len(data) != expected.bytes or hashlib.sha256(data).hexdigest() != expected.sha256:
        raise BadObject(f"object {expected.sha256[:16]}: not the bytes that the release names")
    library = zstandard()
    engine = library.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).stream_reader(io.BytesIO(data))
    return io.BufferedReader(_Bounded(engine, library.ZstdError, expected), _CHUNK_BYTES)


class _Bounded(io.RawIOBase):
    def __init__(self, engine: BinaryIO, error: type[Exception], expected: StoredObject) -> None:
        self._engine, self._error, self._expected = engine, error, expected
        self._left = expected.unpacked_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        name = f"object {self._expected.sha256[:16]}"
        try:
            data = self._engine.read(len(buffer))
        except self._error as exc:
            raise BadObject(f"{name}: damaged: {exc}") from None
        self._left -= len(data)
        if self._left < 0 or (not data and self._left):
            raise BadObject(f"{name}: unpacks to another size than the release says")
        buffer[: len(data)] = data
        return len(data)
