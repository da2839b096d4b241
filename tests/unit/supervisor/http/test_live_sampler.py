"""Samples are taken only while there is a viewer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from pdns.supervisor.http import live_sampler
from pdns.supervisor.http.live_sampler import LiveSampler
from pdns.telemetry.counters import Counters

QUERIES = ("queries_total", "leeds", "udp", "A")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counters]:
    monkeypatch.setattr(live_sampler, "EVERY_S", 0.01)
    monkeypatch.setattr(live_sampler, "LINGER_S", 0.2)
    counters = Counters.create(64)
    yield counters
    counters.close()


def sampler_of(memory: Counters) -> LiveSampler:
    return LiveSampler(lambda: [memory], lambda: {"supervisor": os.getpid()})


async def until_it_rests(sampler: LiveSampler) -> None:
    async with asyncio.timeout(60):
        while sampler.runs:  # noqa: ASYNC110 (no event says that nothing happens)
            await asyncio.sleep(0.01)


def test_nothing_runs_without_a_viewer(memory: Counters) -> None:
    """There is no timer before the first viewer, and none some time after the last one."""

    async def body() -> None:
        sampler = sampler_of(memory)
        await asyncio.sleep(0.05)
        assert (sampler.runs, sampler.number, len(sampler.samples)) == (False, 0, 0)
        assert await sampler.ready()
        assert sampler.runs
        await until_it_rests(sampler)
        number = sampler.number
        await asyncio.sleep(0.05)
        assert (sampler.runs, sampler.number) == (False, number)

    asyncio.run(body())


def test_a_viewer_keeps_it_running(memory: Counters) -> None:
    """Each wait is for a later sample; the history has the rates."""

    async def body() -> None:
        sampler = sampler_of(memory)
        assert await sampler.ready()
        for _ in range(5):
            before = sampler.number
            memory.add(1000, *QUERIES)
            assert await sampler.next()
            assert sampler.number > before
        assert max(point.queries for point in sampler.history) > 0
        assert all(point.p99_s is None for point in sampler.history)
        sampler.close()

    asyncio.run(body())


def test_after_a_rest_there_is_no_rate_over_the_rest(memory: Counters) -> None:
    """What was counted while there was no viewer is not spread over the first second."""

    async def body() -> None:
        sampler = sampler_of(memory)
        assert await sampler.ready()
        await until_it_rests(sampler)
        memory.add(10**9, *QUERIES)
        assert await sampler.ready()
        assert max(point.queries for point in sampler.history) == 0
        assert len(sampler.samples) == 2
        sampler.close()

    asyncio.run(body())


def test_the_end_wakes_those_who_wait(memory: Counters) -> None:
    """A viewer does not delay the stop of the server."""

    async def body() -> None:
        sampler = sampler_of(memory)
        assert await sampler.ready()
        waiting = [asyncio.ensure_future(sampler.next()) for _ in range(3)]
        await asyncio.sleep(0)
        sampler.close()
        assert not any(await asyncio.gather(*waiting)) or not sampler.runs
        assert await sampler.next() is False
        assert await sampler.ready() is False

    asyncio.run(body())


def test_the_history_is_bounded(memory: Counters, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long there are viewers, a minute of samples and ten minutes of points are kept."""

    async def body() -> None:
        sampler = sampler_of(memory)
        assert sampler.samples.maxlen == live_sampler.WINDOW_S + 1
        assert sampler.history.maxlen == live_sampler.HISTORY_S
        monkeypatch.setattr(live_sampler, "EVERY_S", 0.0005)
        for _ in range(80):
            await sampler.next()
        assert len(sampler.samples) == live_sampler.WINDOW_S + 1
        sampler.close()

    asyncio.run(body())
