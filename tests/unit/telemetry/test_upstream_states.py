"""The state of upstreams, from what workers count."""

from __future__ import annotations

from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import Stats
from pdns.telemetry.upstream_states import upstream_states


def test_the_worst_that_a_worker_sees() -> None:
    """Down is worse than useless, and one worker that says so is enough."""
    workers = [Counters.create(64), Counters.create(64)]
    for counters in workers:
        stats = Stats(counters)
        for name in ("a", "b", "c"):
            stats.upstream_up(name, up=True)
            stats.upstream_useful(name, useful=True)
    one = Stats(workers[1])
    one.upstream_up("a", up=False)
    one.upstream_useful("a", useful=False)
    one.upstream_useful("b", useful=False)
    assert upstream_states(workers) == {"a": "down", "b": "useless", "c": "up"}
    assert upstream_states([]) == {}
