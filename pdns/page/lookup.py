"""Why a name is blocked for a client, decided by the same function as in the workers."""

from __future__ import annotations

from typing import NamedTuple

from pdns.blockset.annotations import Annotations
from pdns.blockset.reader import Blockset
from pdns.config.schema import Config
from pdns.core.case import reference
from pdns.core.clients import Client, ClientTable
from pdns.core.local_rules import LocalRules
from pdns.core.policy import Decision
from pdns.core.ruleset import RuleSet
from pdns.errors import InvalidAddress, InvalidName
from pdns.page.texts import PageTexts, page_texts
from pdns.wire import names


class SinkholeVisit(NamedTuple):
    """What is known about the name in a request."""

    tenant: str
    texts: PageTexts
    name: str  # "": an address, or no host at all
    feed: str = ""  # "": the name is not blocked
    category: str = ""
    reason: str = ""  # an administrator's
    rule: str = ""  # the listed name
    since_s: float = 0.0  # when it was first seen on the list; 0: unknown
    case: str = ""  # the case reference; "": there is none

    @property
    def is_blocked(self) -> bool:
        return bool(self.feed)


class Lookup:
    """The rules, and the annotations of the blockset."""

    def __init__(self, config: Config, now_s: float) -> None:
        """`now_s`, here and below: seconds since the epoch, by which schedules and entries of policies are in force."""
        self._adopt(RuleSet.of(config, now_s=now_s))
        self._annotations: tuple[Blockset, Annotations] | None = None

    def configure(self, config: Config, now_s: float) -> None:
        """Decide by another configuration."""
        self._adopt(self._rules.with_config(config, now_s))

    def take_blockset(self, blockset: Blockset, annotations: Annotations | None) -> None:
        """Decide by another blockset."""
        self._annotations = None if annotations is None else (blockset, annotations)
        self._adopt(self._rules.with_blockset(blockset))

    def take_local(self, local: LocalRules) -> None:
        """Decide by other entries of the administrator."""
        self._adopt(self._rules.with_local(local))

    def tick(self, now_s: float) -> None:
        """Follow the schedules of policies."""
        if not self._rules.hold_at(now_s):
            self._adopt(self._rules.at(now_s))

    def visit(self, client: str, host: str) -> SinkholeVisit:
        """What is known about `host`, as a client at the address `client` is answered. Never raises."""
        who = self._client(client)
        texts = page_texts(self._rules, who)
        try:
            name = names.from_text(host) if host else b""
        except (InvalidName, InvalidAddress):
            name = b""
        if name in (b"", names.ROOT):
            return SinkholeVisit(who.tenant, texts, "")
        decision = self._rules.policy.decide(self._rules.blockset, who.policy, name)
        spelt = names.to_text(name)
        if (verdict := decision.verdict) is None:
            return SinkholeVisit(who.tenant, texts, spelt)
        return SinkholeVisit(
            tenant=who.tenant,
            texts=texts,
            name=spelt,
            feed=verdict.feed,
            category=verdict.category,
            reason=decision.reason,
            rule=decision.rule,
            since_s=self._since_s(name, decision),
            case=reference(verdict.listed, verdict.feed, self._rules.policy.settings(who.policy).name),
        )

    def _adopt(self, rules: RuleSet) -> None:
        config = rules.config
        self._rules = rules
        self._clients = ClientTable(config.access, config.tenant, rules.policy.tenant_policies, rules.policy.translation)

    def _client(self, address: str) -> Client:
        try:
            return self._clients.lookup(address.partition("%")[0])
        except ValueError:
            return self._clients.lookup("0.0.0.0")  # noqa: S104 (an address of no network)

    def _since_s(self, name: bytes, decision: Decision) -> float:
        if self._annotations is None or decision.verdict is None:
            return 0.0
        blockset, annotations = self._annotations
        for listing in blockset.lookup(name):
            if (listing.feed, listing.name) == (decision.verdict.feed, decision.verdict.listed) and not listing.allow:
                annotation = annotations.of(listing)
                return annotation.published_s or annotation.first_seen_s
        return 0.0
