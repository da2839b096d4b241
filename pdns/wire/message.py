"""Messages that servers send us: parsed in full before a byte of them is believed or passed on."""

from __future__ import annotations

from contextlib import suppress
from struct import Struct
from typing import NamedTuple

from pdns.errors import WireError
from pdns.wire import protocol as p
from pdns.wire.names import MAX_NAME_BYTES
from pdns.wire.padding import QUERY_BLOCK_BYTES
from pdns.wire.rdata import SHAPES, has_names, names_of

HEADER = Struct("!HHHHHH")
_RR = Struct("!HHIH")
_QUESTION_TAIL = Struct("!HH")
_UPSTREAM_UDP_BYTES = 1232

_FIXED_RDATA_BYTES = {p.A: 4, p.AAAA: 16}


class ResourceRecord(NamedTuple):
    """One resource record, as offsets into its message: nothing is copied but the owner."""

    owner: bytes  # lower-case wire name
    rtype: int
    rclass: int
    ttl_s: int
    start: int  # of the owner name
    rdata_at: int  # the TTL stands 6 bytes before
    end: int


class Message(NamedTuple):
    """A whole, sound response."""

    wire: bytes
    id: int
    flags: int
    rcode: int  # with the extended bits of the OPT record
    question: bytes  # as received: qname, qtype, qclass; b"" when there was none
    answer: tuple[ResourceRecord, ...]
    authority: tuple[ResourceRecord, ...]
    additional: tuple[ResourceRecord, ...]  # without OPT and TSIG
    edns: bool
    options: tuple[tuple[int, bytes], ...]  # of the OPT record


def build_query(query_id: int, question: bytes, *, do: bool, cd: bool, edns: bool = True, pad: bool = False) -> bytes:
    """Our query to an upstream: RD and AD set (RFC 6840, 5.7), no client option, 1232 bytes of EDNS (RFC 6891).

    `question` is qname (in any case), qtype and qclass in wire form. With `pad` the length becomes a multiple of 128 bytes
    (RFC 8467, 4.1), if there is EDNS.
    """
    flags = p.RD | p.AD | (p.CD if cd else 0)
    head = HEADER.pack(query_id, flags, 1, 0, 0, 1 if edns else 0)
    if not edns:
        return head + question
    rest = question + b"\0\0\x29" + _UPSTREAM_UDP_BYTES.to_bytes(2) + (b"\0\0\x80\0" if do else b"\0\0\0\0")
    if not pad:
        return head + rest + b"\0\0"
    padding = -(len(head) + len(rest) + 6) % QUERY_BLOCK_BYTES
    return head + rest + (padding + 4).to_bytes(2) + b"\0\x0c" + padding.to_bytes(2) + bytes(padding)


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


def _records(wire: bytes, at: int, count: int) -> tuple[list[ResourceRecord], int]:
    records: list[ResourceRecord] = []
    return records, _read_records(wire, at, count, records)


def _records_until_damage(wire: bytes, at: int, count: int) -> tuple[list[ResourceRecord], int, bool]:
    """The records before the first damaged one, where they end, and whether there was no damage."""
    records: list[ResourceRecord] = []
    try:
        return records, _read_records(wire, at, count, records), True
    except WireError:
        return records, at, False


def _read_records(wire: bytes, at: int, count: int, records: list[ResourceRecord]) -> int:
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
        if has_names(rtype):
            behind = rdata_names(wire, rtype, rdata_at, end)[1]
            if behind != end and rtype in SHAPES and SHAPES[rtype].exact:
                raise WireError("bytes after the name in RDATA")
            if rtype == p.SOA and rdata_bytes < 22:
                raise WireError("SOA cut short")
        records.append(ResourceRecord(owner, rtype, rclass, ttl_s, start, rdata_at, end))
        at = end
    return at


def rdata_names(wire: bytes, rtype: int, at: int, end: int) -> tuple[list[tuple[int, bytes]], int]:
    """Each name in the RDATA between `at` and `end` with its place, as `read_name` gives it, and the offset behind the last.

    Without names the offset is where they would stand. Raises `WireError`.
    """
    found: list[tuple[int, bytes]] = []
    at, count = names_of(wire, rtype, at, end)
    while at < end if count < 0 else len(found) < count:
        start = at
        name, at = read_name(wire, at)
        if at > end:
            raise WireError("name leaves its RDATA")
        found.append((start, name))
    return found, at


def read_name(wire: bytes, at: int) -> tuple[bytes, int]:
    """The name at `at`, lower-cased and uncompressed, and the offset behind it. Raises `WireError`.

    Each pointer must lead to before the place where the name so far began, and what it leads to must end there: loops cannot
    exist, and a name says the same wherever the rest of the message goes.
    """
    parts = []
    size = len(wire)
    length = 0
    behind = -1
    limit = at
    while True:
        if at >= size:
            raise WireError("name leaves the message")
        byte = wire[at]
        if byte == 0:
            parts.append(b"\0")
            return b"".join(parts).lower(), at + 1 if behind < 0 else behind
        if byte < 64:
            end = at + 1 + byte
            length += 1 + byte
            if length >= MAX_NAME_BYTES:
                raise WireError("name over 255 bytes")
            if end > size:
                raise WireError("name leaves the message")
            parts.append(wire[at:end])
            at = end
        elif byte >= 192:
            if at + 2 > size:
                raise WireError("pointer cut short")
            if behind < 0:
                behind = at + 2
            at = (byte & 63) << 8 | wire[at + 1]
            if at >= limit or at < p.HEADER_BYTES:
                raise WireError("pointer that does not lead back")
            size, limit = limit, at
        else:
            raise WireError("unknown label type")


def kind_of(wire: bytes, record: ResourceRecord) -> int:
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
