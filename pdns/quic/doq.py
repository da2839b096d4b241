"""DNS over dedicated QUIC connections (RFC 9250): what a stream holds, and what is an error. No I/O."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from pdns.wire import protocol as p

ALPN: Final = "doq"
LENGTH_BYTES: Final = 2


class DoqErrorCode(IntEnum):
    """Application error codes (RFC 9250, 8.4)."""

    NO_ERROR = 0x0
    INTERNAL_ERROR = 0x1
    PROTOCOL_ERROR = 0x2
    REQUEST_CANCELLED = 0x3
    EXCESSIVE_LOAD = 0x4
    UNSPECIFIED_ERROR = 0x5


class DoqViolation(Exception):
    """The client has broken the protocol: the connection ends with `DoqErrorCode.PROTOCOL_ERROR`."""


class DoqStream:
    """One query, as its bytes arrive."""

    __slots__ = ("_held", "started_s")

    def __init__(self, started_s: float) -> None:
        self.started_s = started_s
        self._held = b""

    def feed(self, data: bytes, *, ended: bool) -> bytes | None:
        """The message, once the client has sent all of it and ended the stream; else None. Raises `DoqViolation`."""
        held = self._held = self._held + data if self._held else data
        size = len(held)
        if size >= LENGTH_BYTES:
            wanted = LENGTH_BYTES + (held[0] << 8 | held[1])
            if size > wanted:
                raise DoqViolation("more than one query on a stream")
        if not ended:
            return None
        if size < LENGTH_BYTES or size < wanted:
            raise DoqViolation("the stream ends within a message")
        return read_query(held[LENGTH_BYTES:])


def read_query(message: bytes) -> bytes:
    """`message`, if it may be sent over DoQ (RFC 9250, 4.2.1 and 5.5.2). Raises `DoqViolation`."""
    if len(message) < p.HEADER_BYTES:
        raise DoqViolation("no DNS message")
    if message[0] or message[1]:
        raise DoqViolation("the message ID is not 0")
    if has_keepalive(message):
        raise DoqViolation("edns-tcp-keepalive")
    return message


def has_keepalive(message: bytes) -> bool:
    """Whether a query of usual form has the EDNS option edns-tcp-keepalive (RFC 7828), which DoQ forbids."""
    if message[4:10] != b"\x00\x01\x00\x00\x00\x00" or message[10:12] == b"\x00\x00":
        return False
    size, at = len(message), p.HEADER_BYTES
    while at < size and message[at]:
        at += 1 + message[at]
    at += 5  # the end of the name, its type and class
    if message[at : at + 3] != b"\x00\x00\x29":
        return False
    end = min(size, at + 11 + int.from_bytes(message[at + 9 : at + 11]))
    at += 11
    while at + 4 <= end:
        if int.from_bytes(message[at : at + 2]) == p.EDNS_OPTION_KEEPALIVE:
            return True
        at += 4 + int.from_bytes(message[at + 2 : at + 4])
    return False


def framed(answer: bytes) -> bytes:
    """What an answer of at most 65,535 bytes is on a stream."""
    return len(answer).to_bytes(LENGTH_BYTES) + answer
