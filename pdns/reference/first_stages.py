"""What comes before a decision: access, rate limit and cache. The specification of `pdns/fast/fast_path.pyx`."""

# kernel: pdns/fast/fast_path.pyx

from __future__ import annotations

from pdns.core.answers import error_entry
from pdns.core.clients import Client, ClientTable, Identity
from pdns.core.credentials import Credential
from pdns.core.outcome import Answer, Drop, Outcome
from pdns.core.query import Query
from pdns.core.resolver import OVER_LIMIT_TEXT, STRANGER_TEXT, Resolver
from pdns.core.ruleset import RuleSet
from pdns.reference.rate_limit import RateLimiter
from pdns.wire import protocol as p


class FirstStages:
    """A resolver, and the stages in front of it."""

    def __init__(self, resolver: Resolver, limits: memoryview | None = None) -> None:
        """`limits` is the memory of `RateLimiter`."""
        self.refused = False  # the last query, because its client may not ask, or not as much
        self._resolver, self._limits = resolver, limits
        self.adopt(resolver.rules)

    def adopt(self, rules: RuleSet) -> None:
        """Admit clients by `rules` from now on. The resolver adopts them for itself."""
        config = rules.config
        self._clients = ClientTable(
            config.access, config.tenant, rules.policy.tenant_policies, rules.client_marks, rules.credentials
        )
        self._limiter = RateLimiter(config.rate_limit, self._limits)
        self._verified_limiter = RateLimiter(config.rate_limit, self._limits, verified=True)

    def client(self, address: str) -> Client:
        """Who is at `address`."""
        return self._clients.lookup(address)

    def identify(self, address: str, credential: Credential) -> Identity:
        """Who is at `address` with `credential`."""
        return self._clients.identify(address, credential)

    def handle(self, query: Query, client: Client, address: str, now: float) -> Outcome:
        """The outcome of the first stage that has one.

        The order is policy. Strangers cost nothing; a flood costs little; what was decided is not decided again.
        """
        self.refused = True
        if not client.allowed:
            return Answer(error_entry(p.REFUSED, "refused", now, 0, (p.EDE_PROHIBITED, STRANGER_TEXT)), "refused")
        limiter = self._verified_limiter if query.verified else self._limiter
        if not limiter.admits(address, now):
            return _over_limit(limiter.action, now)
        self.refused = False
        if (outcome := self._resolver.cached(query, client, now)) is not None:
            return outcome
        return self._resolver.decide(query, client, now)


def _over_limit(action: str, now: float) -> Outcome:
    if action == "drop":
        return Drop("rate_limit")
    refusal = error_entry(p.REFUSED, "refused", now, 0, (p.EDE_PROHIBITED, OVER_LIMIT_TEXT))
    if action == "truncate":
        return Answer(refusal, "refused", truncated=True)
    return Answer(refusal, "refused")
