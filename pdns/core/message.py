"""Messages that servers send us: parsed in full before a byte of them is believed or passed on."""

from __future__ import annotations

from contextlib import suppress
from struct import Struct
from typing import NamedTuple

from pdns.core import protocol as p
from pdns.core.names import MAX_NAME_BYTES
from pdns.errors import WireError

HEADER = Struct("!HHHHHH")
_RR = Struct("!HHIH")
_QUESTION_TAIL = Struct("!HH")
_UPSTREAM_UDP_BYTES = 1232

# Where names stand in RDATA that may be compressed (RFC 3597, 4, and the types before it): fixed octets before
# the first name, then how many names. A reader that follows these pointers must find them sound.
RDATA_NAMES = {
    p.NS: (0, 1), 3: (0, 1), 4: (0, 1), p.CNAME: (0, 1), p.SOA: (0, 2), 7: (0, 1), 8: (0, 1), 9: (0, 1), p.PTR: (0, 1),
    14: (0, 2), p.MX: (2, 1), 17: (0, 2), 18: (2, 1), 21: (2, 1), 24: (18, 1), 26: (2, 2), 30: (0, 1),
    p.SRV: (6, 1), 36: (2, 1), p.DNAME: (0, 1), p.RRSIG: (18, 1), p.NSEC: (0, 1), p.SVCB: (2, 1), p.HTTPS: (2, 1),
}  # fmt: skip
_FIXED_RDATA_BYTES = {p.A: 4, p.AAAA: 16}


class Record(NamedTuple):
    """One resource record, as offsets into its message: nothing is copied but the owner."""

    owner: bytes  # lower-case wire name
    rtype: int
    rclass: int
    ttl_s: int
    start: int  # of the owner name
    rdata_at: int  # the TTL stands 6 octets before
    end: int


class Message(NamedTuple):
    """A whole, sound response."""

    wire: bytes
    id: int
    flags: int
    rcode: int  # with the extended bits of the OPT record
    question: bytes  # as received: qname, qtype, qclass; b"" when there was none
    answer: tuple[Record, ...]
    authority: tuple[Record, ...]
    additional: tuple[Record, ...]  # without OPT and TSIG
    edns: bool
    options: tuple[tuple[int, bytes], ...]  # of the OPT record


def build_query(query_id: int, question: bytes, *, do: bool, cd: bool, edns: bool = True) -> bytes:
    """Our query to an upstream: RD and AD set (RFC 6840, 5.7), no client option, 1232 octets of EDNS (RFC 6891).

    `question` is qname (in any case), qtype and qclass in wire form.
    """
    flags = p.RD | p.AD | (p.CD if cd else 0)
    head = HEADER.pack(query_id, flags, 1, 0, 0, 1 if edns else 0)
    if not edns:
        return head + question
    return head + question + b"\0\0\x29" + _UPSTREAM_UDP_BYTES.to_bytes(2) + (b"\0\0\x80\0" if do else b"\0\0\0\0") + b"\0\0"


def parse_message(wire: bytes) -> Message:
    """The response in `wire`, every record that is used checked. Raises `WireError`, and nothing else.

    Refused: less than a header, more than one question, and in the sections that are used counts that lie, names that
    point forward or leave the message, RDATA that overruns, addresses of a wrong size. Bytes after the last record are
    ignored. The additional section is used for its first OPT record alone, and the authority section only when there is
    no answer: damage there ends the section.
    """
    if len(wire) < p.HEADER_BYTES:
        raise WireError("shorter than a header", None)
    message_id, flags, questions, answers, authorities, additionals = HEADER.unpack_from(wire)
    if questions > 1:
        raise WireError("more than one question")
    at = p.HEADER_BYTES
    if questions:
        at = skip_name(wire, at) + 4
        if at > len(wire):
            raise WireError("question cut short")
    question = wire[p.HEADER_BYTES : at]
    answer, at = _records(wire, at, answers)
    authority, at, whole = _records_until_damage(wire, at, authorities)
    if not whole and not answer:
        raise WireError("authority section damaged")
    additional = _records_until_damage(wire, at, additionals)[0] if whole else []
    rcode = flags & p.RCODE_MASK
    edns = False
    options: tuple[tuple[int, bytes], ...] = ()
    if additional:
        opt = next((record for record in additional if record.rtype == p.OPT and record.owner == b"\0"), None)
        if opt is not None:
            edns = True
            rcode |= opt.ttl_s >> 24 << 4
            with suppress(WireError):
                options = parse_options(wire[opt.rdata_at : opt.end])
        additional = [record for record in additional if record.rtype not in (p.OPT, p.TSIG)]
    return Message(wire, message_id, flags, rcode, question, tuple(answer), tuple(authority), tuple(additional), edns, options)


