"""Hours: what the workers have counted, and whether the events account for all that was blocked."""

from __future__ import annotations

from typing import Final

import msgspec
from xxhash import xxh3_64_intdigest

from pdns.event_store.event import ALL_TENANTS, Hour
from pdns.events.worker_source import Snapshot, TenantCounts

HOUR_S: Final = 3600.0


class EventCounts(msgspec.Struct):
    """Queries in events."""

    events: int = 0
    merged: int = 0
    monitored: int = 0


class HourState(msgspec.Struct):
    """An hour that has not ended, and what the counters of each worker were when they were last looked at."""

    start_s: float = 0.0
    before: dict[str, Snapshot] = {}  # by the number of the event ring, in hexadecimal
    counts: dict[str, TenantCounts] = {}  # by tenant
    event_counts: dict[str, EventCounts] = {}  # by tenant
    dropped: int = 0
    monitored: int = 0  # that workers have noted
    waiting: int = 0  # more, or fewer, than when the hour began
    lost: int = 0


class HourBook:
    """The hour that it is. `start_s` and `now_s`: seconds since the epoch."""

    def __init__(self, state: HourState | None = None) -> None:
        """Continues with `state`."""
        self.state = state or HourState()

    def begin(self, now_s: float) -> None:
        """Begin, unless an hour has begun."""
        self.state.start_s = self.state.start_s or now_s

    def is_over(self, now_s: float) -> bool:
        """Whether the hour has ended. A clock that was set back ends it as well."""
        return not self.state.start_s <= now_s < (self.state.start_s // HOUR_S + 1) * HOUR_S

    def add_event(self, tenant: str, n: int, *, merged: bool, monitored: bool) -> None:
        """Queries of a tenant are in an event."""
        one = self.state.event_counts.get(tenant)
        if one is None:
            one = self.state.event_counts[tenant] = EventCounts()
        one.merged += n if merged else 0
        one.events += 0 if merged else n
        one.monitored += n if monitored else 0

    def skip(self, ring: str, now: Snapshot) -> None:
        """What a worker has counted up to `now` belongs to no hour."""
        self.state.before[ring] = now

    def look(self, ring: str, now: Snapshot) -> None:
        """Add what a worker has counted since it was last looked at."""
        state = self.state
        before = state.before.get(ring, Snapshot())
        for tenant, one in now.counts.items():
            total = state.counts.get(tenant)
            if total is None:
                total = state.counts[tenant] = TenantCounts()
            total.add(one)
            if (old := before.counts.get(tenant)) is not None:
                total.add(old, -1)
        state.dropped += now.dropped - before.dropped
        state.monitored += now.monitored - before.monitored
        state.waiting += now.waiting - before.waiting
        state.before[ring] = now

    def forget(self, ring: str) -> None:
        """A worker is gone for good. What it was counting up to `look` stays counted; repeats without a record are lost."""
        before = self.state.before.pop(ring, Snapshot())
        self.state.waiting -= before.waiting
        self.state.lost += before.waiting

    def end(self, now_s: float, node: str) -> list[Hour]:
        """The rows of the hour; the next one begins. Those of tenants without a query are left out."""
        state = self.state
        end_s = max(state.start_s, min(now_s, (state.start_s // HOUR_S + 1) * HOUR_S))
        hours = [
            _hour(state.start_s, end_s, node, tenant, one, state.event_counts.get(tenant, EventCounts()))
            for tenant, one in sorted(state.counts.items())
            if one.queries
        ]
        total, in_events = TenantCounts(dropped=state.dropped), EventCounts()
        for one in state.counts.values():
            total.add(one)
        for counted in state.event_counts.values():
            in_events.events += counted.events
            in_events.merged += counted.merged
        merged = in_events.merged + state.waiting
        unaccounted = total.blocked + state.monitored - in_events.events - merged - state.lost
        whole = _hour(state.start_s, end_s, node, ALL_TENANTS, total, in_events)
        hours.append(
            msgspec.structs.replace(whole, merged=merged, monitored=state.monitored, lost=state.lost, unaccounted=unaccounted)
        )
        self.state = HourState(start_s=now_s, before=state.before)
        return hours


def _hour(start_s: float, end_s: float, node: str, tenant: str, one: TenantCounts, in_events: EventCounts) -> Hour:
    return Hour(
        id=xxh3_64_intdigest(f"hour {start_s:.3f} {node} {tenant}".encode()),
        start_s=start_s,
        end_s=end_s,
        node=node,
        tenant=tenant,
        queries=one.queries,
        answered=one.answered,
        servfail=one.servfail,
        dropped=one.dropped,
        blocked=one.blocked,
        monitored=in_events.monitored,
        events=in_events.events,
        merged=in_events.merged,
    )
