"""The decision about every query. No I/O, no clock: the time is an argument."""

# kernel: pdns/fast/first_sight.pyx

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from pdns.core.answers import answer_entry, error_entry, minimal_any_entry, not_ready_entry
from pdns.core.blocking import Blocker, NewBlocker
from pdns.core.cache import AnswerCache
from pdns.core.client_rules import CLIENT_RULE, MARKS
from pdns.core.clients import Client
from pdns.core.entry import Entry
from pdns.core.given import is_redirect, is_tcp_only
from pdns.core.local_rules import LOCAL
from pdns.core.outcome import PLAIN, Answer, Forward, Given, Outcome, Redirect
from pdns.core.query import Query
from pdns.core.records import LocalAnswer
from pdns.core.redirects import OVER_TCP
from pdns.core.responses import Responses, SawPrivate
from pdns.core.routes import DEFAULT_ROUTE, Route
from pdns.core.ruleset import RuleSet
from pdns.core.special_names import SpecialNames
from pdns.wire import names
from pdns.wire import protocol as p

REFRESH_SHARE = 10  # a popular answer is asked again in the last tenth of its life
REFRESH_MIN_LIFE_S = 20
STRANGER_TEXT = b"this address may not ask here"
OVER_LIMIT_TEXT = b"too many queries from this network"
NO_DATA_TYPES = frozenset(range(p.NXNAME, p.TKEY))  # meta types, none of which stands in a question (RFC 6895, 3.1)
META_TYPES = NO_DATA_TYPES | {0, p.OPT, p.TKEY, p.TSIG, p.IXFR, p.AXFR, p.MAILB, p.MAILA}

IDENTITY_NAMES = frozenset(map(names.from_text, ("id.server", "hostname.bind")))  # RFC 4892, 2.2

_Stage = Callable[[Query, Client, float], Outcome | None]


