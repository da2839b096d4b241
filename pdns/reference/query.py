"""Reading a query off the wire: the specification of `pdns/fast/wire.pyx`."""

# kernel: pdns/fast/wire.pyx
# kernel: pdns/fast/query.pyx

from __future__ import annotations

from struct import Struct

from pdns.core.query import PLAIN_UDP_BYTES, Options, Query
from pdns.errors import WireError
from pdns.wire import protocol as p
from pdns.wire.message import HEADER, parse_options, read_name

_TAIL = Struct("!HH")
_RR = Struct("!HHIH")
_COMMON_OPT_START = b"\0\0\x29\x04\xd0"  # what most clients send, read without taking it apart: 1232 bytes,
_COMMON_OPT_ENDS = (b"\0\0\0\0\0\0", b"\0\0\x80\0\0\0")  # no option, DO clear or set


def parse_query(wire: bytes) -> Query:
    """The query in `wire`. Raises `WireError`, and nothing else.

    Silence (rcode None) for what is shorter than a header or is itself a response: answering those makes loops.
    NOTIMP for other opcodes, BADVERS for an EDNS version above 0, FORMERR for the rest: not exactly one question
    (RFC 9619), records where a query has none, a compressed or broken name, two OPT records. What follows the last record is
    ignored.
    """
    size = len(wire)
    if size < p.HEADER_BYTES:
        raise WireError("shorter than a header", None)
    query_id, flags, questions, answers, authorities, additionals = HEADER.unpack_from(wire)
    if flags & p.QR:
        raise WireError("a response, not a query", None)
    if flags & p.OPCODE_MASK:
        raise WireError("unknown opcode", p.NOTIMP)
    if questions != 1:
        raise WireError("not exactly one question")
    if answers or authorities:
        raise WireError("a query with answers in it")
    at = p.HEADER_BYTES
    try:
        while length := wire[at]:
            if length > 63:
                raise WireError("compressed question")
            at += 1 + length
    except IndexError:
        raise WireError("question cut short") from None
    at += 5
    if at > size:
        raise WireError("question cut short")
    qtype, qclass = _TAIL.unpack_from(wire, at - 4)
    if at - p.HEADER_BYTES > 255 + 4:
        raise WireError("name over 255 bytes")
    question = wire[p.HEADER_BYTES : at]
    if not additionals:
        return Query(query_id, flags, question, qtype, qclass, edns=False, do=False, udp_bytes=PLAIN_UDP_BYTES)
    if additionals == 1 and wire[at : at + 5] == _COMMON_OPT_START and wire[at + 5 : at + 11] in _COMMON_OPT_ENDS:
        edns, do, udp_bytes = True, bool(wire[at + 7]), 1232
    else:
        edns, do, udp_bytes, options = _edns(wire, at, additionals, question)
        query = Query(query_id, flags, question, qtype, qclass, edns=edns, do=do, udp_bytes=udp_bytes)
        query.cookie = next((data for code, data in options if code == p.EDNS_OPTION_COOKIE), b"")
        query.keepalive = any(code == p.EDNS_OPTION_KEEPALIVE for code, _ in options)
        query.nsid = any(code == p.EDNS_OPTION_NSID for code, _ in options)
        query.structured = any(code == p.EDNS_OPTION_STRUCTURED_ERROR for code, _ in options)
        return query
    return Query(query_id, flags, question, qtype, qclass, edns=edns, do=do, udp_bytes=udp_bytes)


def _edns(wire: bytes, at: int, additionals: int, question: bytes) -> tuple[bool, bool, int, Options]:
    size = len(wire)
    edns, do, udp_bytes, version = False, False, PLAIN_UDP_BYTES, 0
    options: Options = ()
    try:
        for _ in range(additionals):
            owner, at = read_name(wire, at)
            if at + 10 > size:
                raise WireError("record cut short")
            rtype, rclass, ttl, rdata_bytes = _RR.unpack_from(wire, at)
            at += 10 + rdata_bytes
            if at > size:
                raise WireError("RDATA leaves the message")
            if rtype != p.OPT:
                continue
            if edns or owner != b"\0":
                raise WireError("more than one OPT record, or one that is not at the root")
            edns = True
            udp_bytes = max(rclass, PLAIN_UDP_BYTES)
            version = ttl >> 16 & 0xFF
            do = bool(ttl & 0x8000)
            if rdata_bytes:
                options = _options(wire[at - rdata_bytes : at])
        if version:
            raise WireError("EDNS version above 0", p.BADVERS)
    except WireError as error:
        error.question = question
        raise
    return edns, do, udp_bytes, options


def _options(rdata: bytes) -> Options:
    """The options, the first COOKIE of which has a size that cookies can have (RFC 7873, 5.2.2)."""
    options = parse_options(rdata)
    cookie = next((data for code, data in options if code == p.EDNS_OPTION_COOKIE), None)
    if cookie is not None and len(cookie) != 8 and not 16 <= len(cookie) <= 40:
        raise WireError("COOKIE option of a wrong size")
    return options
