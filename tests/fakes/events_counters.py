"""What an events process counts."""

from __future__ import annotations

from pdns.telemetry.counters import Counters


def of_events() -> Counters:
    """Counters of an events process with one sink, which has recorded a finding."""
    counters = Counters.create(64)
    counters.add(1, "events_total", "blocked")
    for family in ("event_sink_errors_total", "event_sink_lag_seconds", "event_sink_up"):
        counters.add(1, family, "store")
    counters.add(1, "event_sink_records_total", "store", "written")
    for family in ("tap_messages_total", "tap_dropped_total"):
        counters.add(1, family, "store")
    counters.add(1, "findings_total", "tunnel", "coventry")
    return counters
