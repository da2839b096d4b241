"""Frame Streams, as a client that sends: how dnstap reaches a collector. The specification is that of the library fstrm.

A frame is four bytes of length and its data. Length 0 announces a control frame, with a length and a type of its own. The client
sends READY, the collector ACCEPT, the client START, then frames, and STOP; the collector confirms with FINISH that it has read
all of them.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from pdns.errors import FrameStreamError

DNSTAP: Final = b"protobuf:dnstap.Dnstap"  # the content type of dnstap
MAX_FRAME_BYTES: Final = 128 * 1024  # fstrm_capture leaves out, silently, what does not fit into its buffer of 256 KiB
ACCEPT, START, STOP, READY, FINISH = 1, 2, 3, 4, 5
_CONTENT_TYPE: Final = 1  # a field of a control frame
_MAX_CONTROL_BYTES: Final = 512
_WORD: Final = struct.Struct(">I")
_TWO_WORDS: Final = struct.Struct(">II")
_BUFFER_BYTES: Final = 256 * 1024  # sent frames that are held here at most, before `send` waits


class CollectorAddress(NamedTuple):
    """Where a collector listens: the path of a Unix socket, or a host with a port."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class FrameStream:
    """One session with a collector. Make it with `connect`, end it with `finish` or `abort`.

    Every method that waits may be cancelled, for example by a timeout; call `abort` then.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, address: CollectorAddress, content_type: bytes = DNSTAP) -> FrameStream:
        """A session in which frames may be sent. Raises `FrameStreamError`; set a timeout around it."""
        try:
            if address.path:
                reader, writer = await asyncio.open_unix_connection(address.path)
            else:
                reader, writer = await asyncio.open_connection(address.host, address.port)
        except OSError as exc:
            raise FrameStreamError(f"{address}: {exc.strerror or exc}") from exc
        writer.transport.set_write_buffer_limits(_BUFFER_BYTES)
        stream = cls(reader, writer)
        try:
            await stream._shake_hands(content_type)
        except BaseException:
            stream.abort()
            raise
        return stream

    async def send(self, frames: Iterable[bytes]) -> None:
        """Send frames of 1 to `MAX_FRAME_BYTES` bytes. Waits while the collector is slow; then about 256 KiB are held here.

        Raises `FrameStreamError` when the connection is lost. Whether the collector has read them is known after `finish` only.
        """
        parts: list[bytes] = []
        for data in frames:
            if not 0 < len(data) <= MAX_FRAME_BYTES:
                raise ValueError(f"a frame has 1 to {MAX_FRAME_BYTES} bytes, got {len(data)}")
            parts += (_WORD.pack(len(data)), data)
        await self._write(b"".join(parts))

    async def finish(self) -> None:
        """End the session. On return the collector has read every frame. Raises `FrameStreamError`, and always closes."""
        try:
            await self._write(control_frame(STOP))
            kind, _ = await self._read_control()
            if kind != FINISH:
                raise FrameStreamError(f"expected FINISH from the collector, got control frame {kind}")
        finally:
            self.abort()
        with suppress(OSError):
            await self._writer.wait_closed()

    def abort(self) -> None:
        """Close at once. Frames that the collector has not read may be lost."""
        self._writer.transport.abort()

    @property
    def closed(self) -> bool:
        """Whether the connection is known to be lost or closed."""
        return self._writer.transport.is_closing() or self._reader.at_eof()

    async def _shake_hands(self, content_type: bytes) -> None:
        sock: socket.socket | None = self._writer.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await self._write(control_frame(READY, content_type))
        kind, types = await self._read_control()
        if kind != ACCEPT:
            raise FrameStreamError(f"expected ACCEPT from the collector, got control frame {kind}")
        if types and content_type not in types:
            shown = ", ".join(value.decode("latin-1") for value in types)
            raise FrameStreamError(f"the collector takes {shown!r}, not {content_type.decode('latin-1')!r}")
        await self._write(control_frame(START, content_type))

    async def _write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as exc:
            raise FrameStreamError(f"the connection to the collector is lost: {exc.strerror or exc}") from exc

    async def _read_control(self) -> tuple[int, list[bytes]]:
        try:
            escape, size = _TWO_WORDS.unpack(await self._reader.readexactly(8))
            if escape or not 4 <= size <= _MAX_CONTROL_BYTES:
                raise FrameStreamError("the collector sent no control frame: is this a Frame Streams server?")
            return parse_control(await self._reader.readexactly(size))
        except asyncio.IncompleteReadError:
            raise FrameStreamError("the collector has closed the connection") from None
        except OSError as exc:
            raise FrameStreamError(f"the connection to the collector is lost: {exc.strerror or exc}") from exc


def control_frame(kind: int, content_type: bytes = b"") -> bytes:
    """A control frame, with its escape and length."""
    body = _WORD.pack(kind)
    if content_type:
        body += _TWO_WORDS.pack(_CONTENT_TYPE, len(content_type)) + content_type
    return _TWO_WORDS.pack(0, len(body)) + body


def parse_control(body: bytes) -> tuple[int, list[bytes]]:
    """The type and the content types in the body of a control frame of at least 4 bytes. Raises `FrameStreamError`."""
    (kind,) = _WORD.unpack_from(body)
    types: list[bytes] = []
    at = 4
    while at < len(body):
        if len(body) - at < 8:
            raise FrameStreamError("a field of a control frame is not complete")
        field, size = _TWO_WORDS.unpack_from(body, at)
        at += 8
        if size > len(body) - at:
            raise FrameStreamError("a field of a control frame is longer than the frame")
        if field == _CONTENT_TYPE:
            types.append(body[at : at + size])
        at += size
    return kind, types
