"""Which times are those of a timer, with what period, and whether it has stopped."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.event_store.beacon import Beacon, Beat, beacon

NONE = Beacon(None, None, None)
DAY_S = 86_400.0


def single(times: list[float]) -> list[Beat]:
    return [Beat(at, at, 1) for at in times]


def timer(period_s: float, count: int, jitter: float = 0.0, seed: int = 0) -> list[float]:
    """Times of a timer, each gap spread evenly by `jitter` to both sides."""
    luck = random.Random(seed)
    times = [1000.0]
    for _ in range(count):
        times.append(times[-1] + period_s * (1 + luck.uniform(-jitter, jitter)))
    return times


@given(period_s=st.floats(10, 7200), count=st.integers(12, 200), jitter=st.floats(0, 0.3), seed=st.integers(0, 2**32))
def test_a_timer_is_found(period_s: float, count: int, jitter: float, seed: int) -> None:
    """Its period within its jitter, and how much it varies: half of the greatest deviation."""
    times = timer(period_s, count, jitter, seed)
    found = beacon(single(times), times[-1])
    assert found.period_s == pytest.approx(period_s, rel=0.31)
    assert found.jitter is not None
    assert found.jitter <= jitter * 1.4 + 1e-6
    assert found.stopped_since_s is None


def test_the_numbers() -> None:
    """Without jitter both are exact; with an even spread of a fifth the deviation is about a tenth."""
    assert beacon(single(timer(60.0, 30)), 3000.0) == Beacon(60.0, 0.0, None)
    found = beacon(single(timer(60.0, 2000, 0.2)), 0.0)
    assert found.period_s == pytest.approx(60, rel=0.02)
    assert found.jitter == pytest.approx(0.1, abs=0.01)


def test_nights_losses_and_other_queries_do_not_hide_a_timer() -> None:
    """A machine that sleeps, a fifth of the beats that are missing, and a person who asks for the same name now and then."""
    luck = random.Random(2)
    times = [day * DAY_S + at for day in range(5) for at in timer(300.0, 100)]
    times = [at for at in times if luck.random() > 0.2] + [luck.uniform(0, 5 * DAY_S) for _ in range(20)]
    luck.shuffle(times)
    assert beacon(single(times), 5 * DAY_S).period_s == pytest.approx(300.0, rel=0.05)


def test_several_types_and_retries_are_one_beat() -> None:
    """A, AAAA and HTTPS at once, then two retries."""
    times = [at + by for at in timer(60.0, 20) for by in (0.0, 0.01, 0.02, 1.0, 3.0)]
    assert beacon(single(times), 0.0) == Beacon(60.0, 0.0, None)


@pytest.mark.parametrize("period_s", [10.0, 20.0, 25.0, 45.0, 90.0])
def test_merged_repeats_are_beats_too(period_s: float) -> None:
    """The first query is an event, repeats within a minute are one more."""
    beats: list[Beat] = []
    times = timer(period_s, 200)
    while times:
        first, *times = times
        same = [at for at in times if at - first < 60]
        times = times[len(same) :]
        beats.append(Beat(first, first, 1))
        if same:
            beats.append(Beat(same[0], same[-1], len(same)))
    assert beacon(beats, 0.0).period_s == pytest.approx(period_s, rel=0.01)


def test_a_timer_that_stopped() -> None:
    """More than five periods of silence: since the last query, also one that was merged."""
    beats = single(timer(60.0, 20))
    last = beats[-1].time_s
    assert beacon(beats, last + 300.0).stopped_since_s is None
    assert beacon(beats, last + 300.1).stopped_since_s == last
    assert beacon([*beats, Beat(last + 60, last + 70, 3)], last + 500).stopped_since_s == last + 70


def test_no_period_where_there_is_none() -> None:
    """Of two thousand machines that ask at random, in bursts, or while a person works, hardly one looks like a timer."""
    luck = random.Random(3)
    wrong = 0
    for number in range(2000):
        at, beats = 0.0, []
        for _ in range(luck.randrange(11, 150)):
            at += luck.expovariate(1 / 600) if number % 2 else 30 * luck.paretovariate(0.9)
            repeats = luck.choice((1, 1, 3, 8))
            beats.append(Beat(at, at if repeats == 1 else at + luck.uniform(1, 50), repeats))
            at = beats[-1].last_s
        wrong += beacon(beats, at).period_s is not None
    assert wrong <= 20


@given(times=st.lists(st.floats(0, 1e9), max_size=10))
def test_few_queries_have_no_period(times: list[float]) -> None:
    """Ten gaps are needed."""
    assert beacon(single(times), 2e9) == NONE


def test_queries_without_end_have_no_period() -> None:
    """A loop that asks all the time is one beat."""
    beats = [Beat(at * 60.0, at * 60.0 + 59.9, 1000) for at in range(100)]
    assert beacon(beats, 6000.0) == NONE
    assert beacon([], 0.0) == NONE
