"""The counters of a worker, named as in `pdns.telemetry.metrics`. Called for every query: one look-up and one addition each.

No label value comes from the network unbounded: rare qtypes and rcodes are `other`, and so are tenants past the cap.
"""

# kernel: pdns/fast/stats.pyx

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from pdns.config.policies import NO_TENANT
from pdns.core.local_rules import LOCAL
from pdns.telemetry.counters import Counters
from pdns.wire import protocol as p
from pdns.wire.transport import Transport

MAX_TENANTS: Final = 300
OTHER: Final = "other"
QTYPE_LABELS: Final = {
    p.A: "A", p.AAAA: "AAAA", p.HTTPS: "HTTPS", p.PTR: "PTR", p.TXT: "TXT", p.SRV: "SRV", p.NS: "NS", p.MX: "MX",
    p.SOA: "SOA", p.CNAME: "CNAME", p.SVCB: "SVCB", p.DS: "DS",
}  # fmt: skip
BUCKETS_S: Final = (
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
BOUNDS: Final = (*map(repr, BUCKETS_S), "+Inf")  # of the buckets, as labels

# Families of the counter memory for the collector and the supervisor only.
BUCKET_SUFFIX: Final = ":bucket"  # last label: the upper bound in seconds, or +Inf; not cumulative
SUM_SUFFIX: Final = ":sum_ns"
HEARTBEAT: Final = "worker_heartbeat_monotonic_ns"
OVERRIDES_REVISION: Final = "worker_overrides_revision"  # the revision of `overrides.json` that this worker uses
CREDENTIALS_REVISION: Final = "worker_credentials_revision"  # likewise, of `credentials.json`
MISSING_FEED: Final = "worker_missing_feed"  # one for each required feed that is not loaded yet

BlockedBy = tuple[str, str, str, tuple[str, ...]]  # feed, category, action, other feeds that block


class Stats:
    """The counters of one worker. Nothing here raises, waits, or grows with input from clients.

    Durations are seconds and not negative; `now` is from one monotonic clock.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._values = counters.values
        self._queries: dict[tuple[str, Transport, int], int] = {}
        self._responses: dict[tuple[str, str, int], tuple[int, ...]] = {}
        self._block_slots: dict[tuple[str, BlockedBy | None, tuple[tuple[str, str], ...]], tuple[int, ...]] = {}
        self._slots: dict[tuple[str, ...], int] = {}
        self._durations: dict[str, tuple[int, ...]] = {}
        self._upstream_durations: dict[str, tuple[int, ...]] = {}
        self._tenants = {labels[0] for family, labels, _ in counters.items() if family == "queries_total"}

    def name_tenants(self, tenants: Iterable[str]) -> None:
        """Give these tenants their own labels first, so that all workers label alike."""
        for tenant in (NO_TENANT, *tenants):
            self._tenant(tenant)

    def query(self, tenant: str, transport: Transport, qtype: int) -> None:
        """A query was received."""
        slot = self._queries.get((tenant, transport, qtype))
        if slot is None:
            slot = self._query_slot(tenant, transport, qtype)
        self._values[slot] += 1

    def response(self, tenant: str, source: str, rcode: int, duration_s: float) -> None:
        """A query was answered. `source`: blocked, cache, upstream, stale, local, refused or error."""
        values = self._values
        slots = self._responses.get((tenant, source, rcode))
        if slots is None:
            slots = self._response_slots(tenant, source, rcode)
        values[slots[-1]] += 1
        values[slots[bisect_left(BUCKETS_S, duration_s)]] += 1
        if duration_s > 0.0:
            values[slots[-2]] += int(duration_s * 1e9)

    def blocked(self, tenant: str, blocked_by: BlockedBy | None, monitored: tuple[tuple[str, str], ...]) -> tuple[int, ...]:
        """A query was blocked by `blocked_by`, and would have been by the feeds in monitor mode `monitored` (feed, category).
        Returns the slots that this was counted in.
        """
        key = tenant, blocked_by, monitored
        slots = self._block_slots.get(key)
        if slots is None:
            slots = self._block_slots[key] = self.block_slots(*key)
        for slot in slots:
            self._values[slot] += 1
        return slots

    def dropped(self, reason: str) -> None:
        """Something was dropped; `reason` is from a fixed list."""
        self._values[self._slot("dropped_total", reason)] += 1

    def upstream(self, upstream: str, result: str, duration_s: float | None) -> None:
        """One query to an upstream ended; `duration_s` when it was answered."""
        values = self._values
        values[self._slot("upstream_requests_total", upstream, result)] += 1
        if duration_s is None:
            return
        slots = self._upstream_slots(upstream)
        values[slots[bisect_left(BUCKETS_S, duration_s)]] += 1
        if duration_s > 0.0:
            values[slots[-1]] += int(duration_s * 1e9)

    def upstream_up(self, upstream: str, up: bool) -> None:
        """Whether an upstream is considered reachable."""
        self._values[self._slot("upstream_up", upstream)] = 1 if up else 0

    def upstream_useful(self, upstream: str, useful: bool) -> None:
        """Whether an upstream answers well enough to be preferred to none."""
        self._values[self._slot("upstream_useful", upstream)] = 1 if useful else 0

    def upstream_handshake(self, upstream: str, session: str) -> None:
        """An encrypted connection to an upstream was made. `session`: new or resumed."""
        self._values[self._slot("upstream_handshakes_total", upstream, session)] += 1

    def upstream_blocked(self, upstream: str) -> None:
        """An upstream replied that it blocks the name."""
        self._values[self._slot("upstream_blocked_total", upstream)] += 1

    def fell_back(self, group: str) -> None:
        """A question that a group of upstreams did not answer goes to its fallback."""
        self._values[self._slot("group_fallbacks_total", group)] += 1

    def gauge(self, family: str, value: int, *labels: str) -> None:
        """Set a gauge of `pdns.telemetry.metrics.FAMILIES`. Below 0 is 0."""
        self._values[self._slot(family, *labels)] = max(0, value)

    def add(self, family: str, n: int, *labels: str) -> None:
        """Add `n` to a counter of `pdns.telemetry.metrics.FAMILIES`. Below 1 adds nothing."""
        if n > 0:
            self._values[self._slot(family, *labels)] += n

    def forget(self, family: str, *labels: str) -> None:
        """Series of a gauge whose labels begin with `labels` have no value until set again: their subject may be gone."""
        self._counters.forget(family, *labels)

    # For compiled code, which counts by itself: slots in `values`.

    @property
    def values(self) -> memoryview[int]:
        """The counters' memory, a u64 for each slot."""
        return self._values

    def query_slot(self, tenant: str, transport: Transport, qtype: int) -> int:
        """The slot that `query` adds to."""
        return self._query_slot(tenant, transport, qtype)

    def response_slot(self, tenant: str, source: str, rcode: int) -> int:
        """The slot of `responses_total` that `response` adds to."""
        return self._response_slots(tenant, source, rcode)[-1]

    def duration_slots(self, source: str) -> tuple[int, ...]:
        """The slots of a source's histogram: one for each of `BUCKETS_S` and for what is longer, then the sum in nanoseconds."""
        return self._duration_slots(source)

    def drop_slot(self, reason: str) -> int:
        """The slot that `dropped` adds to."""
        return self._slot("dropped_total", reason)

    def upstream_slots(self, upstream: str, result: str) -> tuple[int, ...]:
        """The slot of `upstream_requests_total` that `upstream` adds to, then those of the histogram as above."""
        return self._slot("upstream_requests_total", upstream, result), *self._upstream_slots(upstream)

    def block_slots(self, tenant: str, blocked_by: BlockedBy | None, monitored: tuple[tuple[str, str], ...]) -> tuple[int, ...]:
        """The slots that `blocked` adds to. Their names say all that an event needs (`pdns.telemetry.event_ring`): that of
        `blocked_total` is the first, if there is one.
        """
        label = self._tenant(tenant)
        slots = [self._slot("would_block_total", label, feed, category) for feed, category in monitored]
        feeds = [feed for feed, _ in monitored]
        if blocked_by is not None:
            slots.insert(0, self._slot("blocked_total", label, *blocked_by[:3]))
            feeds += [blocked_by[0], *blocked_by[3]]
        listing = [feed for feed in feeds if feed != LOCAL]  # a block by an administrator is not of a feed
        if len(listing) == 1:
            slots.append(self._slot("feed_only_hits_total", listing[0]))
        return (*slots, *(self._slot("feed_hits_total", feed) for feed in listing))

    def _query_slot(self, tenant: str, transport: Transport, qtype: int) -> int:
        slot = self._slot("queries_total", self._tenant(tenant), transport, QTYPE_LABELS.get(qtype, OTHER))
        if qtype in QTYPE_LABELS:  # the other 65,000 types are looked up each time instead of cached
            self._queries[tenant, transport, qtype] = slot
        return slot

    def _response_slots(self, tenant: str, source: str, rcode: int) -> tuple[int, ...]:
        """The slots of the source's histogram, then that of the response."""
        histogram = self._duration_slots(source)
        label = p.RCODE_NAMES.get(rcode, OTHER)
        slots = (*histogram, self._slot("responses_total", self._tenant(tenant), source, label))
        if rcode in p.RCODE_NAMES:
            self._responses[tenant, source, rcode] = slots
        return slots

    def _duration_slots(self, source: str) -> tuple[int, ...]:
        histogram = self._durations.get(source)
        if histogram is None:
            histogram = self._durations[source] = self._histogram("query_duration_seconds", source)
        return histogram

    def _upstream_slots(self, upstream: str) -> tuple[int, ...]:
        slots = self._upstream_durations.get(upstream)
        if slots is None:
            slots = self._upstream_durations[upstream] = self._histogram("upstream_duration_seconds", upstream)
        return slots

    def _tenant(self, tenant: str) -> str:
        if tenant in self._tenants:
            return tenant
        if len(self._tenants) >= MAX_TENANTS:
            return OTHER
        self._tenants.add(tenant)
        return tenant

    def _slot(self, *name: str) -> int:
        slot = self._slots.get(name)
        if slot is None:
            slot = self._slots[name] = self._counters.slot(*name)
        return slot

    def _histogram(self, family: str, label: str) -> tuple[int, ...]:
        """The slots of the buckets, then of the sum."""
        return (
            *(self._counters.slot(family + BUCKET_SUFFIX, label, bound) for bound in BOUNDS),
            self._counters.slot(family + SUM_SUFFIX, label),
        )
