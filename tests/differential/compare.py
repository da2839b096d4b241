"""What is compared of a reply, and which differences `docs/differences.md` explains."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.rdatatype

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"
SILENCE = "silence"
Fields = dict[str, str]


def exchange(port: int, wire: bytes, *, tcp: bool, wait_s: float) -> bytes | None:
    """The first reply to `wire`; None when there is none in time or the connection ends."""
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.settimeout(wait_s)
        try:
            sock.connect(("127.0.0.1", port))
            if not tcp:
                sock.send(wire)
                return sock.recv(65535)
            sock.sendall(len(wire).to_bytes(2) + wire)
            with sock.makefile("rb") as stream:
                size = int.from_bytes(stream.read(2))
                reply = stream.read(size)
                return reply if size and len(reply) == size else None
        except OSError:
            return None


def fields(reply: bytes | None) -> Fields:
    """The parts of a reply that servers can differ in; without id, TTLs, order, EDNS sizes and options."""
    if reply is None:
        return {"reply": SILENCE}
    if len(reply) < 12:
        return {"reply": f"{len(reply)} bytes"}
    opcode = reply[2] >> 3 & 15
    as_query = reply[:2] + bytes((reply[2] & 0x87,)) + reply[3:]  # dnspython reads UPDATE in another way
    try:
        message = dns.message.from_wire(as_query, one_rr_per_rrset=True, ignore_trailing=True)
    except dns.exception.DNSException as error:
        return {"reply": f"malformed: {type(error).__name__}"}
    names = ("QR", "AA", "TC", "RD", "RA", "AD", "CD")
    found = {"reply": "reply", "opcode": str(opcode)} | {
        name.lower(): str(bool(message.flags & dns.flags.Flag[name])) for name in names
    }
    found["rcode"] = str(int(message.rcode()))
    found["question"] = "; ".join(one.to_text() for one in message.question)
    found["opt"] = str(message.edns) if message.opt is not None else "none"
    found["answer"] = "; ".join(sorted({_text(one) for one in message.answer}))
    if not message.answer and message.rcode() in {0, 3}:
        soas = (one for one in message.authority if one.rdtype == dns.rdatatype.SOA)
        found["authority"] = "; ".join(sorted({_text(one) for one in soas}))
    return found


def _text(rrset: dns.rrset.RRset) -> str:
    return f"{rrset.name} {rrset.rdclass} {rrset.rdtype} " + " ".join(sorted(one.to_digestable().hex() for one in rrset))


def differences(ours: Fields, theirs: Mapping[str, Fields]) -> dict[str, str]:
    """The fields in which we are unlike every peer, with all values as text."""
    found = {}
    answered = {name: peer for name, peer in theirs.items() if peer["reply"] == "reply"}
    for field, value in ours.items():
        peers = theirs if field == "reply" else answered
        values = {name: peer[field] for name, peer in peers.items() if field in peer}
        if values and value not in values.values():
            found[field] = f"{value!r}, while " + ", ".join(f"{name}: {other!r}" for name, other in values.items())
    return found


class Row(NamedTuple):
    """One row of the table: which cases, which fields."""

    pattern: str
    fields: frozenset[str]


def rows() -> list[Row]:
    """The rows of the page: those whose first cell is a case name or pattern in backquotes."""
    found = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", PAGE.read_text(), re.MULTILINE)
    return [Row(pattern, frozenset(cell.replace(",", " ").split())) for pattern, cell in found]
