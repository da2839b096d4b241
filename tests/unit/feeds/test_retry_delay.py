"""When a feed is tried again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from feeds.refresh import publishing
from feeds.retry_delay import delay_s, zone_refresh_s
from feeds.scheduler import Scheduler
from pdns.config.schema import Feed
from tests.unit.feeds.configs import configuration
from tests.unit.feeds.feedserver import FeedServer


def test_regular_attempts_spread() -> None:
    """`refresh_s` plus or minus a tenth, evenly: a fleet started together does not ask together."""
    assert delay_s(1000, 0, 0.0) == pytest.approx(900)
    assert delay_s(1000, 0, 0.5) == pytest.approx(1000)
    assert delay_s(1000, 0, 1.0) == pytest.approx(1100)


def test_failures_back_off_up_to_the_regular_interval() -> None:
    """30 s, then double each time, never above `refresh_s`, however long the outage."""
    assert [delay_s(300, failures, 0.5) for failures in (1, 2, 3, 4, 5, 6, 10_000)] == pytest.approx(
        [30, 60, 120, 240, 300, 300, 300]
    )


def test_what_a_zone_says() -> None:
    """Its SOA shortens the interval, not below half a minute, and says how long to wait after a failure."""
    assert [zone_refresh_s(3600, soa_s) for soa_s in (0, 60, 3600, 86400)] == [30, 60, 3600, 3600]
    assert [delay_s(3600, failures, 0.5, 600) for failures in (0, 1, 9)] == pytest.approx([3600, 600, 600])
    assert delay_s(300, 1, 0.5, 600) == pytest.approx(300)


def test_a_server_that_asks_for_time_gets_it(server: FeedServer, tmp_path: Path) -> None:
    """After Retry-After a feed is not tried sooner than that, and after the next success as configured again."""
    server.status("/list", 503, b"sorry", **{"Retry-After": "7200"})

    async def attempt(scheduler: Scheduler) -> float:
        await scheduler.configure(configuration(tmp_path, Feed(name="sample", url=server.url("/list"), refresh_s=3600)))
        await scheduler.refresh_once()
        await asyncio.sleep(0.001)
        return scheduler._runners["sample"].delay_s(0.5)

    async def both() -> None:
        scheduler = Scheduler(tmp_path)
        async with publishing(scheduler):
            assert await attempt(scheduler) == 7200
            server.serve("/list", b"bad.example\n")
            assert await attempt(scheduler) == pytest.approx(3600)

    asyncio.run(both())
