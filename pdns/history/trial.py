"""What a list would have blocked, had it been in force: its names that were asked for, by tenant and day."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from pdns.history.hunt import HuntedName, NameHunt, Progress, WantedName
from pdns.wire.names import from_text

MOST_EXAMPLES: Final = 50


class TenantTrial(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant."""

    tenant: str
    names: int  # of the list, that it asked for
    days: dict[str, int]  # date, UTC -> how many of them on that day


class TrialReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. Blocked queries are not in the history: what is here would be blocked in addition to what is blocked."""

    names: int  # of the list
    asked: int  # of them, by anyone
    days: list[str]  # that were searched, as dates, UTC
    damaged: list[str]  # files of the history that could not be read
    lost: int  # digests that are missing from these days
    expected_false: float  # how many days of how many tenants are expected to be here by chance
    tenants: list[TenantTrial]  # the one with the most names first
    examples: list[HuntedName]  # those that the most tenants asked for, first
    popular: list[str] = []  # names that are asked for everywhere and that it lists: false positives, most likely
    popular_count: int = 0


def trial(
    hunt: NameHunt, wanted: Iterable[WantedName], progress: Progress = lambda _share: None, *,
    count: int = 0, tenants: Collection[str] | None = None, popular: Collection[bytes] = (),
) -> TrialReport:  # fmt: skip
    """Look for the names of a list, about `count`. `popular` are names of it, in wire form, that are known to be popular."""
    found = hunt.find(wanted, tenants, progress, count=count)
    names: Counter[str] = Counter()
    days: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for hunted in found.found:
        for asked in hunted.tenants:
            names[asked.tenant] += 1
            days[asked.tenant].update(asked.days)
    widest = sorted(found.found, key=lambda one: (-len(one.tenants), -sum(len(asked.days) for asked in one.tenants), one.name))
    popular_names = sorted(one.name for one in found.found if from_text(one.name) in popular)
    return TrialReport(
        names=found.names,
        asked=len(found.found),
        days=found.days,
        damaged=found.damaged,
        lost=found.lost,
        expected_false=found.expected_false,
        tenants=[
            TenantTrial(tenant=tenant, names=count, days=dict(sorted(days[tenant].items())))
            for tenant, count in names.most_common()
        ],
        examples=widest[:MOST_EXAMPLES],
        popular=popular_names[:MOST_EXAMPLES],
        popular_count=len(popular),
    )
