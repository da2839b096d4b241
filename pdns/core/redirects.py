"""Listed names that a feed answers with the records of another name, or over TCP alone: decision 47."""

from __future__ import annotations

from pdns.config.record_table import Rrset
from pdns.core.answers import error_entry, negative_entry
from pdns.core.block_answer import BlockAnswers, ede_text
from pdns.core.cacheable import cacheable
from pdns.core.chain import Chain
from pdns.core.entry import Ede, Entry, Verdict
from pdns.core.given import is_redirect, target_of
from pdns.core.listing import LOCAL_DATA
from pdns.core.outcome import Forward, Redirect
from pdns.core.overlay import Overlay
from pdns.core.policy import Decision
from pdns.core.records import LocalAnswer
from pdns.errors import WireError
from pdns.wire import protocol as p
from pdns.wire.message import Message

LED_TOO_FAR = b"the answer leads from zone to zone too often"
Aliases = tuple[tuple[bytes, Rrset], ...]  # CNAME records, each with its owner
OVER_TCP = b"\0tcp"  # ends the key of an answer that is given over TCP alone
_AS_IT_STANDS = (p.CNAME, p.ANY)  # types whose answer is the CNAME record itself


class Redirects(Overlay):
    """Follows the CNAME records that feeds give. What stands behind them is not looked up in the feeds again."""

    _blocked: BlockAnswers

    def _redirected(
        self, forward: Forward, redirect: Redirect, name: bytes, now: float, *, before: Aliases = (), recurse: bool = True
    ) -> Forward | Entry:
        """The question for the name that `name` is redirected to, in place of `forward`; or the answer, where nothing is to be
        asked: local records have it, `recurse` is not set, or it leads nowhere. `before` leads from the queried name to the one
        that is redirected.
        """
        owner, ttl_s = _end_of(before) or forward.qname, redirect.template.ttl_s
        target = target_of(redirect.action, name)
        if target is None or target == forward.qname or any(target == alias for alias, _ in before) or target == owner:
            entry = negative_entry(p.NXDOMAIN, forward.qname, forward.qname, "blocked", now, ttl_s)
            return as_blocked(entry, redirect, now)
        aliases = (*before, (owner, Rrset(p.CNAME, ttl_s, (target,))))
        found = LocalAnswer(aliases, target, outside=True, left=False)
        if forward.qtype in _AS_IT_STANDS or not recurse:
            return as_blocked(found.entry(forward.qname, now), redirect, now)
        known = self._local_answer(target, forward.qtype, now, do=forward.do)
        if known is not None:
            found = known._replace(rrsets=(*aliases, *known.rrsets), left=False)
        if not found.outside:
            return as_blocked(found.entry(forward.qname, now), redirect, now)
        plain = forward._replace(stale=None, head=None, asked=b"", lacking=None)
        further = self._led_outside(found, plain)._replace(redirect=redirect)
        special = self._special_entry(found.end, forward.qtype, now, do=forward.do)
        return further if special is None else as_blocked(self.behind_head(further, special, now), redirect, now)

    def _led_by_feeds(self, forward: Forward, message: Message, now: float) -> Forward | Entry | None:
        """What follows when a feed has data of its own for what the answer leads to, or for the name itself by now."""
        if forward.proof or forward.redirect is not None:
            return None
        try:
            message, chain, _ = self._whole(forward, message)
        except WireError:
            return None
        decision = self._decide(forward.qname, forward.qtype, forward.policy, message, chain)
        if decision.verdict is None or decision.given is None or decision.given.kind != LOCAL_DATA:
            return None
        verdict = decision.verdict
        template = self._blocked.template(
            forward.policy, verdict.feed, verdict.category, verdict.also, decision.monitored, forward.qtype,
            given=decision.given,
        )  # fmt: skip
        redirect = Redirect(decision.given, template, verdict.listed, decision.rule, self._cache.rules_epoch)
        hops = chain.names.index(decision.name) if decision.name in chain.names else 0
        ttl_s = template.ttl_s
        before = tuple(
            (owner, Rrset(p.CNAME, ttl_s, (target,))) for owner, target in zip(chain.names[:hops], chain.names[1:], strict=False)
        )
        if is_redirect(decision.given):
            return self._redirected(forward, redirect, decision.name, now, before=before)
        rdatas = decision.given.rdatas(forward.qtype)
        data = ((chain.names[hops], Rrset(forward.qtype, ttl_s, rdatas)),) if rdatas else ()
        answer = LocalAnswer((*before, *data), chain.names[hops], outside=False, left=False, negative_ttl_s=ttl_s)
        return as_blocked(answer.entry(forward.qname, now), redirect, now)

    def _answer_of_redirect(self, forward: Forward, redirect: Redirect, message: Message, now: float) -> Entry:
        """The answer to a name that a feed leads to another one, which `message` is about."""
        try:
            message, chain, hops = self._whole(forward, message)
        except WireError as error:
            return self._redirect_failed(forward, redirect, ((p.EDE_OTHER, error.reason.encode()),), now)
        if hops is not None:
            return self._redirect_failed(forward, redirect, ((p.EDE_OTHER, LED_TOO_FAR),), now)
        made = cacheable(message, chain, self._config, do=forward.do, now=now, rules_epoch=redirect.rules_epoch)
        return self._keep_redirect(forward, as_blocked(made, redirect, now), now)

    def _redirect_failed(self, forward: Forward, redirect: Redirect, errors: tuple[Ede, ...], now: float) -> Entry:
        entry = error_entry(p.SERVFAIL, "blocked", now, self._config.servfail_ttl_s, None)
        return self._keep_redirect(forward, as_blocked(entry, redirect, now, errors), now)

    def _keep_redirect(self, forward: Forward, entry: Entry, now: float) -> Entry:
        if entry.expires_s > now:  # of earlier rules, it is decided again when it is next asked for
            self._cache.put(forward.key, entry)
        return entry

    def _whole(self, forward: Forward, message: Message) -> tuple[Message, Chain, int | None]:
        raise NotImplementedError  # of `Responses`

    def _decide(
        self, qname: bytes, qtype: int, policy: int, message: Message, chain: Chain, *, over_tcp: bool = False
    ) -> Decision:
        raise NotImplementedError


def _end_of(aliases: Aliases) -> bytes:
    return aliases[-1][1].rdatas[0] if aliases else b""


def as_blocked(entry: Entry, redirect: Redirect, now: float, errors: tuple[Ede, ...] = ()) -> Entry:
    """`entry`, which is an answer to a redirected name, counted and explained as a block. `errors` come behind the reason."""
    template = redirect.template
    code = template.entry.ede[0] if template.entry.ede is not None else p.EDE_BLOCKED
    entry.source, entry.ad = "blocked", False
    entry.ede = code, ede_text(template, redirect.listed, redirect.rule)
    entry.structured = template.structured
    entry.more_ede = errors
    entry.verdict = Verdict(template.feed, template.category, redirect.listed, template.action, template.also)
    entry.monitored = template.monitored
    entry.rules_epoch = redirect.rules_epoch
    entry.expires_s = min(entry.expires_s, now + template.ttl_s)
    return entry
