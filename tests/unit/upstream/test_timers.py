"""Deadlines in buckets."""

from __future__ import annotations

import asyncio
import time

from pdns.upstream.timers import TICK_S, Timers
from tests.fakes.loops import on_both_loops, run_on


@on_both_loops
def test_nothing_fires_early_or_more_than_a_tick_late(loop: str) -> None:
    """Each callback comes after its time, and within a tick and what a busy machine adds."""

    async def main() -> list[float]:
        timers = Timers(asyncio.get_running_loop())
        over = asyncio.get_running_loop().create_future()
        late_s: list[float] = []

        def fired(due_s: float, now: float) -> None:
            late_s.append(now - due_s)
            if len(late_s) == 30:
                over.set_result(None)

        start_s = time.monotonic()
        for number in range(30, 0, -1):  # the earliest last: the loop must be asked again each time
            due_s = start_s + number * 0.004
            timers.at(due_s, fired, due_s)
        await over
        timers.close()
        return late_s

    late_s = run_on(loop, main())
    assert min(late_s) >= 0
    assert max(late_s) < TICK_S + 0.1


@on_both_loops
def test_callbacks_may_set_more(loop: str) -> None:
    """A callback that asks to be called again is."""

    async def main() -> int:
        timers = Timers(asyncio.get_running_loop())
        over = asyncio.get_running_loop().create_future()
        calls = 0

        def fired(_argument: None, now: float) -> None:
            nonlocal calls
            calls += 1
            if calls == 3:
                over.set_result(None)
            else:
                timers.at(now, fired, None)

        timers.at(time.monotonic(), fired, None)
        await over
        return calls

    assert run_on(loop, main()) == 3


@on_both_loops
def test_nothing_comes_after_close(loop: str) -> None:
    """What was set before or after close() is forgotten."""

    async def main() -> list[str]:
        timers = Timers(asyncio.get_running_loop())
        fired: list[str] = []
        timers.at(time.monotonic(), lambda argument, _now: fired.append(argument), "before")
        timers.close()
        timers.at(time.monotonic(), lambda argument, _now: fired.append(argument), "after")
        await asyncio.sleep(3 * TICK_S)
        return fired

    assert run_on(loop, main()) == []