def _records(wire: bytes, at: int, count: int) -> tuple[list[Record], int]:
    records: list[Record] = []
    return records, _read_records(wire, at, count, records)


def _records_until_damage(wire: bytes, at: int, count: int) -> tuple[list[Record], int, bool]:
    """The records before the first damaged one, where they end, and whether there was no damage."""
    records: list[Record] = []
    try:
        return records, _read_records(wire, at, count, records), True
    except WireError:
        return records, at, False


def _read_records(wire: bytes, at: int, count: int, records: list[Record]) -> int:
    size = len(wire)
    for _ in range(count):
        start = at
        owner, at = read_name(wire, at)
        rdata_at = at + 10
        if rdata_at > size:
            raise WireError("record cut short")
        rtype, rclass, ttl_s, rdata_bytes = _RR.unpack_from(wire, at)
        end = rdata_at + rdata_bytes
        if end > size:
            raise WireError("RDATA leaves the message")
        if (fixed := _FIXED_RDATA_BYTES.get(rtype)) is not None and rclass == p.CLASS_IN and rdata_bytes != fixed:
            raise WireError("address of a wrong size")
        if (shape := RDATA_NAMES.get(rtype)) is not None:
            _check_rdata_names(wire, rdata_at + shape[0], shape[1], end, exact=rtype in (p.NS, p.CNAME, p.PTR, p.DNAME, p.MX))
            if rtype == p.SOA and rdata_bytes < 22:
                raise WireError("SOA cut short")
        records.append(Record(owner, rtype, rclass, ttl_s, start, rdata_at, end))
        at = end
    return at


def _check_rdata_names(wire: bytes, at: int, count: int, end: int, *, exact: bool) -> None:
    for _ in range(count):
        at = skip_name(wire, at)
        if at > end:
            raise WireError("name leaves its RDATA")
    if exact and at != end:
        raise WireError("octets after the name in RDATA")


def read_name(wire: bytes, at: int) -> tuple[bytes, int]:
    """The name at `at`, lower-cased and uncompressed, and the offset behind it. Raises `WireError`.

    Each pointer must lead to before the place where the name so far began: loops cannot exist.
    """
    parts = []
    size = len(wire)
    length = 0
    behind = -1
    limit = at
    while True:
        if at >= size:
            raise WireError("name leaves the message")
        octet = wire[at]
        if octet == 0:
            parts.append(b"\0")
            return b"".join(parts).lower(), at + 1 if behind < 0 else behind
        if octet < 64:
            end = at + 1 + octet
            length += 1 + octet
            if length >= MAX_NAME_BYTES:
                raise WireError("name over 255 octets")
            if end > size:
                raise WireError("name leaves the message")
            parts.append(wire[at:end])
            at = end
        elif octet >= 192:
            if at + 2 > size:
                raise WireError("pointer cut short")
            if behind < 0:
                behind = at + 2
            at = (octet & 63) << 8 | wire[at + 1]
            if at >= limit or at < p.HEADER_BYTES:
                raise WireError("pointer that does not lead back")
            limit = at
        else:
            raise WireError("unknown label type")


def kind_of(wire: bytes, record: Record) -> int:
    """The type of a record; of a signature, the type that it signs (RFC 4034, 3.1.1): it goes where that goes."""
    if record.rtype == p.RRSIG:
        return int.from_bytes(wire[record.rdata_at : record.rdata_at + 2])
    return record.rtype


def skip_name(wire: bytes, at: int) -> int:
    """The offset behind the name at `at`, which is checked as `read_name` does."""
    return read_name(wire, at)[1]


def parse_options(rdata: bytes) -> tuple[tuple[int, bytes], ...]:
    """The options of an OPT record (RFC 6891, 6.1.2): code, data. Raises `WireError`."""
    options = []
    at = 0
    while at < len(rdata):
        if at + 4 > len(rdata):
            raise WireError("EDNS option cut short")
        code, size = _QUESTION_TAIL.unpack_from(rdata, at)
        end = at + 4 + size
        if end > len(rdata):
            raise WireError("EDNS option leaves its record")
        options.append((code, rdata[at + 4 : end]))
        at = end
    return tuple(options)
