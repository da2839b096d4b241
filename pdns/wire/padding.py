"""Padding of messages on encrypted transports (RFC 7830, RFC 8467), so that their size tells little about what is in them."""

# kernel: pdns/fast/encrypted.pyx

from __future__ import annotations

from typing import Final

from pdns.wire.framing import MAX_MESSAGE_BYTES
from pdns.wire.protocol import HEADER_BYTES

ANSWER_BLOCK_BYTES: Final = 468  # RFC 8467, 4.1
QUERY_BLOCK_BYTES: Final = 128
_PADDING: Final = 12
_OPTION_HEAD_BYTES: Final = 4
_RECORD_BYTES: Final = 10  # behind the owner: type, class, TTL, size of RDATA


def padded(message: bytes, block_bytes: int = ANSWER_BLOCK_BYTES) -> bytes:
    """`message` with an EDNS option of zeros that brings it to a multiple of `block_bytes`, at most to 65,535 bytes.

    Unchanged without an OPT record at its end (an answer has one exactly when its query had), without room for the option, and
    when it is not a sound message.
    """
    at = _opt_at(message)
    if at < 0:
        return message
    size = len(message) + _OPTION_HEAD_BYTES
    wanted = min(-(-size // block_bytes) * block_bytes, MAX_MESSAGE_BYTES)
    if wanted < size:
        return message
    rdata_bytes = len(message) - at - 11 + _OPTION_HEAD_BYTES + wanted - size
    return b"".join((
        message[: at + 9], rdata_bytes.to_bytes(2), message[at + 11 :], _PADDING.to_bytes(2), (wanted - size).to_bytes(2),
        bytes(wanted - size),
    ))  # fmt: skip


def _opt_at(message: bytes) -> int:
    """Where the OPT record at the end of `message` begins; -1: there is none, or the message is damaged before it."""
    if len(message) < HEADER_BYTES:
        return -1
    questions, *records = (int.from_bytes(message[at : at + 2]) for at in (4, 6, 8, 10))
    at, start = HEADER_BYTES, -1
    for _ in range(questions):
        at = _past_name(message, at) + 4
    for _ in range(sum(records)):
        start = at
        at = _past_name(message, at) + _RECORD_BYTES
        if at > len(message):
            return -1
        at += int.from_bytes(message[at - 2 : at])
    is_opt = records[2] > 0 and at == len(message) and message[start : start + 3] == b"\0\0\x29"
    return start if is_opt else -1


def _past_name(message: bytes, at: int) -> int:
    """Behind the name at `at`, without following its pointers; behind the message when that has no name there."""
    while at < len(message):
        length = message[at]
        if length >= 192:
            return at + 2
        if length > 63:
            break
        at += 1 + length
        if not length:
            return at
    return len(message) + 1
