"""From an upstream's message to an entry: what answers the question is kept, the rest stays behind."""

# kernel: pdns/fast/response.pyx
# kernel: pdns/fast/plain.pyx

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pdns.config.schema import Cache
from pdns.core.chain import Chain
from pdns.core.entry import MAX_TURNS, NO_ROTATION, Entry, Rotation
from pdns.core.extended_errors import errors_of
from pdns.wire import protocol as p
from pdns.wire.message import Message, ResourceRecord, kind_of, rdata_names
from pdns.wire.names import is_at_or_below, labels_of
from pdns.wire.rdata import SHAPES, has_names

_PROOF_TYPES = (p.NSEC, p.NSEC3)
_ADDRESS_TYPES = (p.A, p.AAAA)
_TTL_SIGN_BIT = 0x80000000


def cacheable(
    message: Message, chain: Chain, config: Cache, *, do: bool, now: float, rules_epoch: int, any_question: bool = False
) -> Entry:
    """The entry for a NOERROR, NXDOMAIN or YXDOMAIN response; one with `expires_s == now` is not worth keeping.

    Kept: the answer's own records; of the authority section the SOA of a negative answer and, for DO, the proofs;
    nothing of the additional section. TTLs are bounded by the configuration, never lengthened past what was said
    except by `min_ttl_s`. A negative answer lives as long as its SOA says (RFC 2308, 5), and without one
    not at all. With `any_question` no pointer leads into the question, so that it may be another.
    """
    negative = message.rcode == p.NXDOMAIN or (message.rcode == p.NOERROR and not chain.answered)
    authority = _authority(message, chain, negative=negative, do=do)
    addresses = _addresses(chain.records)
    if any_question:
        body, ttl_offsets = _rewrite(message, (*chain.records, *authority), b"", set())
    else:
        body, ttl_offsets = _copy(message, chain.records, authority, addresses)
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
    errors = errors_of(message)
    return Entry(
        message.rcode,
        "upstream",
        now,
        lifetime_s,
        body=bytes(body),
        counts=len(chain.records).to_bytes(2) + len(authority).to_bytes(2),
        ttls=tuple(ttls),
        ad=bool(message.flags & p.AD),
        ede=errors[0] if errors else None,
        more_ede=errors[1:],
        rules_epoch=rules_epoch,
        rotation=_rotation(message, chain.records, authority, addresses, ttl_offsets),
    )


def _bounded(ttl_s: int, config: Cache) -> int:
    if ttl_s & _TTL_SIGN_BIT:  # RFC 8767, 4: huge, not zero
        return config.max_ttl_s
    return max(config.min_ttl_s, min(ttl_s, config.max_ttl_s))


def _minimum(message: Message, soa: ResourceRecord) -> int:
    return int.from_bytes(message.wire[soa.end - 4 : soa.end])


def _authority(message: Message, chain: Chain, *, negative: bool, do: bool) -> tuple[ResourceRecord, ...]:
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


def _addresses(answer: Sequence[ResourceRecord]) -> range:
    """Which of the records are the addresses of the last name; fewer than two of them count as none."""
    end = len(answer)
    while end and answer[end - 1].rtype == p.RRSIG:
        end -= 1
    first = end
    while first and answer[first - 1].rtype in _ADDRESS_TYPES and _is_like(answer[first - 1], answer[end - 1]):
        first -= 1
    return range(first, end) if end - first > 1 else range(0)


def _is_like(one: ResourceRecord, other: ResourceRecord) -> bool:
    return (one.owner, one.rtype, one.rclass) == (other.owner, other.rtype, p.CLASS_IN)


def _copy(
    message: Message, answer: Sequence[ResourceRecord], authority: Sequence[ResourceRecord], addresses: range
) -> tuple[bytearray, list[int]]:
    """The records as they follow the question, and where each one's TTL stands.

    When they are a straight run from the start of the answer section they are copied as they are; otherwise they are
    written anew without compression, so that no pointer leads to what was left out. They are written anew as well when a
    name has the letter case that we asked in, which no client chose, and when the addresses of one name begin differently.
    """
    records = (*answer, *authority)
    wire = message.wire
    base = p.HEADER_BYTES + len(message.question)
    ours = _cased_labels(message)
    qname = message.question[:-4].lower()
    at = base
    for record in records:
        if record.start != at or (wire[at] < 0xC0 and record.owner == qname) or (ours and _has_label(wire, record, ours)):
            return _rewrite(message, records, qname, ours)
        at = record.end
    if len({wire[answer[i].start : answer[i].rdata_at - 10] for i in addresses}) > 1:
        return _rewrite(message, records, qname, ours)
    body = bytearray(wire[base:at])
    return body, [record.rdata_at - 6 - base for record in records]


