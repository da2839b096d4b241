"""What a blocked client gets, for each action and type."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

from pdns.core.answers import answer_entry, error_entry, negative_entry, soa_owner
from pdns.core.case import REFERENCE_CHARACTERS, case_key, name_key, spelt
from pdns.core.entry import Entry, Monitored, Verdict
from pdns.core.listing import LOCAL_DATA, TCP_ONLY, ListedAction
from pdns.core.policy import Policy
from pdns.core.structured_error import Operator, StructuredText, sound, structured_text
from pdns.wire import protocol as p
from pdns.wire.names import ROOT, to_text

_ZERO = {p.A: bytes(4), p.AAAA: bytes(16)}
_REASON_MAX_BYTES = 100  # so that the name still fits


class Template(NamedTuple):
    """An answer for every name that one feed blocks in one way: all but the listed name, the owner of its SOA and the time."""

    entry: Entry  # with the Extended DNS Error code, and no text; a negative one begins with a pointer to the owner of its SOA
    ttl_s: int
    feed: str
    category: str
    action: str
    also: tuple[str, ...]  # as in a verdict
    monitored: Monitored
    ede_head: bytes  # the text is this (with "*." of a rule that has it), the listed name, `ede_tail`, the case reference, ")"
    ede_tail: bytes
    case_key: int  # as `pdns.core.case.case_key`
    structured: StructuredText | None


class BlockAnswers:
    """Makes the answer to a blocked query, as the policy of its client says."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._templates: dict[
            tuple[int, str, str, tuple[str, ...], Monitored, int, str, bool, ListedAction | None], Template
        ] = {}

    def entry(
        self,
        policy: int,
        verdict: Verdict,
        rule: str,
        qname: bytes,
        qtype: int,
        now: float,
        monitored: Monitored,
        rules_epoch: int,
        reason: str = "",
        given: ListedAction | None = None,
    ) -> Entry:
        """The answer to `qname`, which tells that `rule` blocks it. Types without a sinkhole get NODATA; every negative one has
        an SOA; DO changes nothing.
        """
        template = self.template(policy, verdict.feed, verdict.category, verdict.also, monitored, qtype, reason, given=given)
        return fill(template, qname, verdict.listed, now, rules_epoch, rule)

    def template(
        self,
        policy: int,
        feed: str,
        category: str,
        also: tuple[str, ...],
        monitored: Monitored,
        qtype: int,
        reason: str = "",
        *,
        below_only: bool = False,
        given: ListedAction | None = None,
    ) -> Template:
        """What every answer has in common that blocks a query of this type for the clients of `policy`, on the word of `feed`,
        and `also` of others, or for `reason`; with `below_only` by a rule for what is below the listed name; with `given`
        as the feed says. The same object each time.
        """
        if given is not None and given.kind == LOCAL_DATA:
            qtype = given.data[0][0] if qtype == p.ANY else qtype if given.rdatas(qtype) else 0  # RFC 8482, 4.1
        elif qtype not in _ZERO:
            qtype = 0
        key = (policy, feed, category, also, monitored, qtype, reason, below_only, given)
        template = self._templates.get(key)
        if template is None:
            head, tail = f"{category}: ".encode(), f" is listed by {feed}".encode()
            if reason:
                told = sound(reason).encode()[:_REASON_MAX_BYTES].decode("utf-8", "ignore")
                head, tail = f"{category}: {told} (".encode(), b")"
            head, tail = head + b"*." * below_only, tail + b" (case "
            settings = self._policy.settings(policy)
            operator = Operator(settings.organisation, settings.contact, settings.language)
            action = settings.action_of(category) if given is None else given.kind
            rdatas = () if given is None else given.rdatas(qtype)
            entry = (
                answer_entry(qtype, rdatas, "blocked", 0.0, settings.ttl_s)
                if rdatas
                else _entry(action, settings.sinkhole_of(category), qtype, settings.ttl_s)
            )
            entry.ede = (settings.ede_code, b"")
            template = self._templates[key] = Template(
                entry,
                settings.ttl_s,
                feed,
                category,
                action,
                also,
                monitored,
                head,
                tail,
                case_key(feed, settings.name),
                structured_text(operator, settings.ede_code, category, also),
            )
        return template


def _entry(action: str, sinkhole: tuple[str, ...], qtype: int, ttl_s: int) -> Entry:
    addresses: dict[int, bytes] = {}
    if action == "sinkhole":
        packed = [ip_address(text).packed for text in sinkhole]
        addresses = {p.A if len(address) == 4 else p.AAAA: address for address in packed}
    elif action == "zero":
        addresses = _ZERO
    if (address := addresses.get(qtype)) is not None:
        return answer_entry(qtype, [address], "blocked", 0.0, ttl_s)
    if action == TCP_ONLY:
        return error_entry(p.NOERROR, "blocked", 0.0, ttl_s, None)
    if action in ("refused", "drop"):
        return error_entry(p.REFUSED, "blocked", 0.0, ttl_s, None)
    rcode = p.NXDOMAIN if action == "nxdomain" else p.NOERROR
    return negative_entry(rcode, ROOT, ROOT, "blocked", 0.0, ttl_s)


def fill(template: Template, qname: bytes, listed: bytes, now: float, rules_epoch: int, rule: str = "") -> Entry:
    """The answer to a query for `qname`, which is blocked because `listed` is, by `rule` if that is not the listed name."""
    common = template.entry
    code = common.ede[0] if common.ede is not None else p.EDE_BLOCKED
    body = common.body
    if common.counts[3]:
        body = soa_owner(common.rcode, listed, qname) + body[2:]
    return Entry(
        common.rcode, "blocked", now, template.ttl_s, body=body, counts=common.counts, ttls=common.ttls,
        ede=(code, ede_text(template, listed, rule)), structured=template.structured, monitored=template.monitored,
        rules_epoch=rules_epoch,
        verdict=Verdict(template.feed, template.category, listed, template.action, template.also),
    )  # fmt: skip


def ede_text(template: Template, listed: bytes, rule: str = "") -> bytes:
    """Who blocked it and why, and the case reference, within what an OPT record has room for: a long name is cut."""
    case = spelt(name_key(listed) ^ template.case_key).encode()
    named, room = (rule or to_text(listed)).encode(), ede_room(template)
    if len(named) > room:
        named = named[: room - 3] + b"..."
    return template.ede_head + named + template.ede_tail + case + b")"


def ede_room(template: Template) -> int:
    """The bytes that the name of the rule may take in the text."""
    return p.EDE_TEXT_MAX_BYTES - len(template.ede_head) - len(template.ede_tail) - REFERENCE_CHARACTERS - 1


class ToldBlock(NamedTuple):
    """What the text of a blocked answer says."""

    rule: str  # "": cut
    reason: str
    case: str


def told_by(text: str, feed: str, category: str) -> ToldBlock:
    """What `ede_text` was made of; empty where `text` is another one."""
    said, _, case = text.removesuffix(")").rpartition(" (case ")
    if not text.endswith(")") or len(case) != REFERENCE_CHARACTERS or not said.startswith(f"{category}: "):
        return ToldBlock("", "", "")
    said, reason = said[len(category) + 2 :], ""
    listed_by = f" is listed by {feed}"
    if said.endswith(listed_by):
        rule = said.removesuffix(listed_by)
    else:
        reason, _, rule = said.removesuffix(")").rpartition(" (")
    return ToldBlock("" if rule.endswith("...") else rule, reason, case)
