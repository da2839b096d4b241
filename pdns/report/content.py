"""What a report says, before it has a form: gathered from the stored events, `feeds.json`, the audit logs and the configuration.

A report of one tenant has nothing of another one: no number, no name, no machine, no change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from pdns.config.policies import NO_TENANT
from pdns.config.schema import Config
from pdns.event_store.event import Finding, Hour
from pdns.event_store.queries import (
    Availability,
    EventQueries,
    FirstSeen,
    Headline,
    MachineRow,
    Point,
    SharedName,
    TopBy,
    TopRow,
    Window,
)
from pdns.report.feed_worth import FeedRow, feed_rows
from pdns.report.periods import Period
from pdns.report.policy_changes import PolicyChanges, policy_changes
from pdns.report.promptness import Promptness, promptness
from pdns.report.wording import DAY_S, HOUR_S, local
from pdns.state.feed_status import FeedsStatus

VERSION: Final = 1  # of the JSON form
TOP_ROWS: Final = 10
MOST_MACHINES: Final = 15
_ASKED_MACHINES: Final = 50
LEAST_TENANTS: Final = 3
ALARMING: Final = ("c2", "botnet", "malware", "cryptojacking", "dga")  # categories that programs ask for, not people
HARMLESS: Final = ("policy", "ads", "tracking", "new")  # categories that are no threat by themselves
_BY: Final[tuple[TopBy, ...]] = ("listed", "feed", "category", "threat", "client", "tenant")
_ROUNDED_S: Final = 0.001  # the store keeps microseconds, rounded down
_BARS_BY_HOUR: Final = 3 * DAY_S
_BARS_BY_DAY: Final = 92 * DAY_S


class ReportContent(Struct, frozen=True, kw_only=True):
    """One report. Times are seconds since the epoch; `docs/reports.md` describes each field, which is one of the JSON form."""

    kind: Literal["report"] = "report"
    version: int = VERSION
    made_s: float
    start_s: float
    end_s: float
    time_zone: str
    tenant: str  # "": all tenants
    title: str  # the organisation, or the tenant
    known_share: float  # of the period for which counters are recorded
    headline: Headline
    before: Headline | None  # of the period before; None: it has no data
    known_share_before: float
    unit: Literal["hour", "day", "week"]  # of the points
    points: tuple[Point, ...]
    top: dict[str, tuple[TopRow, ...]]  # by listed name, feed, category, threat, client, tenant
    machines: tuple[MachineRow, ...]
    first_seen: tuple[FirstSeen, ...]
    shared: tuple[SharedName, ...]  # names that several tenants met first; only in reports of all tenants
    feeds: tuple[FeedRow, ...]
    availability: Availability
    policy: PolicyChanges
    findings: tuple[Finding, ...]
    titles: dict[str, str]  # tenant -> display name, of those above that have one
    lost: int  # queries whose records were lost, in all tenants
    unaccounted: int  # likewise, queries that no event accounts for
    promptness: Promptness = Promptness()  # the same in reports of a tenant: it is about feeds alone

    @property
    def period(self) -> Period:
        return Period(self.start_s, self.end_s, self.time_zone)

    @property
    def has_clients(self) -> bool:
        """Whether events say something of the client."""
        return any(row.key for row in self.top["client"]) or any(machine.client for machine in self.machines)


def gather(
    queries: EventQueries, config: Config, status: FeedsStatus | None, period: Period, tenant: str | None, now_s: float
) -> ReportContent:
    """The report on `period`, of one tenant or of all (None). Reads the store and the audit logs; may take seconds."""
    window, before = (Window(one.start_s, one.end_s) for one in (period, period.before))
    all_hours = queries.hours(window, None)
    known_before = known_share(queries.hours(before, None), before)
    headline_before = queries.headline(before, tenant) if known_before else None  # first: the store keeps sums of one window
    unit: Literal["hour", "day", "week"] = "week"
    if period.length_s <= _BARS_BY_DAY:
        unit = "hour" if period.length_s <= _BARS_BY_HOUR else "day"
    top = {by: tuple(queries.top(window, tenant, by, TOP_ROWS)) for by in _BY if by != "tenant" or tenant is None}
    machines = [one for one in queries.machines(window, tenant, _ASKED_MACHINES) if one.category not in HARMLESS]
    first_seen = queries.first_seen(window, tenant, TOP_ROWS)
    return ReportContent(
        made_s=now_s, start_s=period.start_s, end_s=period.end_s, time_zone=period.time_zone, tenant=tenant or "",
        title=title_of(config, tenant),
        known_share=known_share(all_hours, window),
        headline=_seen_by(queries.headline(window, tenant), tenant),
        before=_seen_by(headline_before, tenant) if headline_before is not None else None,
        known_share_before=known_before,
        unit=unit,
        points=grouped(queries.series(window, tenant, HOUR_S), unit, period),
        top={by: tuple(row if tenant is None else replace(row, tenants=1) for row in rows) for by, rows in top.items()},
        machines=tuple(sorted(machines, key=_urgency)[:MOST_MACHINES]),
        first_seen=tuple(one if tenant is None else replace(one, tenant_count=1) for one in first_seen),
        shared=tuple(queries.shared_new(window, LEAST_TENANTS)[:TOP_ROWS]) if tenant is None else (),
        feeds=feed_rows(config, status, queries.feeds_worth(window, tenant), only_met=tenant is not None),
        availability=queries.availability(window, tenant),
        policy=policy_changes(config, period.start_s, period.end_s, tenant),
        findings=tuple(queries.findings(window, tenant, None, TOP_ROWS)),
        titles=titles_of(config, tenant),
        lost=sum(hour.lost for hour in all_hours) if tenant is None else 0,
        unaccounted=sum(max(0, hour.unaccounted) for hour in all_hours) if tenant is None else 0,
        promptness=promptness(config, period.start_s, period.end_s),
    )  # fmt: skip


def title_of(config: Config, tenant: str | None) -> str:
    """What a report calls the tenant: its display name, else its name; of all: the organisation of the policy "default"."""
    if tenant is None:
        everyone = "All organisations" if config.tenant else "All clients"
        return next((one.organisation for one in config.policy if one.name == "default" and one.organisation), everyone)
    if tenant == NO_TENANT and all(one.name != NO_TENANT for one in config.tenant):
        return _of_no_tenant(config)
    return next((one.display_name for one in config.tenant if one.name == tenant and one.display_name), tenant)


def _of_no_tenant(config: Config) -> str:
    return "Other clients" if config.tenant else "All clients"


def titles_of(config: Config, tenant: str | None) -> dict[str, str]:
    """What reports call tenants whose name is not what people call them; clients of no tenant among them."""
    titles = {one.name: one.display_name for one in config.tenant if one.display_name and tenant in (None, one.name)}
    if tenant is None and all(one.name != NO_TENANT for one in config.tenant):
        titles[NO_TENANT] = _of_no_tenant(config)
    return titles


def known_share(hours: Iterable[Hour], window: Window) -> float:
    """The share of `window` that `hours` cover, of any node."""
    covered_s, reached_s = 0.0, window.start_s
    for hour in sorted(hours, key=lambda hour: hour.start_s):
        begin_s, end_s = max(hour.start_s, reached_s), min(hour.end_s, window.end_s)
        if end_s > begin_s:
            covered_s, reached_s = covered_s + end_s - begin_s, end_s
    return min(1.0, covered_s / (window.end_s - window.start_s))


def grouped(points: Iterable[Point], unit: str, period: Period) -> tuple[Point, ...]:
    """Points of hours as points of hours, days or weeks of the time zone; those without a query are among them."""
    first = local(period.start_s, period.time_zone).date()

    def bin_of(time_s: float) -> int:
        if unit == "hour":
            return int((time_s - period.start_s + _ROUNDED_S) // HOUR_S)
        return (local(time_s, period.time_zone).date() - first).days // (7 if unit == "week" else 1)

    starts: dict[int, float] = {}
    at_s = period.start_s
    while at_s < period.end_s:
        starts.setdefault(bin_of(at_s), at_s)
        at_s += HOUR_S
    sums = {key: [0, 0, 0] for key in starts}
    for point in points:
        key = bin_of(min(max(point.start_s, period.start_s), period.end_s - 1))
        for index, value in enumerate((point.queries, point.blocked, point.monitored)):
            sums.setdefault(key, [0, 0, 0])[index] += value
    return tuple(
        Point(start_s=starts.get(key, period.end_s - 1), queries=queries, blocked=blocked, monitored=monitored)
        for key, (queries, blocked, monitored) in sorted(sums.items())
    )


def _urgency(machine: MachineRow) -> tuple[bool, int, int]:
    order = ALARMING.index(machine.category) if machine.category in ALARMING else len(ALARMING)
    return (machine.period_s is None, order, -machine.n)


def _seen_by(headline: Headline, tenant: str | None) -> Headline:
    if tenant is None:
        return headline
    return replace(headline, tenants=1)
