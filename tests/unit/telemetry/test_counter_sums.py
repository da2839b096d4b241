"""Sums over counter memories are those that are made one by one."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from pdns.telemetry.counter_sums import CounterSums, Series
from pdns.telemetry.counters import Counters
from pdns.telemetry.metrics import BY_NAME
from pdns.telemetry.stats import Stats

_FAMILIES = st.sampled_from(["queries_total", "cache_entries", "upstream_up", "unknown_total", "query_duration_seconds_bucket"])
_STEPS = st.lists(st.tuples(st.integers(0, 3), _FAMILIES, st.sampled_from("abc"), st.integers(0, 2**40)), max_size=40)


def _one_by_one(now: list[Counters], past: list[Counters]) -> dict[str, Series]:
    """The specification."""
    values: defaultdict[str, Series] = defaultdict(dict)
    for memory in (*now, *past):
        for name, labels, value in memory.items():
            gauge = name in BY_NAME and BY_NAME[name].kind == "gauge"
            if gauge and memory in past:
                continue
            before = values[name].get(labels)
            if before is None:
                values[name][labels] = value
            elif gauge and BY_NAME[name].of_workers == "least":
                values[name][labels] = min(before, value)
            else:
                values[name][labels] = before + value
    return {name: series for name, series in values.items() if series}


@given(_STEPS, _STEPS, st.booleans())
def test_sums_are_those_made_one_by_one(
    first: list[tuple[int, str, str, int]], second: list[tuple[int, str, str, int]], gone: bool
) -> None:
    """Of four memories, one of the past, while they grow, gauges are forgotten, and one of them goes."""
    memories = [Counters.create(64) for _ in range(4)]
    sums = CounterSums()
    now, past = memories[:3], memories[3:]
    for steps in (first, second):
        for number, family, label, value in steps:
            if family in BY_NAME and BY_NAME[family].kind == "gauge":
                memory = memories[number]
                memory.values[memory.slot(family, label)] = value
                if value % 3 == 0:
                    memory.forget(family, label)
            else:
                memories[number].add(value, family, label)
        assert {name: series for name, series in sums.read(now, past).items() if series} == _one_by_one(now, past)
        if gone:
            now = now[1:]
    for memory in memories:
        memory.close()


def test_a_worker_that_is_gone_takes_its_series_along() -> None:
    """What only one memory had is no longer there when it is gone; it does not stay as 0."""
    one, two = Counters.create(64), Counters.create(64)
    Stats(one).add("zone_forwarded_total", 1, "corp.example")
    Stats(two).add("zone_forwarded_total", 1, "other.example")
    sums = CounterSums()
    assert len(sums.read([one, two])["zone_forwarded_total"]) == 2
    assert sums.read([two])["zone_forwarded_total"] == {("other.example",): 1}
    one.close()
    two.close()
