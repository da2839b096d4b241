"""The decision about every response, and about answers that were decided under other rules."""

# kernel: pdns/fast/answer_check.pyx

from __future__ import annotations

from collections.abc import Callable

from pdns.core.answers import error_entry, not_ready_entry
from pdns.core.cache import AnswerCache
from pdns.core.cacheable import cacheable
from pdns.core.chain import Chain, follow
from pdns.core.crossing import MAX_CROSSINGS, head_of, joined
from pdns.core.entry import Entry, Verdict
from pdns.core.extended_errors import errors_of
from pdns.core.given import has_local_data, is_tcp_only
from pdns.core.listing import LOCAL_DATA
from pdns.core.outcome import Answer, Forward
from pdns.core.policy import CLEAN, Decision, merge
from pdns.core.rebinding import denied_entry
from pdns.core.records import LocalAnswer, message_of
from pdns.core.redirects import LED_TOO_FAR, OVER_TCP, Redirects
from pdns.core.response_check import check_response
from pdns.core.routes import DEFAULT_ROUTE
from pdns.core.ruleset import RuleSet
from pdns.core.translation import asked_as_pointer, is_outdated, is_translated, lacks_addresses, translated
from pdns.errors import WireError
from pdns.wire import names
from pdns.wire import protocol as p
from pdns.wire.message import Message, ResourceRecord, kind_of, read_name

SawPrivate = Callable[[bytes, bytes], object]

_NO_ADDRESS = b"no answer to AAAA, and no IPv4 address to translate"


