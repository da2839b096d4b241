"""An update is counted once, when the last worker has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pdns.state.feed_status import LiveUpdate
from pdns.state.in_force import InForce
from pdns.supervisor.block_times import BlockTimes
from pdns.telemetry.counters import Counters
from pdns.telemetry.histograms import BLOCK_TIME
from pdns.telemetry.stats import BUCKET_SUFFIX, SUM_SUFFIX


class Workers:
    """What all of them use."""

    generation = 3

    def in_force(self) -> InForce:
        return InForce(generation=self.generation)


@pytest.fixture
def counters() -> Iterator[Counters]:
    memory = Counters.create()
    yield memory
    memory.close()


def update(feed: str, generation: int, seen_s: float) -> LiveUpdate:
    return LiveUpdate(feed=feed, generation=generation, seen_boot_s=seen_s)


def test_an_update_counts_when_the_last_worker_has_it(tmp_path: Path, counters: Counters) -> None:
    """In the bucket of its time, and once; what was there at the start is not counted."""
    workers = Workers()
    times = BlockTimes(tmp_path, workers.in_force, counters)
    of_before = update("x", 3, 1.0)
    assert times.look((of_before,), 500.0, 0.0) == []  # of an earlier run, maybe of an earlier boot
    updates = (of_before, update("x", 4, 500.0), update("y", 5, 502.0))
    assert times.look(updates, 505.0, 0.0) == []
    workers.generation = 4
    assert times.look(updates, 507.0, 9000.0) == [(9000.0, "x", 7.0)]
    assert times.look(updates, 508.0, 9001.0) == []
    workers.generation = 9
    assert times.look(updates, 602.0, 9002.0) == [(9002.0, "y", 100.0)]
    counted = {(family, *labels): counters.value(family, *labels) for family, labels, _ in counters.items()}
    assert counted == {
        (BLOCK_TIME + BUCKET_SUFFIX, "x", "10.0"): 1,
        (BLOCK_TIME + SUM_SUFFIX, "x"): 7_000_000_000,
        (BLOCK_TIME + BUCKET_SUFFIX, "y", "120.0"): 1,
        (BLOCK_TIME + SUM_SUFFIX, "y"): 100_000_000_000,
    }


def test_nothing_is_kept_of_what_is_no_longer_listed(tmp_path: Path, counters: Counters) -> None:
    """A feeds process that starts again shows none: what it shows next is counted."""
    times = BlockTimes(tmp_path, Workers().in_force, counters)
    one = update("x", 2, 1.0)
    assert times.look((), 5.0, 0.0) == []
    assert len(times.look((one,), 5.0, 0.0)) == 1
    assert times.look((), 6.0, 0.0) == []
    assert times._counted == set()
