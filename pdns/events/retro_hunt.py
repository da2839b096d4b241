"""Findings of the kind "retro": tenants that asked for a name in the last days, before it was listed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from pdns.blockset.reader import Blockset
from pdns.config.schema import Config
from pdns.event_store.event import Finding
from pdns.events.finding_ids import finding_id
from pdns.events.newly_listed import ListedNames, NewlyListed
from pdns.history.days import date_of, day_of
from pdns.history.hunt import HuntedName, NameHunt, NoHistoryError, TenantDays, WantedName
from pdns.telemetry.asked_names import DAY_S
from pdns.wire.names import to_text

MOST_OF_A_TENANT: Final = 100  # findings of one blockset; the rest of a tenant are one more
_SECURE: Final = 1e-9

ThreatOf = Callable[[bytes], str]


class RetroHunter:
    """Hunts for what each new blockset lists. Its methods block: they are for a thread, one at a time."""

    def __init__(self, state_dir: Path, key: bytes, node: str) -> None:
        self._state_dir, self._node = state_dir, node
        self._listed = ListedNames(state_dir, key)

    def listed(self, blockset: Blockset, config: Config, now_s: float, threat_of: ThreatOf = lambda _name: "") -> list[Finding]:
        """What follows from a blockset that is live since `now_s`. `threat_of` gives the threat of a name in wire form.

        The history must be on the disk up to now. Raises `OSError`.
        """
        new = self._listed.take(blockset, config.guard.policy_categories)
        return self.hunt(new, config.history.days, now_s, threat_of) if new else []

    def hunt(self, new: Sequence[NewlyListed], days: int, now_s: float, threat_of: ThreatOf = lambda _name: "") -> list[Finding]:
        """Findings about the names of `new`."""
        try:
            hunt = NameHunt.of(self._state_dir, days, int(now_s // DAY_S))
        except NoHistoryError:
            return []
        report = hunt.find(WantedName(one.name, one.rule) for one in new)
        if not report.found:
            return []
        listed = {to_text(one.name): one for one in new}
        of_tenants: defaultdict[str, list[tuple[HuntedName, TenantDays]]] = defaultdict(list)
        for hunted in report.found:
            for asked in hunted.tenants:
                of_tenants[asked.tenant].append((hunted, asked))
        return [
            finding for tenant, found in of_tenants.items() for finding in self._findings(tenant, found, listed, now_s, threat_of)
        ]

    def _findings(
        self, tenant: str, found: list[tuple[HuntedName, TenantDays]], listed: Mapping[str, NewlyListed], now_s: float,
        threat_of: ThreatOf,
    ) -> list[Finding]:  # fmt: skip
        found.sort(key=lambda one: (one[1].chance, -len(one[1].days), one[0].name))
        findings = [self._one(tenant, listed[hunted.name], asked, now_s, threat_of) for hunted, asked in found[:MOST_OF_A_TENANT]]
        if more := found[MOST_OF_A_TENANT:]:
            findings.append(self._many(tenant, [listed[hunted.name] for hunted, _ in more], now_s))
        return findings

    def _one(self, tenant: str, new: NewlyListed, asked: TenantDays, now_s: float, threat_of: ThreatOf) -> Finding:
        name, times = to_text(new.name), f"on {len(asked.days)} days" if len(asked.days) > 1 else f"on {asked.days[0]}"
        return Finding(
            id=finding_id("retro", self._node, tenant, name, date_of(int(now_s // DAY_S))),
            time_s=now_s,
            node=self._node,
            tenant=tenant,
            kind="retro",
            subject=name,
            score=1 - asked.chance,
            n=len(asked.days),
            text=f"Before {name} was listed, clients probably asked for it or for a name below it {times}, and got an answer.",
            first_s=day_of(asked.days[0]) * float(DAY_S),
            last_s=min(now_s, (day_of(asked.days[-1]) + 1) * float(DAY_S)),
            details={
                "days": " ".join(asked.days),
                "feeds": " ".join(new.feeds),
                "threat": threat_of(new.name),
                "false_positive": chance_text(asked.chance),
            },
        )

    def _many(self, tenant: str, more: Sequence[NewlyListed], now_s: float) -> Finding:
        feeds = Counter(feed for new in more for feed in new.feeds)
        return Finding(
            id=finding_id("retro", self._node, tenant, "", int(now_s)),
            time_s=now_s,
            node=self._node,
            tenant=tenant,
            kind="retro",
            subject="",
            n=len(more),
            text=f"Clients probably asked for {len(more):,} more names that are listed since the same moment.",
            first_s=now_s,
            last_s=now_s,
            details={"feeds": " ".join(feed for feed, _ in feeds.most_common())},
        )


def chance_text(chance: float) -> str:
    """The probability of a false finding, in words."""
    return "less than 1 in 1,000,000,000" if chance < _SECURE else f"1 in {round(1 / chance):,}"
