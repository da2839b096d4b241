"""The answer of this process itself, when no worker gives one. No I/O."""

from __future__ import annotations

from pdns.wire import protocol as p


def servfail(query: bytes) -> bytes:
    """SERVFAIL for `query`, with its question where that is sound; b"" for what is no query."""
    if len(query) < p.HEADER_BYTES or query[2] & 0x80:
        return b""
    flags = int.from_bytes(query[2:4]) & (p.OPCODE_MASK | p.RD | p.CD) | p.QR | p.RA | p.SERVFAIL
    question = _question(query)
    counts = (1 if question else 0).to_bytes(2) + bytes(6)
    return query[:2] + flags.to_bytes(2) + counts + question


def _question(query: bytes) -> bytes:
    at = p.HEADER_BYTES
    while at < len(query) and 0 < query[at] < 64:
        at += 1 + query[at]
    end = at + 5
    return query[p.HEADER_BYTES : end] if query[4:6] == b"\x00\x01" and end <= len(query) and not query[at] else b""
