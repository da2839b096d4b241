"""Sums over counter memories: the same as by hand, whenever series come; and percentiles as Prometheus has them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.supervisor.http.live_counts import LiveSums, by_label, by_two_labels, columns_of, difference, quantile
from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import BOUNDS, BUCKETS_S

SERIES = (
    ("queries_total", "leeds", "udp", "A"), ("queries_total", "leeds", "tcp", "A"), ("queries_total", "york", "udp", "AAAA"),
    ("blocked_total", "leeds", "urlhaus", "malware", "sinkhole"), ("would_block_total", "leeds", "ads", "ads"),
    ("dropped_total", "rate_limit"), ("dropped_total", "internal_error"), ("cache_evictions_total",),
    ("responses_total", "leeds", "cache", "NOERROR"), ("responses_total", "york", "error", "SERVFAIL"),
    ("query_duration_seconds:bucket", "cache", "0.01"), ("feed_hits_total", "urlhaus"), ("in_flight",),
    ("upstream_requests_total", "udp://192.0.2.1:53", "ok"), ("upstream_duration_seconds:bucket", "udp://192.0.2.1:53", "+Inf"),
)  # fmt: skip


@pytest.fixture
def memories() -> Iterator[tuple[Counters, Counters]]:
    two = Counters.create(64), Counters.create(64)
    yield two
    for one in two:
        one.close()


@given(steps=st.lists(st.tuples(st.integers(0, 1), st.sampled_from(SERIES), st.integers(0, 10**6)), max_size=30))
def test_a_row_is_the_sum_of_all_series(steps: list[tuple[int, tuple[str, ...], int]]) -> None:
    """After each step, in whichever memory and whether or not the series is new, every column is what `items` says."""
    memories, sums = (Counters.create(64), Counters.create(64)), LiveSums()
    try:
        rows = [sums.row(memories)]
        for at, series, n in steps:
            memories[at].add(n, *series)
            rows.append(sums.row(memories))
            expected: dict[tuple[str, ...], int] = {}
            for memory in memories:
                for family, labels, value in memory.items():
                    for column in columns_of((family, *labels)):
                        expected[column] = expected.get(column, 0) + value
            assert sums.table(rows[-1]) == expected
        grown = sums.table(difference(rows[-1], rows[0]))
        assert grown == sums.table(rows[-1])
    finally:
        for memory in memories:
            memory.close()


def test_a_memory_that_is_gone(memories: tuple[Counters, Counters]) -> None:
    """A retired worker's counts are folded into another memory: the sum stays, and a difference is never below 0."""
    first, second = memories
    sums = LiveSums()
    first.add(5, "queries_total", "leeds", "udp", "A")
    second.add(7, "queries_total", "leeds", "udp", "A")
    before = sums.row(memories)
    second.fold(first, but=())
    assert by_label(sums.table(sums.row([second])), "queries") == {"leeds": 12}
    assert difference(sums.row([first]), before) == [0]


def test_gauges(memories: tuple[Counters, Counters]) -> None:
    """The least of all workers, by label, without those that have forgotten theirs."""
    sums = LiveSums()
    for memory, value in zip(memories, (1, 0), strict=True):
        memory.add(value, "upstream_up", "a")
        memory.add(1, "upstream_up", "b")
    assert sums.least(memories, "upstream_up") == {"a": 0, "b": 1}
    memories[1].forget("upstream_up", "a")
    assert sums.least(memories, "upstream_up") == {"a": 1, "b": 1}
    assert sums.least(memories, "upstream_useful") == {}


def test_labels(memories: tuple[Counters, Counters]) -> None:
    """Columns can be read by one label, or by two."""
    for series in SERIES:
        memories[0].add(2, *series)
    sums = LiveSums()
    table = sums.table(sums.row(memories))
    assert by_label(table, "queries") == {"leeds": 4, "york": 2}
    assert by_label(table, "answers") == {"cache": 2, "error": 2}
    assert by_two_labels(table, "upstream") == {"udp://192.0.2.1:53": {"ok": 2}}
    assert table["dropped",] == 4
    assert ("in_flight",) not in table


def test_percentiles() -> None:
    """Interpolated within a bucket; nothing without values; the last bound for all that is longer."""
    assert quantile({}, 0.5) is None
    assert quantile({"0.01": 100}, 0.5) == pytest.approx(0.0075)
    assert quantile({"0.01": 99, "1.0": 1}, 0.99) == pytest.approx(0.01)
    assert quantile({"0.01": 90, "1.0": 10}, 0.99) == pytest.approx(0.95)
    assert quantile({"+Inf": 3}, 0.5) == BUCKETS_S[-1]


@given(counts=st.dictionaries(st.sampled_from(BOUNDS), st.integers(0, 10**9)), share=st.floats(0.01, 1.0))
def test_a_percentile_is_within_the_bounds(counts: dict[str, int], share: float) -> None:
    """It is never outside the histogram, and grows with the share."""
    found = quantile(counts, share)
    if not sum(counts.values()):
        assert found is None
    else:
        assert found is not None
        assert 0 <= found <= BUCKETS_S[-1]
        assert found <= (quantile(counts, 1.0) or 0.0)
