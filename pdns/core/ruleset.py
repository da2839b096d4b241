"""Everything that a decision depends on, as one immutable value."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self

from pdns.config.schema import Config
from pdns.config.source import has_source
from pdns.core.block_answer import BlockAnswers
from pdns.core.clients import ClientTranslation
from pdns.core.discovery import OwnNames
from pdns.core.dns64 import Translation
from pdns.core.embedded import Embeddings
from pdns.core.enrolled import NO_CREDENTIAL_RULES, CredentialRules
from pdns.core.listing import Listings
from pdns.core.local_rules import NO_RULES, LocalRules
from pdns.core.policy import Policy
from pdns.core.rebinding import PrivateAnswers
from pdns.core.records import LocalRecords
from pdns.core.routes import Routes
from pdns.core.special_names import SPECIAL_ZONES, UNDELEGATED_ZONES, SpecialNames


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RuleSet:
    """The rules of the configuration, the feeds and the administrator. A change makes a new rule set, which shares with the one
    before all that the change does not concern.
    """

    config: Config
    now_s: float  # since the epoch: decides which schedules and entries of policies are in force, see `hold_at`
    local: LocalRules  # the administrator's
    credentials: CredentialRules  # of enrolled devices
    blockset: Listings | None
    ready: bool  # False: a query that needs the blockset gets SERVFAIL, never an unprotected answer
    missing: tuple[str, ...]  # required feeds that the blockset does not hold
    policy: Policy
    block_answers: BlockAnswers
    routes: Routes
    records: LocalRecords  # the administrator's, answered before everything else
    special: SpecialNames  # answered here before the feeds are asked
    undelegated: SpecialNames  # answered here when no feed lists the name
    private_answers: PrivateAnswers  # addresses that no public name may lead to
    dns64: Translation

    @classmethod
    def of(
        cls,
        config: Config,
        *,
        blockset: Listings | None = None,
        local: LocalRules = NO_RULES,
        credentials: CredentialRules = NO_CREDENTIAL_RULES,
        ready: bool | None = None,
        now_s: float = 0.0,
        before: Policy | None = None,
    ) -> Self:
        """The first rule set. Ready when no required feed is missing, unless `ready` says otherwise. `before` as for `Policy`."""
        policy = Policy(config, local, now_s, before)
        missing = _missing(config, blockset)
        routes = Routes(config)
        return cls(
            config=config,
            now_s=now_s,
            local=local,
            credentials=credentials,
            blockset=blockset,
            ready=not missing if ready is None else ready,
            missing=missing,
            policy=policy,
            block_answers=BlockAnswers(policy),
            routes=routes,
            records=LocalRecords.of(config),
            special=SpecialNames(SPECIAL_ZONES, routes.apexes, own=OwnNames.of(config)),
            undelegated=SpecialNames(
                UNDELEGATED_ZONES,
                routes.apexes,
                config.local.never_forward,
                single_labels=not config.local.forward_single_labels,
            ),
            private_answers=PrivateAnswers(config.rebinding, Embeddings.of(config)),
            dns64=Translation(config.dns64),
        )

    def with_config(self, config: Config, now_s: float | None = None) -> Self:
        """The same with another configuration, and at another time if one is given."""
        now_s = self.now_s if now_s is None else now_s
        rules = type(self).of(
            config,
            blockset=self.blockset,
            local=self.local,
            credentials=self.credentials,
            now_s=now_s,
            before=self.policy,
        )
        return replace(rules, ready=self._stays_ready(rules.missing, rules.blockset))

    def with_blockset(self, blockset: Listings | None) -> Self:
        """The same with another blockset."""
        missing = _missing(self.config, blockset)
        return replace(self, blockset=blockset, missing=missing, ready=self._stays_ready(missing, blockset))

    def differs_only_in_feeds(self, other: Self) -> bool:
        """Whether nothing but what follows from the blockset may differ."""
        return all(getattr(self, name) is getattr(other, name) for name in _BESIDE_FEEDS)

    def with_local(self, local: LocalRules) -> Self:
        """The same with other rules of the administrator."""
        return self._with_policy(Policy(self.config, local, self.now_s, self.policy), local=local)

    def with_credentials(self, credentials: CredentialRules) -> Self:
        """The same with other credentials of enrolled devices."""
        return replace(self, credentials=credentials)

    def hold_at(self, now_s: float) -> bool:
        """Whether the same schedules and entries are in force at that time, which may be an earlier one: a clock is corrected."""
        return self.policy.settled.holds(self.config, now_s)

    def at(self, now_s: float) -> Self:
        """The same at another time."""
        return self._with_policy(Policy(self.config, self.local, now_s, self.policy), now_s=now_s)

    def _with_policy(self, policy: Policy, **changes: Any) -> Self:
        return replace(self, policy=policy, block_answers=BlockAnswers(policy), **changes)

    @property
    def client_marks(self) -> ClientTranslation:
        """By what the policy number of a client differs from that of its tenant."""
        return self.policy.translation._replace(listed=self.policy.client_rules(self.blockset))

    @property
    def special_filter_keys(self) -> frozenset[bytes]:
        """The filter key of every name that may be answered here without the feeds, or by other upstreams than most."""
        local = self.records.filter_keys | self.special.filter_keys | self.undelegated.filter_keys
        return local | self.routes.filter_keys | self.dns64.filter_keys

    def _stays_ready(self, missing: tuple[str, ...], blockset: Listings | None) -> bool:
        """Once ready, always ready: a required feed that is added must not stop the service while it loads."""
        return (self.ready and blockset is not None) or not missing


_BESIDE_FEEDS: Final = tuple({field.name for field in fields(RuleSet)} - {"blockset", "missing", "ready", "now_s"})


def _missing(config: Config, blockset: Listings | None) -> tuple[str, ...]:
    loaded = blockset.feeds if blockset is not None else {}
    return tuple(
        feed.name
        for feed in config.feed
        if feed.required and not (feed.name in loaded and has_source(feed, loaded[feed.name].source))
    )