def uncompressed(message: Message, records: Sequence[ResourceRecord]) -> bytes:
    """`records` as they can stand in another message. Names have no letter case that only we chose."""
    return bytes(_rewrite(message, records, b"", _cased_labels(message))[0])


def _cased_labels(message: Message) -> set[bytes]:
    """Labels of the question that have capitals: no client chose those."""
    return {label for label in labels_of(message.question[:-4] or b"\0") if label != label.lower()}


def _has_label(wire: bytes, record: ResourceRecord, labels: set[bytes]) -> bool:
    if _label_at(wire, record.start, labels):
        return True
    if record.rtype not in SHAPES or not SHAPES[record.rtype].folded:
        return False
    names, _ = rdata_names(wire, record.rtype, record.rdata_at, record.end)
    return any(_label_at(wire, start, labels) for start, _ in names)


def _label_at(wire: bytes, at: int, labels: set[bytes]) -> bool:
    """Whether one of the labels before the first pointer of the name at `at` is among `labels`."""
    while 0 < (length := wire[at]) < 64:
        if wire[at + 1 : at + 1 + length] in labels:
            return True
        at += 1 + length
    return False


def _rewrite(message: Message, records: Sequence[ResourceRecord], qname: bytes, ours: set[bytes]) -> tuple[bytearray, list[int]]:
    body = bytearray()
    offsets = []
    for record in records:
        body += b"\xc0\x0c" if record.owner == qname else record.owner
        body += message.wire[record.rdata_at - 10 : record.rdata_at - 2]
        offsets.append(len(body) - 4)
        rdata = _expand(message.wire, record, ours)
        body += len(rdata).to_bytes(2) + rdata
    return body, offsets


def _expand(wire: bytes, record: ResourceRecord, ours: set[bytes]) -> bytes:
    """The RDATA with its names uncompressed, and in lower case where their case was free and ours."""
    if not has_names(record.rtype):
        return wire[record.rdata_at : record.end]
    names, _ = rdata_names(wire, record.rtype, record.rdata_at, record.end)
    folded = record.rtype in SHAPES and SHAPES[record.rtype].folded
    rdata = b""
    at = record.rdata_at
    for start, name in names:
        inline = wire[start : start + len(name)]
        keeps_case = inline.lower() == name and not (folded and _label_at(wire, start, ours))
        rdata += wire[at:start] + (inline if keeps_case else name)
        at = _behind_name(wire, start)
    return rdata + wire[at : record.end]


def _behind_name(wire: bytes, at: int) -> int:
    while 0 < (length := wire[at]) < 64:
        at += 1 + length
    return at + 2 if length else at + 1


def _rotation(
    message: Message,
    answer: Sequence[ResourceRecord],
    authority: Sequence[ResourceRecord],
    addresses: range,
    ttl_offsets: Sequence[int],
) -> Rotation:
    """The addresses that are given in turns (RFC 1794)."""
    if not 1 < len(addresses) <= MAX_TURNS:
        return NO_ROTATION
    first, end = addresses.start, addresses.stop
    size = ttl_offsets[first + 1] - ttl_offsets[first]
    head_bytes = size - (answer[first].end - answer[first].rdata_at) - 10
    run = range(answer[first].start, answer[end - 1].end)
    for record in (*answer[end:], *authority):
        if any(to in run and (to - run.start) % size >= head_bytes for to in _pointers(message.wire, record)):
            return NO_ROTATION  # into an address, which is about to move
    return ttl_offsets[first] - head_bytes - 4, size, len(addresses)


def _pointers(wire: bytes, record: ResourceRecord) -> Iterator[int]:
    """Where every pointer leads that is followed in reading the names of `record`."""
    names, _ = rdata_names(wire, record.rtype, record.rdata_at, record.end) if has_names(record.rtype) else ([], 0)
    for start in (record.start, *(start for start, _ in names)):
        at = start
        while length := wire[at]:
            if length < 64:
                at += 1 + length
            else:
                at = (length & 63) << 8 | wire[at + 1]
                yield at
