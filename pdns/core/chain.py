"""Which records of a response answer the question that was asked: the CNAME chain and what stands at its end."""

from __future__ import annotations

from typing import NamedTuple

from pdns.core import protocol as p
from pdns.core.message import Message, Record, kind_of, read_name
from pdns.core.names import is_at_or_below
from pdns.errors import WireError

MAX_HOPS = 16  # longer chains are somebody's attack on caches (CacheFlush), not a web site


class Chain(NamedTuple):
    """What is kept of a response's answer section."""

    names: tuple[bytes, ...]  # qname, then each CNAME target in turn
    records: tuple[Record, ...]  # in the order received
    answered: bool  # the last name has records of the asked type


def follow(message: Message, qname: bytes, qtype: int) -> Chain:
    """The chain from `qname`. Records of other names are left out: an answer speaks for its own question only.

    Raises `WireError` for a chain that loops or has more than 16 hops.
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
    chain = [qname]
    if qtype not in (p.CNAME, p.ANY):
        while (target := targets.get(chain[-1], b"")) and target:
            if target in chain:
                raise WireError("CNAME loop")
            chain.append(target)
            if len(chain) > MAX_HOPS + 1:
                raise WireError("CNAME chain too long")
    kept = tuple(record for record in answer if _belongs(message, record, chain, qtype))
    end = chain[-1]
    answered = any(record.owner == end and (record.rtype == qtype or qtype == p.ANY) for record in kept)
    return Chain(tuple(chain), kept, answered)


def _belongs(message: Message, record: Record, chain: list[bytes], qtype: int) -> bool:
    if record.rtype == qtype == p.RRSIG and record.owner in chain:
        return True
    rtype = kind_of(message.wire, record)
    if rtype == p.DNAME and qtype != p.DNAME:
        return any(is_at_or_below(name, record.owner) for name in chain)
    return record.owner in chain and (rtype in (qtype, p.CNAME) or qtype == p.ANY)
