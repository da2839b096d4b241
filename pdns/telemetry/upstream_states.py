"""How upstreams do, as workers count it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pdns.telemetry.counters import Counters

UP, DOWN, USELESS = "up", "down", "useless"


def upstream_states(workers: Iterable[Counters]) -> dict[str, str]:
    """The state of each upstream, by its configured text: the worst that a worker sees."""
    gauges: dict[str, dict[str, int]] = {"upstream_up": {}, "upstream_useful": {}}
    for counters in workers:
        for family, labels, value in counters.items():
            if family in gauges:
                gauges[family][labels[0]] = min(value, gauges[family].get(labels[0], value))
    return states_of(gauges["upstream_up"], gauges["upstream_useful"])


def states_of(up: Mapping[str, float], useful: Mapping[str, float]) -> dict[str, str]:
    """The same from the values of `pdns_upstream_up` and `pdns_upstream_useful`."""
    return {name: DOWN if not value else UP if useful.get(name, 1) else USELESS for name, value in up.items()}
