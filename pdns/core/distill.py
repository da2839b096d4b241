"""From an upstream's message to an entry: what answers the question is kept, the rest stays behind."""

from __future__ import annotations

from collections.abc import Sequence

from pdns.config import Cache
from pdns.core import protocol as p
from pdns.core.chain import Chain
from pdns.core.entry import Entry
from pdns.core.message import RDATA_NAMES, Message, Record, kind_of, read_name
from pdns.core.names import is_at_or_below

_PROOF_TYPES = (p.NSEC, p.NSEC3)
_TTL_SIGN_BIT = 0x80000000


def distill(
    message: Message, chain: Chain, config: Cache, *, do: bool, now: float, stamp: int, any_question: bool = False
) -> Entry:
    """The entry for a NOERROR or NXDOMAIN response; one with `expires_s == now` is not worth keeping.

    Kept: the answer's own records; of the authority section the SOA of a negative answer and, for DO, the proofs;
    nothing of the additional section. TTLs are bounded by the configuration, never lengthened past what was said
    except by `min_ttl_s`. A negative answer lives as long as its SOA says (RFC 2308, 5), and without one
    not at all. With `any_question` no pointer leads into the question, so that it may be another.
    """
    negative = message.rcode == p.NXDOMAIN or not chain.answered
    authority = _authority(message, chain, negative=negative, do=do)
    if any_question:
        body, ttl_offsets = _rewrite(message, (*chain.records, *authority), b"")
    else:
        body, ttl_offsets = _copy(message, chain.records, authority)
    bound_s = max_s = config.max_ttl_s
    soa_ttl_s = 0
    if negative:
        soa = next((record for record in authority if record.rtype == p.SOA), None)
        soa_ttl_s = min(_bounded(soa.ttl_s, config), _minimum(message, soa), config.max_negative_ttl_s) if soa else 0
        max_s = min(max_s, soa_ttl_s)
    ttls = []
    for record, at in zip((*chain.records, *authority), ttl_offsets, strict=True):
        ttl_s = _bounded(record.ttl_s, config)
        if negative and record.rtype == p.SOA:
            ttl_s = min(ttl_s, soa_ttl_s)
        body[at : at + 4] = ttl_s.to_bytes(4)
        ttls.append((at, ttl_s))
        bound_s = min(bound_s, ttl_s)
    lifetime_s = min(bound_s, max_s) if ttls else 0
    return Entry(
        message.rcode,
        "upstream",
        now,
        lifetime_s,
        body=bytes(body),
        counts=len(chain.records).to_bytes(2) + len(authority).to_bytes(2),
        ttls=tuple(ttls),
        ad=bool(message.flags & p.AD),
        stamp=stamp,
    )


def _bounded(ttl_s: int, config: Cache) -> int:
    if ttl_s & _TTL_SIGN_BIT:  # RFC 8767, 4: huge, not zero
        return config.max_ttl_s
    return max(config.min_ttl_s, min(ttl_s, config.max_ttl_s))


def _minimum(message: Message, soa: Record) -> int:
    return int.from_bytes(message.wire[soa.end - 4 : soa.end])


def _authority(message: Message, chain: Chain, *, negative: bool, do: bool) -> tuple[Record, ...]:
    records = message.authority
    if not records:
        return ()
    wire = message.wire
    if negative:
        end = chain.names[-1]
        kept = [record for record in records if record.rtype != p.SOA or is_at_or_below(end, record.owner)]
        if do:
            return tuple(record for record in kept if kind_of(wire, record) in (p.SOA, *_PROOF_TYPES))
        return tuple(record for record in kept if record.rtype == p.SOA)
    if do and any(record.rtype in _PROOF_TYPES for record in records):  # a wildcard's proof (RFC 4035, 3.1.3.3)
        return tuple(record for record in records if kind_of(wire, record) in _PROOF_TYPES)
    return ()


def _copy(message: Message, answer: Sequence[Record], authority: Sequence[Record]) -> tuple[bytearray, list[int]]:
    """The records as they follow the question, and where each one's TTL stands.

    When they are a straight run from the start of the answer section they are copied as they are; otherwise they are
    written anew without compression, so that no pointer leads to what was left out. An owner that repeats the question
    in full is written anew as well: it has the letter case that we asked in, which no client chose.
    """
    records = (*answer, *authority)
    base = p.HEADER_BYTES + len(message.question)
    qname = message.question[:-4].lower()
    at = base
    for record in records:
        if record.start != at or (message.wire[at] < 0xC0 and record.owner == qname):
            return _rewrite(message, records, qname)
        at = record.end
    body = bytearray(message.wire[base:at])
    return body, [record.rdata_at - 6 - base for record in records]


def _rewrite(message: Message, records: Sequence[Record], qname: bytes) -> tuple[bytearray, list[int]]:
    body = bytearray()
    offsets = []
    for record in records:
        body += b"\xc0\x0c" if record.owner == qname else record.owner
        body += message.wire[record.rdata_at - 10 : record.rdata_at - 2]
        offsets.append(len(body) - 4)
        rdata = _expand(message.wire, record)
        body += len(rdata).to_bytes(2) + rdata
    return body, offsets


def _expand(wire: bytes, record: Record) -> bytes:
    """The RDATA with its names uncompressed."""
    shape = RDATA_NAMES.get(record.rtype)
    if shape is None:
        return wire[record.rdata_at : record.end]
    fixed, count = shape
    at = record.rdata_at + fixed
    rdata = wire[record.rdata_at : at]
    for _ in range(count):
        start = at
        name, at = read_name(wire, at)
        inline = wire[start:at]
        rdata += inline if inline.lower() == name else name  # case is kept where nothing was compressed
    return rdata + wire[at : record.end]
