"""An answer that leads from the names of one route to those of another, of which each route tells its part.

No server is believed about names that are not its own: what it says of them is left out and asked where they belong.
"""

from __future__ import annotations

from typing import NamedTuple

from pdns.core.cacheable import uncompressed
from pdns.core.chain import Chain
from pdns.errors import WireError
from pdns.wire import protocol as p
from pdns.wire.framing import MAX_MESSAGE_BYTES
from pdns.wire.message import HEADER, Message, ResourceRecord, kind_of, parse_message
from pdns.wire.names import is_at_or_below

MAX_CROSSINGS = 8  # questions that one question may lead to


class ChainHead(NamedTuple):
    """The first part of an answer: everything up to the name that is asked next."""

    records: bytes  # without compression
    record_count: int
    hops: int  # names of the chain before the one that is asked next
    ad: bool
    route_mark: int = 0  # of those names
    crossings: int = 1
    begun_with: bytes = b""  # the local records at its beginning


def head_of(message: Message, chain: Chain, hops: int, before: ChainHead | None, route_mark: int) -> ChainHead:
    """What `message`, joined with `before`, says of the first `hops` names of its chain, whose routes have `route_mark`."""
    known = chain.names[:hops]
    kept = [record for record in chain.records if _leads_on(message, record, known)]
    crossings, begun_with = (before.crossings, before.begun_with) if before is not None else (0, b"")
    ad = bool(message.flags & p.AD)
    return ChainHead(uncompressed(message, kept), len(kept), hops, ad, route_mark, crossings + 1, begun_with)


def joined(head: ChainHead, question: bytes, message: Message) -> Message:
    """`message`, which answers the name after `head`, as the answer to `question`, with `head` before it.

    Raises `WireError` when that is too long.
    """
    flags = message.flags if head.ad else message.flags & ~p.AD
    options = b"".join(code.to_bytes(2) + len(data).to_bytes(2) + data for code, data in message.options)
    opt = (
        b"\0"
        + p.OPT.to_bytes(2)
        + b"\x04\xd0"
        + (message.rcode >> 4).to_bytes(1)
        + b"\0\0\0"
        + len(options).to_bytes(2)
        + options
    )
    wire = (
        HEADER.pack(message.id, flags, 1, head.record_count + len(message.answer), len(message.authority), int(message.edns))
        + question
        + head.records
        + uncompressed(message, message.answer)
        + uncompressed(message, message.authority)
        + (opt if message.edns else b"")
    )
    if len(wire) > MAX_MESSAGE_BYTES:
        raise WireError("the answer is too long")
    return parse_message(wire)


def _leads_on(message: Message, record: ResourceRecord, known: tuple[bytes, ...]) -> bool:
    rtype = kind_of(message.wire, record)
    if rtype == p.DNAME:
        return any(is_at_or_below(name, record.owner) for name in known)
    return rtype == p.CNAME and record.owner in known