class Resolver(Responses):
    """Decides. One per worker; `adopt` changes its rules between two queries."""

    def __init__(
        self,
        rules: RuleSet,
        cache: AnswerCache,
        blocker: NewBlocker = Blocker,
        saw_private: SawPrivate = lambda _qname, _address: None,
    ) -> None:
        """`blocker` makes what finds listed names; a kernel offers a faster one. `saw_private` as in `Responses`."""
        self._new_blocker = blocker
        super().__init__(rules, cache, saw_private)

    def adopt(self, rules: RuleSet) -> None:
        """Decide by `rules` from now on. Answers in the cache stay and are decided again when they are next asked for."""
        super().adopt(rules)
        self.blocker: Blocker | None = None  # what finds listed names, while that decides about most queries
        # The order is policy: what is answered here comes first, the administrator's records before special names, so that these
        # are never forwarded; then what is blocked here, if anything is; then what feeds list. Only what is left is for an
        # upstream to answer.
        block: tuple[_Stage, ...] = ()
        if rules.blockset is not None:
            blocker = self._new_blocker(rules, self._cache)
            block = (partial(self._block, blocker.block),)
            if not rules.policy.given:
                block = (cast("_Stage", blocker.block),)  # which gives nothing else then
            if rules.ready:
                self.blocker = blocker
            if rules.policy.client_rules(rules.blockset) is not None:
                block = (self._listed_client, *block)
        if not rules.ready:
            block = (self._refuse_unprotected, *block)
        if rules.policy.blocked_filter_keys:
            block = (self._block_here, *block)
        records: tuple[_Stage, ...] = (self._records,) if rules.records else ()
        last = self._forward_existing if rules.records or rules.routes else self._forward
        forward: tuple[_Stage, ...] = (self._forward_in_zone, last) if rules.routes else (last,)
        unchecked: tuple[_Stage, ...] = (self._forward_unchecked,) if rules.routes.some_unchecked else ()
        translated: tuple[_Stage, ...] = (self._translated_names,) if rules.dns64.enabled else ()
        self._decisions: tuple[_Stage, ...] = (
            self._scope, *records, *translated, self._local, *unchecked, *block, self._undelegated, *forward
        )  # fmt: skip
        self._skipping_local: tuple[_Stage, ...] = (*block, self._forward)  # those that have something to say of any name

    def decide(self, query: Query, client: Client, now: float) -> Outcome:
        """The outcome for a query of a client that may ask, that is within its limit, and that the cache has no answer to, unless
        `query.needs_recheck`: the outcome of the first stage that has one. The last stage always has.
        """
        if query.needs_recheck and (outcome := self.cached(query, client, now)) is not None:
            return outcome
        for stage in self._skipping_local if query.skips_local else self._decisions:
            if (outcome := stage(query, client, now)) is not None:
                return outcome
        raise AssertionError("the last stage forwards")

    # Stages, in order.

    def cached(self, query: Query, client: Client, now: float) -> Outcome | None:
        """The outcome that the answer in the cache gives, decided again if it was decided under other rules."""
        key = query.key + client.policy_key
        entry = self._cache.get(key)
        if entry is not None and entry.tcp_only and query.stream and query.flags & p.RD:
            if now < entry.expires_s and entry.rules_epoch == self._cache.rules_epoch:
                return self._over_tcp(query, client, now)
            self._cache.remove(key)
            return None
        return self._from_cache(query, client, key, entry, now)

    def _over_tcp(self, query: Query, client: Client, now: float) -> Outcome:
        """What a client gets over TCP for a name that a feed answers over TCP alone."""
        key = query.key + client.policy_key + OVER_TCP
        if not query.flags & p.RD:
            return _not_recursive(now)
        return self._from_cache(query, client, key, self._cache.get(key), now) or self._asked_again(query, client, key)

    def _from_cache(self, query: Query, client: Client, key: bytes, entry: Entry | None, now: float) -> Outcome | None:
        if entry is None or not query.flags & p.RD:  # without RD a client does not learn what others asked
            return None
        if entry.rules_epoch != self._cache.rules_epoch:
            entry = self._decided_again(entry, self._asked_again(query, client, key), now)
            if entry is None:
                return None
        if now < entry.expires_s:
            source = "cache" if entry.source == "upstream" else entry.source
            if worth_refreshing(entry, now, self._config.refresh_ahead_hits):
                self._cache.refreshing(key)
                return Answer(entry, source, refresh=self._asked_again(query, client, key, entry))
            return Answer(entry, source)
        if entry.source == "upstream" and now < entry.expires_s + self._config.max_stale_s:
            if now < entry.retry_s:
                return Answer(entry, "stale", stale=True)
            return self._asked_again(query, client, key, entry)
        self._cache.remove(key)
        return None

    def _scope(self, query: Query, _client: Client, now: float) -> Outcome | None:
        if query.qclass != p.CLASS_IN:
            identity = self.rules.config.server.identity.encode("ascii")
            if identity and query.qclass == p.CLASS_CH and query.qtype in (p.TXT, p.ANY) and query.qname in IDENTITY_NAMES:
                text = bytes((len(identity),)) + identity
                return Answer(answer_entry(p.TXT, [text], "local", now, 0, p.CLASS_CH), "local")
            return Answer(error_entry(p.REFUSED, "refused", now, 0, (p.EDE_NOT_SUPPORTED, b"class IN only")), "refused")
        if query.qtype in NO_DATA_TYPES:
            ede = (p.EDE_INVALID_QUERY_TYPE, b"no record has this type")
            return Answer(error_entry(p.FORMERR, "refused", now, 0, ede), "refused")
        if query.qtype in META_TYPES:
            rcode = p.FORMERR if query.qtype in (0, p.OPT) else p.REFUSED
            return Answer(error_entry(rcode, "refused", now, 0, (p.EDE_NOT_SUPPORTED, b"this type is not asked here")), "refused")
        return None

    def _records(self, query: Query, client: Client, now: float) -> Outcome | None:
        found = self._local_answer(query.qname, query.qtype, now, do=query.do)
        if found is None:
            return None
        if query.qtype == p.ANY:
            return Answer(minimal_any_entry(now), "local")
        forward = self.forward_of(query, client)
        if found.outside and query.flags & p.RD:
            return self._follow_outside(found, forward, now)
        made = self._translated_here(found, forward, now)
        return Answer(made or self._store_local(found, forward, now), "local")

    def _follow_outside(self, found: LocalAnswer, forward: Forward, now: float) -> Outcome:
        further = self._led_outside(found, forward)
        if self._lacks_feeds(forward.policy) and further.route.block:
            return Answer(not_ready_entry(self.rules.missing, now), "error")
        entry = self._ended_here(found, forward, now)
        return further if entry is None else Answer(entry, entry.source)

    def _translated_names(self, query: Query, client: Client, now: float) -> Outcome | None:
        """The names of the DNS64: `ipv4only.arpa`, and those of addresses that it makes."""
        if query.filter_key not in self.rules.dns64.filter_keys or not self._policy.is_translated(client.policy):
            return None
        zone = self.rules.routes.find(query.qname, query.qtype)
        if zone is not None and self.rules.dns64.yields_to(zone[0], query.qname):
            return None
        if (entry := self.rules.dns64.answer(query.qname, query.qtype, now)) is not None:
            return Answer(entry, "local")
        if self._lacks_feeds(client.policy) or not query.flags & p.RD:
            return None
        forward = self._asked_again(query, client, query.key + client.policy_key)
        if forward.head is None:
            return None
        target = forward.asked_name
        found = self._local_answer(target, p.PTR, now, do=query.do)
        known = found.entry(target, now, self._cache.rules_epoch) if found is not None and not found.outside else None
        known = known or self._special_entry(target, p.PTR, now, do=query.do) or self.rules.dns64.answer(target, p.PTR, now)
        if known is None:
            return forward
        entry = self.behind_head(forward, known, now)
        entry.ede = self.rules.dns64.mark
        return Answer(entry, "local")

    def _local(self, query: Query, client: Client, now: float) -> Outcome | None:
        if not self.rules.special.may_answer(query.filter_key):
            return None
        return self._answer_here(self.rules.special, query, client, now)

    def _refuse_unprotected(self, _query: Query, client: Client, now: float) -> Outcome | None:
        return Answer(not_ready_entry(self.rules.missing, now), "error") if self._lacks_feeds(client.policy) else None

    def _block_here(self, query: Query, client: Client, now: float) -> Outcome | None:
        if self._policy.decide_here(client.policy, query.qname, query.filter_key) is None:
            return None
        decision = self._policy.decide(self.rules.blockset, client.policy, query.qname)
        if decision.verdict is None:
            query.monitored = True
            return None
        below_only = decision.rule.startswith("*.")
        template = self._blocked.template(
            client.policy, LOCAL, LOCAL, (), decision.monitored, query.qtype, decision.reason, below_only=below_only
        )
        return self._cache.block(query, client.policy_key, template, len(decision.verdict.listed), now)

    def _block(
        self, block: Callable[[Query, Client, float], Outcome | Given | None], query: Query, client: Client, now: float
    ) -> Outcome | None:
        outcome = block(query, client, now)
        if type(outcome) is not Given:
            return cast("Outcome | None", outcome)
        if is_tcp_only(outcome.action):
            return self._over_tcp(query, client, now)
        listed = query.qname[len(query.qname) - outcome.listed_bytes :]
        redirect = Redirect(outcome.action, outcome.template, listed, "", self._cache.rules_epoch)
        return self._redirect(redirect, query, client, now)

    def _listed_client(self, query: Query, client: Client, now: float) -> Outcome | None:
        """What a feed answers a client, whatever it asks."""
        if not client.policy & MARKS:
            return None
        decision = self._policy.decide(self.rules.blockset, client.policy, query.qname)
        verdict, given = decision.verdict, decision.given
        if verdict is None or given is None or decision.rule != CLIENT_RULE:
            query.monitored = query.monitored or bool(decision.monitored)
            return None
        if is_tcp_only(given) and query.stream:
            return self._over_tcp(query, client, now)
        if is_redirect(given):
            template = self._blocked.template(
                client.policy, verdict.feed, verdict.category, (), decision.monitored, query.qtype, given=given
            )
            return self._redirect(
                Redirect(given, template, query.qname, CLIENT_RULE, self._cache.rules_epoch), query, client, now
            )
        forward = self.forward_of(query, client)
        entry = self._block_entry(decision, verdict, forward, now)
        if entry.expires_s > now:
            self._cache.put(forward.key, entry)
        return Answer(entry, "blocked")

    def _redirect(self, redirect: Redirect, query: Query, client: Client, now: float) -> Outcome:
        recurse = bool(query.flags & p.RD)
        led = self._redirected(self.forward_of(query, client), redirect, query.qname, now, recurse=recurse)
        if isinstance(led, Forward):
            return led
        if recurse and led.expires_s > now:
            self._cache.put(query.key + client.policy_key, led)
        return Answer(led, "blocked")

    def _undelegated(self, query: Query, client: Client, now: float) -> Outcome | None:
        if query.qtype == p.ANY:
            return Answer(minimal_any_entry(now), "local")
        if not self.rules.undelegated.may_answer(query.filter_key):
            return None
        return self._answer_here(self.rules.undelegated, query, client, now)

    def _answer_here(self, data: SpecialNames, query: Query, client: Client, now: float) -> Outcome | None:
        """A client that validates believes nothing unsigned below the signed root. It gets the root's own proof that the zone
        does not exist, which holds for each name below it: only the name of the zone is asked upstream.
        """
        zone = data.denied_by_root(query.qname) if query.do and query.flags & p.RD else None
        if zone is not None and not self.rules.records.exists(zone):
            key = zone + p.DS.to_bytes(2) + p.CLASS_IN.to_bytes(2) + query.key[-1:] + client.policy_key
            known = self._cache.get(key)
            if (
                known is not None
                and known.rules_epoch == self._cache.rules_epoch
                and now < known.expires_s
                and known.rcode == p.NXDOMAIN
            ):
                return Answer(known, "cache" if known.source == "upstream" else known.source)
            return Forward(key, zone, p.DS, p.CLASS_IN, do=True, cd=query.cd, policy=client.policy, proof=True)
        entry = data.answer(query.qname, query.qtype, now, do=query.do)
        return None if entry is None else Answer(entry, "local")

    def _forward_unchecked(self, query: Query, client: Client, now: float) -> Outcome | None:
        """In zones that feeds and blocks have no say in."""
        route = self.rules.routes.of(query.qname, query.qtype)
        if route.block:
            return None
        if query.qtype == p.ANY:
            return Answer(minimal_any_entry(now), "local")
        return _not_recursive(now) if not query.flags & p.RD else _forward(query, client, query.key + client.policy_key, route)

    def _forward_in_zone(self, query: Query, client: Client, _now: float) -> Outcome | None:
        route = self.rules.routes.of(query.qname, query.qtype)
        if route == DEFAULT_ROUTE or not query.flags & p.RD:
            return None
        return _forward(query, client, query.key + client.policy_key, route)

    def _forward(self, query: Query, client: Client, now: float) -> Outcome:
        if not query.flags & p.RD:
            return _not_recursive(now)
        if query.batched and not query.monitored:
            return PLAIN
        return _forward(query, client, query.key + client.policy_key, DEFAULT_ROUTE)

    def _forward_existing(self, query: Query, client: Client, now: float) -> Outcome:
        """As `_forward`, of names that may have local records or zones below them: `on_answer` sees the answer if they do."""
        outcome = self._forward(query, client, now)
        return self.forward_of(query, client) if outcome is PLAIN and self._exists(query.qname, query.qtype) else outcome

    def forward_of(self, query: Query, client: Client) -> Forward:
        """What a `Plain` outcome of `decide` comes to."""
        return _forward(query, client, query.key + client.policy_key, DEFAULT_ROUTE)

    def _asked_again(self, query: Query, client: Client, key: bytes, stale: Entry | None = None) -> Forward:
        forward = _forward(query, client, key, self.rules.routes.of(query.qname, query.qtype), stale)
        if len(key) > len(query.key) + len(client.policy_key):
            forward = forward._replace(over_tcp=True)
        found = self._local_answer(query.qname, query.qtype, 0.0, do=query.do)
        if found is not None and found.outside:
            return self._led_outside(found, forward)
        return self._asked_as_pointer(forward)


def worth_refreshing(entry: Entry, now: float, refresh_ahead_hits: int) -> bool:
    """Whether a fresh `entry` is asked for so often, and near enough to its end, that it is renewed before."""
    life_s = entry.expires_s - entry.stored_s
    return (
        entry.hits >= refresh_ahead_hits > 0
        and entry.source == "upstream"
        and not entry.refreshing
        and life_s >= REFRESH_MIN_LIFE_S
        and (entry.expires_s - now) * REFRESH_SHARE < life_s
    )


def _forward(query: Query, client: Client, key: bytes, route: Route, stale: Entry | None = None) -> Forward:
    return Forward(key, query.qname, query.qtype, query.qclass, query.do, query.cd, client.policy, stale, route=route)


def _not_recursive(now: float) -> Answer:
    ede = (p.EDE_NOT_AUTHORITATIVE, b"this is a recursive service: set RD")
    return Answer(error_entry(p.REFUSED, "refused", now, 0, ede), "refused")
