"""Frames of HTTP/2 (RFC 9113, 6), sound or not, as bytes; and what comes back."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import hpack

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
ENHANCE_YOUR_CALM: Final = 11
MAX_FRAME_BYTES: Final = 16384
Fields = list[tuple[bytes, bytes]]


class Frame(NamedTuple):
    """One frame that was received."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def start(*settings: tuple[int, int]) -> bytes:
    """What a client begins with."""
    return PREFACE + frame(SETTINGS, payload=b"".join(number.to_bytes(2) + value.to_bytes(4) for number, value in settings))


def encoded(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A header block that uses no table of the connection."""
    encoder = hpack.Encoder()
    return b"".join(encoder.encode([hpack.NeverIndexedHeaderTuple(*field)], huffman=False) for field in fields)


def headers(stream: int, fields: Iterable[tuple[bytes, bytes]], *, ends: bool = True) -> bytes:
    """HEADERS, and CONTINUATION for what does not fit."""
    block = encoded(fields)
    parts = [block[at : at + MAX_FRAME_BYTES] for at in range(0, len(block), MAX_FRAME_BYTES)] or [b""]
    wire = b""
    for number, part in enumerate(parts):
        flags = (END_STREAM if ends and number == 0 else 0) | (END_HEADERS if number == len(parts) - 1 else 0)
        wire += frame(CONTINUATION if number else HEADERS, flags, stream, part)
    return wire


def get(path: bytes = b"/dns-query", message: bytes = b"") -> Fields:
    """The fields of a GET."""
    query = b"?dns=" + urlsafe_b64encode(message).rstrip(b"=") if message else b""
    return [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"dns.example"), (b":path", path + query)]


def post(path: bytes = b"/dns-query", *more: tuple[bytes, bytes]) -> Fields:
    """The fields of a POST."""
    fields = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"dns.example"), (b":path", path)]
    return [*fields, (b"content-type", b"application/dns-message"), *more]


def reset(stream: int, code: int = 8) -> bytes:
    return frame(RST_STREAM, stream=stream, payload=code.to_bytes(4))


def window_update(stream: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, stream=stream, payload=size.to_bytes(4))


def frames(data: bytes) -> Iterator[Frame]:
    """The frames of `data`, which is whole."""
    at = 0
    while at < len(data):
        end = at + 9 + int.from_bytes(data[at : at + 3])
        assert end <= len(data), "a frame is cut"
        yield Frame(data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9]), data[at + 9 : end])
        at = end


class Responses:
    """The responses in what a server sends."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder()
        self.fields: dict[int, dict[bytes, bytes]] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.goaway: int | None = None  # its error code
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """The same for what a socket gives: the last frame may be cut."""
        self._rest += data
        at = 0
        while at + 9 <= len(self._rest) and (end := at + 9 + int.from_bytes(self._rest[at : at + 3])) <= len(self._rest):
            at = end
        self.take(self._rest[:at])
        self._rest = self._rest[at:]

    def take(self, data: bytes) -> None:
        for one in frames(data):
            if one.kind == HEADERS:
                self.fields[one.stream] = {
                    bytes(name): bytes(value) for name, value in self._decoder.decode(one.payload, raw=True)
                }
            elif one.kind == DATA:
                self.bodies[one.stream] = self.bodies.get(one.stream, b"") + one.payload
            elif one.kind == RST_STREAM:
                self.resets[one.stream] = int.from_bytes(one.payload)
            elif one.kind == GOAWAY:
                self.goaway = int.from_bytes(one.payload[4:8])
            if one.kind in (HEADERS, DATA) and one.flags & END_STREAM:
                self.ended.add(one.stream)

    def status(self, stream: int) -> int:
        return int(self.fields[stream][b":status"])
