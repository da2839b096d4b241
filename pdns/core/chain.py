"""Which records of a response answer the question that was asked: the CNAME chain and what stands at its end."""

from __future__ import annotations

from typing import NamedTuple

from pdns.errors import WireError
from pdns.wire import protocol as p
from pdns.wire.message import Message, ResourceRecord, kind_of, read_name
from pdns.wire.names import MAX_NAME_BYTES, is_at_or_below

MAX_HOPS = 32  # resolvers follow 11 to 16 (unbound, BIND); each hop is looked up, and long chains are an attack (CacheFlush)
_PROOF_TYPES = (p.RRSIG, p.NSEC, p.NSEC3)


class Chain(NamedTuple):
    """What is kept of a response's answer section."""

    names: tuple[bytes, ...]  # qname, then each CNAME target in turn
    records: tuple[ResourceRecord, ...]  # CNAMEs in the order of the chain, then the rest as received
    answered: bool  # the last name has records of the asked type


def follow(message: Message, qname: bytes, qtype: int, *, do: bool) -> Chain:
    """The chain from `qname`. Records of other names are left out: an answer speaks for its own question only.

    Without `do` signatures and proofs are left out as well, unless `qtype` asks for them (RFC 4035, 3.2.1).
    Raises `WireError` for a chain that loops or has more than 32 hops.
    """
    answer = message.answer
    if not answer:
        return Chain((qname,), (), False)
    if all(record.owner == qname and record.rtype == qtype for record in answer):  # the common case
        return Chain((qname,), answer, True)
    targets: dict[bytes, bytes] = {}
    for record in answer:
        if record.rtype == p.CNAME and record.rclass == p.CLASS_IN:
            target = read_name(message.wire, record.rdata_at)[0]
            if targets.setdefault(record.owner, target) != target:
                raise WireError("two CNAME records at one name")
    names = {qname: 0}
    end = qname
    if qtype not in (p.CNAME, p.ANY):
        while target := targets.get(end, b""):
            if target in names:
                raise WireError("CNAME loop")
            if len(names) > MAX_HOPS:
                raise WireError("CNAME chain too long")
            names[target] = len(names)
            end = target
    redirects = _redirects(message, names, targets)
    kept = [record for record in answer if _belongs(message, record, names, redirects, qtype, do=do)]
    if len(names) > 1:
        kept.sort(key=lambda record: _place(message, record, names, redirects))
    answered = any(record.owner == end and (record.rtype == qtype or qtype == p.ANY) for record in kept)
    return Chain(tuple(names), tuple(kept), answered)


def substitution_is_too_long(message: Message) -> bool:
    """Whether a DNAME in the answer turns a name of the chain into one of over 255 bytes (RFC 6672, 2.2): so YXDOMAIN."""
    if not message.question:
        return False
    qname, qtype = message.question[:-4].lower(), int.from_bytes(message.question[-4:-2])
    try:
        end = follow(message, qname, qtype, do=False).names[-1]
    except WireError:
        return False
    return any(
        record.rtype == p.DNAME
        and record.owner != end
        and is_at_or_below(end, record.owner)
        and len(end) - len(record.owner) + len(read_name(message.wire, record.rdata_at)[0]) > MAX_NAME_BYTES
        for record in message.answer
    )


def _redirects(message: Message, names: dict[bytes, int], targets: dict[bytes, bytes]) -> dict[bytes, int]:
    """Owner and hop of each DNAME that made a CNAME of the chain (RFC 6672, 3.1), or that shows why it ends in YXDOMAIN.

    Another one speaks of names that the question is not about.
    """
    found: dict[bytes, int] = {}
    for record in message.answer:
        if record.rtype != p.DNAME or record.rclass != p.CLASS_IN:
            continue
        to = read_name(message.wire, record.rdata_at)[0]
        for name, hop in names.items():
            is_below = name != record.owner and is_at_or_below(name, record.owner)
            target = targets.get(name)
            made = target == name[: -len(record.owner)] + to if target is not None else message.rcode == p.YXDOMAIN
            if is_below and made:
                found.setdefault(record.owner, hop)
    return found


def _belongs(
    message: Message, record: ResourceRecord, names: dict[bytes, int], redirects: dict[bytes, int], qtype: int, *, do: bool
) -> bool:
    if record.rtype == qtype == p.RRSIG and record.owner in names:
        return True
    if record.rtype in _PROOF_TYPES and not do and record.rtype != qtype:
        return False
    rtype = kind_of(message.wire, record)
    if rtype == p.DNAME and qtype != p.DNAME:
        return record.owner in redirects
    return record.owner in names and (rtype in (qtype, p.CNAME) or qtype == p.ANY)


def _place(
    message: Message, record: ResourceRecord, names: dict[bytes, int], redirects: dict[bytes, int]
) -> tuple[int, int, int]:
    """Where it goes behind a chain: hop by hop the DNAME, the CNAME made from it, each with its signatures; then the answer."""
    rtype = kind_of(message.wire, record)
    is_signature = record.rtype == p.RRSIG
    if rtype == p.DNAME:
        return 0, 2 * redirects[record.owner], is_signature
    return int(rtype != p.CNAME), 2 * names[record.owner] + 1, is_signature
