"""From a query for a listed name to the answer in the cache."""

# kernel: pdns/fast/blocking.pyx

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pdns.core.block_answer import Template
from pdns.core.cache import AnswerCache
from pdns.core.clients import Client
from pdns.core.given import is_redirect, is_tcp_only
from pdns.core.listing import LOCAL_DATA, ListedAction
from pdns.core.outcome import Given, Outcome
from pdns.core.query import Query
from pdns.core.ruleset import RuleSet


class CachedDecision(NamedTuple):
    """What follows from the listings of one name for one client and type."""

    template: Template | None  # None: it is not blocked
    at: int = 0  # which of the listings decided, in the order of `Listings.find`
    monitored: bool = False  # a feed in monitor mode lists it
    common: bool = True  # the template is the same for all types but A and AAAA, and for every transport
    given: ListedAction | None = None  # the answer is to be asked upstream


_NOT_BLOCKED = CachedDecision(None)
_MONITORED = CachedDecision(None, monitored=True)


class Blocker:
    """Blocks by one rule set."""

    def __init__(self, rules: RuleSet, cache: AnswerCache) -> None:
        """`rules` have a blockset."""
        assert rules.blockset is not None
        self._policy, self._answers, self._blockset = rules.policy, rules.block_answers, rules.blockset
        self._cache = cache

    def block(self, query: Query, client: Client, now: float) -> Outcome | Given | None:
        """A stage of the resolver: the answer, kept in the cache, when `query` is blocked for `client`. None when it is not: then
        `query.monitored` says whether a feed in monitor mode lists it. The answer is `Given` if a feed leads to another name.
        """
        found = self._blockset.find(query.filter_key, query.reversed_key)
        if not found:
            return None
        cached = self.rule(query, client, found)
        if cached.template is None:
            query.monitored = query.monitored or cached.monitored
            return None
        if cached.given is not None:
            return Given(cached.given, cached.template, found[cached.at][0])
        return self._cache.block(query, client.policy_key, cached.template, found[cached.at][0], now)

    def rule(self, query: Query, client: Client, found: Sequence[tuple[int, int]]) -> CachedDecision:
        """What is to be done about a name of which `found` was found."""
        shared = self._policy.decide_listings(self._blockset, found, client.policy)
        if shared is None or self._policy.allows(client.policy, query.qname):
            return _NOT_BLOCKED
        if not shared.feed:
            return _MONITORED if shared.monitored else _NOT_BLOCKED
        given = shared.given
        template = self._answers.template(
            client.policy, shared.feed, shared.category, shared.also, shared.monitored, query.qtype,
            below_only=shared.below_only, given=given,
        )  # fmt: skip
        if given is None:
            return CachedDecision(template, shared.at)
        tcp_only = is_tcp_only(given)
        is_asked = (tcp_only and query.stream) or is_redirect(given)
        common = not tcp_only and given.kind != LOCAL_DATA
        return CachedDecision(template, shared.at, common=common, given=given if is_asked else None)


NewBlocker = Callable[[RuleSet, AnswerCache], Blocker]