class Responses(Redirects):
    """Decides about responses. `Resolver` decides about queries."""

    def __init__(self, rules: RuleSet, cache: AnswerCache, saw_private: SawPrivate) -> None:
        """`saw_private` is called with the queried name and the address (4 or 16 bytes) of each answer that the protection from
        DNS rebinding refuses.
        """
        self._cache = cache
        self._saw_private = saw_private
        self.rules = rules
        self.adopt(rules)

    def adopt(self, rules: RuleSet) -> None:
        """Decide by `rules` from now on. Answers in the cache stay and are decided again when they are next asked for."""
        only_feeds = rules is not self.rules and rules.differs_only_in_feeds(self.rules)
        self.rules, self._policy, self._blocked = rules, rules.policy, rules.block_answers
        self._config = rules.config.cache
        blockset = rules.blockset
        self._has_given_data = bool(rules.policy.given) and blockset is not None and has_local_data(blockset.actions)
        self._cache.new_rules(only_feeds=only_feeds)

    def further(self, forward: Forward, message: Message) -> Forward | None:
        """What is to be asked before `message`, which answers `forward`, is whole: it leads to names of another route, or the
        servers of a zone, which need not recurse, have not followed it to its end; or a DNS64 needs the IPv4 addresses.
        """
        if self._has_given_data and (led := self._led_by_feeds(forward, message, 0.0)) is not None:
            return led if isinstance(led, Forward) else None
        if forward.proof or (self._takes_default(forward) and not self.rules.dns64.enabled):
            return None
        if forward.redirect is None and (found := self._local_since(forward)) is not None:
            return self._led_outside(found, forward._replace(lacking=None)) if found.outside else None
        try:
            message, chain, hops = self._whole(forward, message)
        except WireError:
            return None  # `on_answer` says so
        head = forward.head
        if hops is None and forward.route != DEFAULT_ROUTE and _is_unfinished(forward, message, chain):
            hops = len(chain.names) - 1
        if hops is None and forward.redirect is None and lacks_addresses(self.rules, forward, message, chain):
            return self._asked_for_a(forward, message)
        if hops is None or (head is not None and head.crossings >= MAX_CROSSINGS):
            return None
        route = self.rules.routes.of(chain.names[hops], forward.qtype)
        if hops == 0:
            return self._asked_as_pointer(forward._replace(route=route, head=None, asked=b""))
        new_head = head_of(message, chain, hops, head, self._mark(chain.names[:hops], forward.qtype))
        return forward._replace(route=route, head=new_head, asked=chain.names[hops])

    def further_after_failure(self, forward: Forward, message: Message | None, now: float) -> Forward | None:
        """What is to be asked when an upstream reported the failure `message`: A, as if the name had no AAAA records (RFC 6147,
        5.1.2), unless there is a stale answer.
        """
        if message is None or forward.lacking is not None or not is_translated(self.rules, forward):
            return None
        return None if self.stale_answer(forward, now) is not None else self._asked_for_a(forward, message)

    def on_answer(self, forward: Forward, message: Message, now: float) -> Entry:
        """The entry for a NOERROR, NXDOMAIN or YXDOMAIN message that answers `forward`: checked, bounded and stored.

        `further` has nothing to ask of it. What it says of names of another route is not believed.
        """
        told = message
        if forward.redirect is not None:
            return self._answer_of_redirect(forward, forward.redirect, message, now)
        if forward.proof and message.rcode != p.NXDOMAIN:  # an upstream that has names there, of which it cannot be asked
            return self._store_denial(forward, now)
        if (found := self._local_since(forward)) is not None:
            return self._translated_here(found, forward._replace(lacking=None), now) or self._store_local(found, forward, now)
        try:
            message, chain, hops = self._whole(forward, message)
        except WireError as error:
            return self._store_failure(forward, ((p.EDE_OTHER, error.reason.encode()),), now)
        if hops is not None:
            return self._store_failure(forward, ((p.EDE_OTHER, LED_TOO_FAR),), now)
        if self._lacks_feeds(forward.policy) and not forward.proof and self._needs_feeds(chain, forward.asked_type):
            return not_ready_entry(self.rules.missing, now)
        mark = None
        if self.rules.dns64.enabled:
            message, chain, mark = translated(self.rules, forward, message, chain)
            if message.rcode not in (p.NOERROR, p.NXDOMAIN, p.YXDOMAIN):
                return self._store_failure(forward, errors_of(message) or ((p.EDE_OTHER, _NO_ADDRESS),), now)
        decision = self._decide(forward.qname, forward.qtype, forward.policy, message, chain, over_tcp=forward.over_tcp)
        if decision.verdict is not None:
            entry = self._block_entry(decision, decision.verdict, forward, now)
            if is_tcp_only(decision.given):
                entry.over_tcp = self.on_answer(forward._replace(key=forward.key + OVER_TCP, over_tcp=True), told, now)
            elif self._has_given_data and isinstance(led := self._led_by_feeds(forward, told, now), Entry):
                entry = led
        elif (denied := self._private_denied(forward, message, chain, now)) is not None:
            entry = denied
        else:
            exists = message.rcode == p.NXDOMAIN and not forward.proof and self._exists(chain.names[-1], forward.qtype)
            entry = cacheable(
                message,
                chain,
                self._config,
                do=forward.do and not exists,  # the proof says what is not so here
                now=now,
                rules_epoch=self._cache.rules_epoch,
                any_question=forward.proof,
            )
            entry.monitored = decision.monitored
            entry.route_mark = self._mark(chain.names, forward.qtype)
            if exists:
                entry.rcode, entry.ad = p.NOERROR, False  # there are names below it here, and caches take NXDOMAIN for all below
            if mark is not None:
                entry.ede, entry.more_ede = mark, ()
        if entry.expires_s > now:
            self._cache.put(forward.key, entry)
        else:
            self._cache.remove(forward.key)
        return entry

    def on_failure(self, forward: Forward, ede_code: int, text: str, message: Message | None, now: float) -> Answer:
        """What to say when no upstream helped: the stale answer while there is one, else SERVFAIL with the reason.

        `message` is a failure that an upstream did report; its Extended DNS Error is passed on.
        """
        if forward.proof:
            return Answer(self._store_denial(forward, now), "local")
        stale = self.stale_answer(forward, now)
        if stale is not None:
            self._cache.retry_after(forward.key, now + self._config.stale_ttl_s)
            return stale
        errors = errors_of(message) if message is not None else ()
        errors = errors or ((ede_code, text.encode()[: p.EDE_TEXT_MAX_BYTES]),)
        if forward.redirect is not None:
            return Answer(self._redirect_failed(forward, forward.redirect, errors, now), "blocked")
        return Answer(self._store_failure(forward, errors, now), "error")

    def stale_answer(self, forward: Forward, now: float) -> Answer | None:
        """The expired answer to `forward`, if it may still be given."""
        entry: Entry | None = forward.stale
        if entry is None or now >= entry.expires_s + self._config.max_stale_s:
            return None
        if entry.rules_epoch != self._cache.rules_epoch:
            entry = self._decided_again(entry, forward, now)
            if entry is None:
                return None
        return Answer(entry, "stale", stale=True) if entry.source == "upstream" else Answer(entry, entry.source)

    def overloaded(self, forward: Forward, text: str, now: float) -> Answer:
        """What to say at once when there is no room to ask: the stale answer or SERVFAIL, which is not remembered."""
        stale = self.stale_answer(forward, now)
        return stale or Answer(error_entry(p.SERVFAIL, "error", now, 0, (p.EDE_OTHER, text.encode())), "error")

    def _lacks_feeds(self, policy: int) -> bool:
        """Whether clients of `policy` get no answers that feeds might have a say in, as a required feed is missing."""
        return not self.rules.ready and not (self._policy.forwards_unready and self._policy.settings(policy).forwards_unready)

    def _takes_default(self, forward: Forward) -> bool:
        """Whether no other route is concerned, by the rules of now or by those of when it was asked."""
        concerned = self.rules.routes or self.rules.records or forward.route != DEFAULT_ROUTE or forward.head is not None
        return forward.proof or not concerned

    def _translated_here(self, found: LocalAnswer, forward: Forward, now: float) -> Entry | None:
        """The answer that a DNS64 makes of local IPv4 addresses, where `found`, the answer to AAAA, has none."""
        if found.outside or not is_translated(self.rules, forward):
            return None
        lacking = found.message(forward.qname, p.AAAA)
        chain = follow(lacking, forward.qname, p.AAAA, do=forward.do)
        of_ipv4 = self._local_answer(forward.qname, p.A, now, do=forward.do)
        if of_ipv4 is None or of_ipv4.outside or not lacks_addresses(self.rules, forward, lacking, chain):
            return None
        told = of_ipv4.message(forward.qname, p.A)
        chain = follow(told, forward.qname, p.A, do=forward.do)
        message, chain, mark = translated(self.rules, forward._replace(lacking=lacking), told, chain)
        if mark is None:
            return None
        entry = cacheable(message, chain, self._config, do=forward.do, now=now, rules_epoch=self._cache.rules_epoch)
        entry.source, entry.ede = "local", mark
        self._cache.put(forward.key, entry)
        return entry

    def _ended_here(self, found: LocalAnswer, forward: Forward, now: float) -> Entry | None:
        """The answer that local records lead to, if it is not one for an upstream: a special name, or a listed one."""
        message = found.message(forward.qname, forward.qtype)
        chain = follow(message, forward.qname, forward.qtype, do=forward.do)
        special = self._special_entry(found.end, forward.qtype, now, do=forward.do)
        decision = self._decide(forward.qname, forward.qtype, forward.policy, message, chain)
        if decision.verdict is not None:
            entry = self._block_entry(decision, decision.verdict, forward, now)
        elif special is not None:
            entry = self.behind_head(self._led_outside(found, forward), special, now)
        else:
            return None
        self._cache.put(forward.key, entry)
        return entry

    def _whole(self, forward: Forward, message: Message) -> tuple[Message, Chain, int | None]:
        """`message` with what was known before it, and with the local records that it leads to; the chain of it all; and which
        name of that is to be asked next, as it is not for the servers that were asked. Raises `WireError`.
        """
        told_before = 0
        if forward.head is not None:
            message = joined(forward.head, _question(forward.qname, forward.asked_type), message)
            told_before = p.HEADER_BYTES + len(message.question) + len(forward.head.records)
        chain = follow(message, forward.qname, forward.asked_type, do=forward.do)
        if self._takes_default(forward):
            return message, chain, None
        own = [one for one in chain.records if one.start < told_before or not self._is_foreign_dname(message, one, forward)]
        chain = chain._replace(records=tuple(own))
        hops = self._first_foreign(forward, chain)
        for at in range(forward.head.hops if forward.head is not None else 1, len(chain.names) if hops is None else hops + 1):
            if self._is_local(chain.names[at], forward.asked_type):
                found = self.rules.records.answer(chain.names[at], forward.asked_type)
                assert found is not None
                message, chain = self._told_here(found.message(chain.names[at], forward.asked_type), forward, message, chain, at)
                hops = len(chain.names) - 1 if found.outside else None
                break
        if hops:  # the name is not asked if it is one that is never forwarded
            special = self._special_entry(chain.names[hops], forward.asked_type, 0.0, do=forward.do)
            if special is not None:
                told = message_of(special, _question(chain.names[hops], forward.asked_type))
                return *self._told_here(told, forward, message, chain, hops), None
        return message, chain, hops

    def _told_here(self, told: Message, forward: Forward, message: Message, chain: Chain, at: int) -> tuple[Message, Chain]:
        """`message`, whose chain is `chain`, up to its name `at`, then `told`, which answers that name; and its chain."""
        whole = joined(head_of(message, chain, at, None, 0), _question(forward.qname, forward.asked_type), told)
        return whole, follow(whole, forward.qname, forward.asked_type, do=forward.do)

    def _needs_feeds(self, chain: Chain, qtype: int) -> bool:
        """Whether feeds have a say in one of the names."""
        route_of = self.rules.routes.of
        return any(route_of(name, qtype).block and not self._is_local(name, qtype) for name in chain.names)

    def _is_foreign_dname(self, message: Message, record: ResourceRecord, forward: Forward) -> bool:
        """Whether it redirects names that are not for the servers that were asked, beside those that are."""
        if kind_of(message.wire, record) != p.DNAME:
            return False
        return not self.rules.routes.of(record.owner, forward.asked_type).answers_with(forward.route)

    def _asked_as_pointer(self, forward: Forward) -> Forward:
        return asked_as_pointer(self.rules, forward, self._mark([forward.qname], p.PTR)) if forward.qtype == p.PTR else forward

    def _first_foreign(self, forward: Forward, chain: Chain) -> int | None:
        """Which name of the chain is the first, from the one that was asked, that is not for the servers that were asked. It is
        the queried name when servers that are no longer responsible have told the head.
        """
        routes, head, asked = self.rules.routes, forward.head, 0
        if head is not None:
            asked = head.hops
            if head.route_mark != self._mark(chain.names[:asked], forward.qtype):
                return 0
        for hops in range(asked, len(chain.names)):
            if not routes.of(chain.names[hops], forward.asked_type).answers_with(forward.route):
                return hops
        return None

    def _block_entry(self, decision: Decision, verdict: Verdict, forward: Forward, now: float) -> Entry:
        return self._blocked.entry(
            forward.policy,
            verdict,
            decision.rule,
            forward.qname,
            forward.qtype,
            now,
            decision.monitored,
            self._cache.rules_epoch,
            decision.reason,
            decision.given,
        )

    def _private_denied(self, forward: Forward, message: Message, chain: Chain, now: float) -> Entry | None:
        """What to say instead of an answer with a private address, if it may not be given. The queried name decides, because
        an attacker can make an alias into any zone. A local record is an alias that the administrator made.
        """
        private = self.rules.private_answers
        if not private.enabled or self.rules.routes.of(forward.qname, forward.qtype).private_answers:
            return None
        if self._is_local(forward.qname, forward.qtype):
            return None
        address = private.find(forward.qname, message, chain)
        if address is None:
            return None
        self._saw_private(forward.qname, address)
        return denied_entry(forward.qname, address, now, self.rules.config.block.ttl_s, self._cache.rules_epoch)

    def _decide(
        self, qname: bytes, qtype: int, policy: int, message: Message, chain: Chain, *, over_tcp: bool = False
    ) -> Decision:
        blockset = self.rules.blockset
        if (blockset is None and not self._policy.blocked_filter_keys) or self._policy.allows(policy, qname):
            return CLEAN
        decision = CLEAN
        is_checked = not self.rules.routes.some_unchecked or self.rules.routes.of(qname, qtype).block
        if is_checked and not self._is_local(qname, qtype):
            decision = self._policy.decide(blockset, policy, qname)  # again: the blockset may be newer than the query
        if decision.verdict is not None:
            return CLEAN if over_tcp and is_tcp_only(decision.given) else decision
        if self.rules.routes.some_unchecked or self.rules.records:
            chain = self._checked_part(message, chain, qtype)
        checked = check_response(self._policy, blockset, policy, message, chain, decision.stops_at)
        return merge(decision, CLEAN if over_tcp and is_tcp_only(checked.given) else checked)

    def _checked_part(self, message: Message, chain: Chain, qtype: int) -> Chain:
        """The records that feeds and blocks have a say in: what leads to names, and what is said of names, that are checked."""
        route_of = self.rules.routes.of

        def is_checked(record: ResourceRecord) -> bool:
            leads = record.rtype in (p.CNAME, p.DNAME)
            name = read_name(message.wire, record.rdata_at)[0] if leads else record.owner
            return route_of(name, qtype).block and not self._is_local(name, qtype)

        return chain._replace(records=tuple(filter(is_checked, chain.records)))

    def _is_answered_here(self, forward: Forward, now: float) -> bool:
        """Whether the question is no longer one for an upstream."""
        if self._is_local(forward.qname, forward.qtype):
            return False  # the mark says whether this is still the answer
        if (
            names.filter_key(forward.qname) in self.rules.dns64.filter_keys
            and self._policy.is_translated(forward.policy)
            and self.rules.dns64.answer(forward.qname, forward.qtype, now) is not None
        ):
            return True
        return self._special_entry(forward.qname, forward.qtype, now, do=forward.do) is not None

    def _decided_again(self, entry: Entry, forward: Forward, now: float) -> Entry | None:
        """`entry` under the rules in force: with their epoch if they allow it, None if it must be asked again."""
        if entry.source != "upstream" or self._lacks_feeds(forward.policy) or self._is_answered_here(forward, now):
            self._cache.remove(forward.key)
            return None
        message = message_of(entry, _question(forward.qname, forward.qtype))
        chain = follow(message, forward.qname, forward.qtype, do=forward.do)
        is_of_other_routes = entry.route_mark != self._mark(chain.names, forward.qtype)
        if is_of_other_routes or is_outdated(self.rules, entry, forward, message, chain):
            self._cache.remove(forward.key)
            return None
        decision = self._decide(forward.qname, forward.qtype, forward.policy, message, chain, over_tcp=forward.over_tcp)
        if decision.given is not None and decision.given.kind == LOCAL_DATA:
            self._cache.remove(forward.key)  # asked again, it gets the feed's data
            return None
        if decision.verdict is not None:
            blocked = self._block_entry(decision, decision.verdict, forward, now)
            self._cache.put(forward.key, blocked)
            if is_tcp_only(decision.given):
                entry.rules_epoch = self._cache.rules_epoch
                self._cache.put(forward.key + OVER_TCP, entry)
                blocked.over_tcp = entry
            return blocked
        if (denied := self._private_denied(forward, message, chain, now)) is not None:
            self._cache.put(forward.key, denied)
            return denied
        entry.monitored = decision.monitored
        entry.rules_epoch = self._cache.rules_epoch
        self._cache.allowed_again(forward.key, decision.monitored)
        return entry


def _is_unfinished(forward: Forward, message: Message, chain: Chain) -> bool:
    """Whether it leads to a name of which it says neither data nor that there are none (RFC 1034, 5.3.3; RFC 2308, 2.2)."""
    asked = forward.head.hops if forward.head is not None else 0
    if chain.answered or message.rcode != p.NOERROR or len(chain.names) - 1 == asked:
        return False
    return all(record.rtype != p.SOA for record in message.authority)


def _question(name: bytes, qtype: int) -> bytes:
    return name + qtype.to_bytes(2) + p.CLASS_IN.to_bytes(2)
