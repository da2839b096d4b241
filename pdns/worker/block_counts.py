"""What is counted, logged and recorded of a query that was blocked or monitored."""

from __future__ import annotations

from pdns.core.entry import Entry
from pdns.core.in_flight import Waiter
from pdns.telemetry.stats import Stats
from pdns.worker.monitor_log import MonitorLog
from pdns.worker.parts import EventWriter


def count_block(
    waiter: Waiter, entry: Entry, now: float, stats: Stats, monitor_log: MonitorLog, events: EventWriter | None
) -> None:
    """Count the query of `waiter`, which is answered with `entry`; log it if it was monitored, and write an event."""
    query, client, verdict = waiter.query, waiter.client, entry.verdict
    if entry.monitored:
        monitor_log.saw(query.qname, client.tenant, waiter.address, entry.monitored)
    if verdict is None:
        slots, listed, text = stats.blocked(client.tenant, None, entry.monitored), b"", b""
    else:
        blocked_by = verdict.feed, verdict.category, verdict.action, verdict.also
        slots, listed = stats.blocked(client.tenant, blocked_by, entry.monitored), verdict.listed
        text = b"" if entry.ede is None else entry.ede[1]
    if events is not None:
        events.note(
            query.key + client.policy_key, client.tenant, waiter.address, waiter.transport, query.qname, query.qtype, listed,
            text, slots, now,
        )  # fmt: skip
