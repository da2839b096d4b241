"""Listed names that a feed answers with the records of another name, or over TCP alone: decision 47."""

from __future__ import annotations

from pdns.config.record_table import Rrset
from pdns.core.answers import error_entry, negative_entry
from pdns.core.block_answer import BlockAnswers, ede_text
from pdns.core.cacheable import cacheable
from pdns.core.chain import Chain
from pdns.core.entry import Ede, Entry, Verdict
from pdns.core.given import is_redirect, target_of
from pdns.core.outcome import Forward, Redirect
from pdns.core.overlay import Overlay
from pdns.core.policy import Decision
from pdns.core.records import LocalAnswer
from pdns.errors import WireError
from pdns.wire import protocol as p
from pdns.wire.message import Message
from pdns.wire.names import to_text

LED_TOO_FAR = b"the answer leads from zone to zone too often"
OVER_TCP = b"\0tcp"  # ends the key of an answer that is given over TCP alone
_AS_IT_STANDS = (p.CNAME, p.ANY)  # types whose answer is the CNAME record itself


class Redirects(Overlay):
    """Follows the CNAME records that feeds give. What stands behind them is not looked up in the feeds again."""

    _blocked: BlockAnswers

    def _redirected(
        self, forward: Forward, redirect: Redirect, name: bytes, now: float, *, recurse: bool = True
    ) -> Forward | Entry:
        """The question for the name that `name` is redirected to, in place of `forward`; or the answer, where nothing is to be
        asked: local records have it, `recurse` is not set, or it leads nowhere.
        """
        target = target_of(redirect.action, name)
        if target is None or target == forward.qname:
            entry = negative_entry(p.NXDOMAIN, forward.qname, forward.qname, "blocked", now, redirect.template.ttl_s)
            return as_blocked(entry, redirect, now)
        alias = forward.qname, Rrset(p.CNAME, redirect.template.ttl_s, (target,))
        if forward.qtype in _AS_IT_STANDS or not recurse:
            return as_blocked(LocalAnswer((alias,), target, outside=True, left=False).entry(forward.qname, now), redirect, now)
        known = self._local_answer(target, forward.qtype, now, do=forward.do)
        found = LocalAnswer((alias,), target, outside=True, left=False)
        if known is not None:
            found = known._replace(rrsets=(alias, *known.rrsets), left=False)
        if not found.outside:
            return as_blocked(found.entry(forward.qname, now), redirect, now)
        plain = forward._replace(stale=None, head=None, asked=b"", lacking=None)
        further = self._led_outside(found, plain)._replace(redirect=redirect)
        special = self._special_entry(found.end, forward.qtype, now, do=forward.do)
        return further if special is None else as_blocked(self.behind_head(further, special, now), redirect, now)

    def _led_by_feeds(self, forward: Forward, message: Message, now: float) -> Forward | Entry | None:
        """What follows when the answer, or the name itself by now, is one that a feed leads to another name."""
        if forward.proof or forward.redirect is not None:
            return None
        try:
            message, chain, _ = self._whole(forward, message)
        except WireError:
            return None
        decision = self._decide(forward.qname, forward.qtype, forward.policy, message, chain)
        if decision.verdict is None or decision.given is None or not is_redirect(decision.given):
            return None
        verdict = decision.verdict
        template = self._blocked.template(
            verdict.feed, verdict.category, verdict.also, decision.monitored, forward.qtype, given=decision.given
        )
        redirect = Redirect(decision.given, template, verdict.listed, decision.rule, self._cache.rules_epoch)
        return self._redirected(forward, redirect, decision.name, now)

    def _answer_of_redirect(self, forward: Forward, redirect: Redirect, message: Message, now: float) -> Entry:
        """The answer to a name that a feed leads to another one, which `message` is about. Kept if the rules stay."""
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
        if entry.expires_s > now and entry.rules_epoch == self._cache.rules_epoch:
            self._cache.put(forward.key, entry)
        return entry

    def _whole(self, forward: Forward, message: Message) -> tuple[Message, Chain, int | None]:
        raise NotImplementedError  # of `Responses`

    def _decide(
        self, qname: bytes, qtype: int, policy: int, message: Message, chain: Chain, *, over_tcp: bool = False
    ) -> Decision:
        raise NotImplementedError


def as_blocked(entry: Entry, redirect: Redirect, now: float, errors: tuple[Ede, ...] = ()) -> Entry:
    """`entry`, which is an answer to a redirected name, counted and explained as a block. `errors` come behind the reason."""
    template = redirect.template
    code = template.entry.ede[0] if template.entry.ede is not None else p.EDE_BLOCKED
    entry.source, entry.ad = "blocked", False
    entry.ede = code, ede_text(template, redirect.rule or to_text(redirect.listed))
    entry.more_ede = errors
    entry.verdict = Verdict(template.feed, template.category, redirect.listed, template.action, template.also)
    entry.monitored = template.monitored
    entry.rules_epoch = redirect.rules_epoch
    entry.expires_s = min(entry.expires_s, now + template.ttl_s)
    return entry
