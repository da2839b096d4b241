"""A clean name that leads to a listed one is blocked too: CNAME targets, addresses, HTTPS and SVCB."""

# kernel: pdns/fast/answer_check.pyx

from __future__ import annotations

from collections.abc import Iterator

from pdns.core.chain import Chain
from pdns.core.given import EVERY_FEED
from pdns.core.listing import Listings
from pdns.core.policy import CLEAN, Decision, Policy, merge
from pdns.wire import protocol as p
from pdns.wire.message import Message, ResourceRecord, read_name

_IPV4HINT, _IPV6HINT = 4, 6  # SvcParamKeys (RFC 9460, 14.3.2)


def check_response(
    policy: Policy, blockset: Listings | None, number: int, message: Message, chain: Chain, stops_at: int = EVERY_FEED
) -> Decision:
    """What the feeds before the place `stops_at` say of everything that the answer leads to; the queried name itself was decided
    before.
    """
    decision = policy.within(_checked(policy, blockset, number, message, chain), stops_at)
    return decision if decision.stops_at == EVERY_FEED else policy.within(decision, decision.stops_at)


def _checked(policy: Policy, blockset: Listings | None, number: int, message: Message, chain: Chain) -> Decision:
    decision = CLEAN
    for record in chain.records:
        if record.rtype in (p.CNAME, p.DNAME):
            target = read_name(message.wire, record.rdata_at)[0]
            decision = merge(decision, policy.decide(blockset, number, target))
        elif record.rtype in (p.A, p.AAAA):
            packed = message.wire[record.rdata_at : record.end]
            decision = merge(decision, policy.decide_address(blockset, number, packed, record.owner))
        elif record.rtype in (p.HTTPS, p.SVCB):
            target, hints = service_of(message, record)
            if target != b"\0":
                decision = merge(decision, policy.decide(blockset, number, target))
            for packed in hints:
                decision = merge(decision, policy.decide_address(blockset, number, packed, record.owner))
    return decision


def service_of(message: Message, record: ResourceRecord) -> tuple[bytes, list[bytes]]:
    """The target of an HTTPS or SVCB record, and the addresses in its hints, of 4 or 16 bytes each."""
    wire = message.wire
    target, at = read_name(wire, record.rdata_at + 2)
    hints: list[bytes] = []
    for key, value in _params(wire[at : record.end]):
        size = 4 if key == _IPV4HINT else 16 if key == _IPV6HINT else 0
        if size:
            hints += [value[i : i + size] for i in range(0, len(value) - size + 1, size)]
    return target, hints


def _params(data: bytes) -> Iterator[tuple[int, bytes]]:
    """SvcParams (RFC 9460, 2.2), as far as they are sound."""
    at = 0
    while at + 4 <= len(data):
        key, size = int.from_bytes(data[at : at + 2]), int.from_bytes(data[at + 2 : at + 4])
        yield key, data[at + 4 : at + 4 + size]
        at += 4 + size
