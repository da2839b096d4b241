"""When a DNS64 takes part in an answer, and what it makes of it."""

from __future__ import annotations

from pdns.core.chain import Chain, follow
from pdns.core.entry import Ede, Entry
from pdns.core.outcome import Forward
from pdns.core.ruleset import RuleSet
from pdns.wire import protocol as p
from pdns.wire.message import Message


def serves(rules: RuleSet, policy: int, *, do: bool, cd: bool) -> bool:
    """Whether there is a DNS64 for the clients of `policy`. Not for one that validates, which sets DO and CD (RFC 6147, 5.5)."""
    return rules.dns64.enabled and rules.policy.is_translated(policy) and not (do and cd)


def is_translated(rules: RuleSet, forward: Forward) -> bool:
    """Whether an answer without AAAA records leads to a question for A."""
    return forward.qtype == p.AAAA and serves(rules, forward.policy, do=forward.do, cd=forward.cd)


def in_place_of(rules: RuleSet, forward: Forward, lacking: Message) -> Forward:
    """The question for A that follows from `lacking`, the answer to AAAA."""
    return forward._replace(lacking=lacking, route=rules.routes.of(forward.qname, p.A), head=None, asked=b"")


def lacks_addresses(rules: RuleSet, forward: Forward, message: Message, chain: Chain) -> bool:
    """Whether A is to be asked, since `message` answers AAAA and has no address."""
    return forward.lacking is None and is_translated(rules, forward) and rules.dns64.lacks_addresses(message, chain)


def pointer(rules: RuleSet, forward: Forward) -> bytes | None:
    """The name that is asked in place of the queried one, which is that of an address made by the DNS64."""
    if forward.qtype != p.PTR or not serves(rules, forward.policy, do=forward.do, cd=forward.cd):
        return None
    zone = rules.routes.find(forward.qname, forward.qtype)
    if zone is not None and rules.dns64.yields_to(zone[0], forward.qname):
        return None
    return rules.dns64.pointer(forward.qname)


def asked_as_pointer(rules: RuleSet, forward: Forward, mark: int) -> Forward:
    """`forward`, or the question for the name that `pointer` has for it. `mark` is that of the queried name."""
    target = pointer(rules, forward)
    if target is None:
        return forward
    head = rules.dns64.pointer_head(forward.qname, target, mark)
    return forward._replace(route=rules.routes.of(target, p.PTR), head=head, asked=target)


def translated(rules: RuleSet, forward: Forward, message: Message, chain: Chain) -> tuple[Message, Chain, Ede | None]:
    """The answer to the client's question that follows from `message`, and the Extended DNS Error of what the DNS64 has made.

    Its code is that of a failure where AAAA failed and no address follows from A.
    """
    dns64, lacking = rules.dns64, forward.lacking
    if not is_translated(rules, forward):
        return message, chain, dns64.mark if pointer(rules, forward) is not None else None
    mark = None
    if lacking is None:
        given = dns64.without_excluded(message, chain)
        if given is message:
            return message, chain, None
    elif (made := dns64.synthesised(lacking, message, chain)) is not None:
        given, mark = made, dns64.mark
    elif lacking.rcode != p.NOERROR:
        return lacking, chain, None
    else:
        given = dns64.without_excluded(lacking, follow(lacking, forward.qname, p.AAAA, do=forward.do))
    return given, follow(given, forward.qname, p.AAAA, do=forward.do), mark


def is_outdated(rules: RuleSet, entry: Entry, forward: Forward, message: Message, chain: Chain) -> bool:
    """Whether another configuration of the DNS64 made `entry`, whose content is `message`, or this one would not leave it as it
    is.
    """
    outdated = rules.dns64.is_outdated(entry.ede)
    if outdated is not None:
        return outdated or not rules.policy.is_translated(forward.policy)
    if is_translated(rules, forward):
        return entry.rcode == p.NOERROR and rules.dns64.has_to_change(message, chain)
    return pointer(rules, forward) is not None
