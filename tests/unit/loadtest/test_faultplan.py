"""The plan of faults."""

from __future__ import annotations

from itertools import pairwise, product

from loadtest.faultplan import KINDS, PROCESSES_UNTIL, plan


def test_the_same_seed_plans_the_same_faults() -> None:
    """What a soak found can be looked for again; another seed brings other times."""
    assert plan(180, 1) == plan(180, 1)
    assert plan(180, 1) != plan(180, 2)


def test_three_minutes_have_every_kind() -> None:
    """What a developer runs leaves nothing out, unless told to."""
    assert {planned.kind.name for planned in plan(180, 1)} == {kind.name for kind in KINDS}
    assert "rolling restart" not in {planned.kind.name for planned in plan(3600, 1, without=frozenset({"rolling restart"}))}


def test_an_hour_has_each_kind_several_times() -> None:
    """In an hour each fault meets different traffic and different other faults: at least four of each kind."""
    kinds = [planned.kind.name for planned in plan(3600, 1)]
    assert min(kinds.count(kind.name) for kind in KINDS) >= 4


def test_processes_are_left_alone_in_the_last_third() -> None:
    """So that the memory of the last workers can be seen to be level."""
    for run_s in (20.0, 180.0, 3600.0):
        last_s = max(planned.at_s for planned in plan(run_s, 3) if planned.kind.series == "processes")
        assert run_s * 0.4 < last_s < run_s * PROCESSES_UNTIL


def test_seconds_have_time_for_some_faults_of_each_series() -> None:
    """Twenty seconds kill a worker, break an upstream and change a list, and do not wait for a hung worker."""
    kinds = {planned.kind.name for planned in plan(20, 1)}
    assert {"kill worker", "one silent", "list changes", "reload"} <= kinds
    assert "hang worker" not in kinds


def test_faults_of_a_series_follow_each_other() -> None:
    """In one series a fault begins after the previous one has ended."""
    for run_s, series in product((20.0, 60.0, 180.0, 3600.0), ("upstream", "feeds", "processes")):
        times = [planned for planned in plan(run_s, 1) if planned.kind.series == series]
        assert all(one.at_s + one.hold_s <= other.at_s for one, other in pairwise(times))
