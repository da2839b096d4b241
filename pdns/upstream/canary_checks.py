"""The questions of canaries, and the checks of their answers. No I/O, no clock."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from pdns.config.addresses import IPAddress
from pdns.config.canary_schema import CanarySection
from pdns.config.canary_targets import KnownName
from pdns.core.extended_errors import is_blocked
from pdns.upstream.exchange import UpstreamQuestion
from pdns.upstream.honesty import CanaryKind, CanaryResult
from pdns.wire import names
from pdns.wire import protocol as p
from pdns.wire.message import Message

RANDOM_BYTES: Final = 10  # of the label of a name that does not exist

Check = Callable[[Message], CanaryResult]


class CanaryQuestion(NamedTuple):
    """One question, and what its answer proves."""

    kind: CanaryKind
    role: str  # the key of `[canaries]` that it comes from
    question: UpstreamQuestion
    check: Check


def questions_of(section: CanarySection, turn: int, random: bytes, *, validates: bool) -> Iterator[CanaryQuestion]:
    """At most five questions, whose names take turns. `random`: `RANDOM_BYTES`; `validates`: the upstream is expected to."""
    if validates and section.signed and section.bogus:  # one without the other proves little
        yield _canary(CanaryKind.VALIDATION, "signed", _name(section.signed, turn), check_signed, do=True)
        yield _canary(CanaryKind.VALIDATION, "bogus", _name(section.bogus, turn), check_bogus, do=True)
    if section.known:
        known = KnownName.of(section.known[turn % len(section.known)])
        qtype = p.A if any(address.version == 4 for address in known.addresses) else p.AAAA

        def check_known(message: Message) -> CanaryResult:
            found = set(addresses_of(message))
            if not found:
                return CanaryResult.NOTHING
            return CanaryResult.HONEST if found <= known.addresses else CanaryResult.LIE

        yield _canary(CanaryKind.REWRITING, "known", known.name, check_known, qtype=qtype)
    if section.empty_zone:
        label = random.hex().encode()
        absent = bytes([len(label)]) + label + names.from_text(section.empty_zone)
        yield _canary(CanaryKind.REWRITING, "empty_zone", absent, check_absent)
    if section.resolves:
        yield _canary(CanaryKind.FILTERING, "resolves", _name(section.resolves, turn), check_resolves)


def findings_of(found: dict[str, CanaryResult], asked: set[CanaryKind]) -> dict[CanaryKind, CanaryResult]:
    """What one round says of each kind that was asked for. `found` has what each question said, by its role."""
    kinds = {}
    if CanaryKind.VALIDATION in asked:
        both = {found["signed"], found["bogus"]}
        kinds[CanaryKind.VALIDATION] = (
            CanaryResult.LIE if CanaryResult.LIE in both else CanaryResult.NOTHING if len(both) > 1 else both.pop()
        )
    if CanaryKind.REWRITING in asked:
        some = {found.get("known", CanaryResult.NOTHING), found.get("empty_zone", CanaryResult.NOTHING)}
        some = some - {CanaryResult.NOTHING} or some
        kinds[CanaryKind.REWRITING] = CanaryResult.LIE if CanaryResult.LIE in some else some.pop()
    if CanaryKind.FILTERING in asked:
        said = found["resolves"]
        knows_public_names = (
            found.get("known", CanaryResult.HONEST) is not CanaryResult.NOTHING
        )  # else it may be a network of its own
        kinds[CanaryKind.FILTERING] = said if said is not CanaryResult.LIE or knows_public_names else CanaryResult.NOTHING
    return kinds


def check_signed(message: Message) -> CanaryResult:
    """A name with good signatures: AD must be set."""
    if message.rcode != p.NOERROR or not message.answer:
        return CanaryResult.NOTHING
    return CanaryResult.HONEST if message.flags & p.AD else CanaryResult.LIE


def check_bogus(message: Message) -> CanaryResult:
    """A name with broken signatures: SERVFAIL."""
    if message.rcode == p.SERVFAIL:
        return CanaryResult.HONEST
    return CanaryResult.LIE if message.rcode == p.NOERROR and message.answer else CanaryResult.NOTHING


def check_absent(message: Message) -> CanaryResult:
    """A name that does not exist: NXDOMAIN, or NODATA, which zones with compact denial have instead (RFC 9824)."""
    if message.rcode == p.NOERROR and message.answer:
        return CanaryResult.LIE
    return CanaryResult.HONEST if message.rcode in (p.NXDOMAIN, p.NOERROR) else CanaryResult.NOTHING


def check_resolves(message: Message) -> CanaryResult:
    """A name that must have addresses on which a server can be."""
    if is_blocked(message):
        return CanaryResult.LIE
    found = list(addresses_of(message))
    if found:
        return CanaryResult.LIE if all(one.is_unspecified or one.is_loopback for one in found) else CanaryResult.HONEST
    return CanaryResult.LIE if message.rcode in (p.NOERROR, p.NXDOMAIN) else CanaryResult.NOTHING


def addresses_of(message: Message) -> Iterator[IPAddress]:
    """All addresses in the answer section of a NOERROR message."""
    for record in message.answer if message.rcode == p.NOERROR else ():
        rdata = message.wire[record.rdata_at : record.end]
        if (record.rtype, len(rdata)) in ((p.A, 4), (p.AAAA, 16)):
            yield ipaddress.ip_address(rdata)


def _name(texts: tuple[str, ...], turn: int) -> bytes:
    return names.from_text(texts[turn % len(texts)])


def _canary(kind: CanaryKind, role: str, name: bytes, check: Check, *, do: bool = False, qtype: int = p.A) -> CanaryQuestion:
    return CanaryQuestion(kind, role, UpstreamQuestion(name, qtype, p.CLASS_IN, do=do, cd=False), check)
