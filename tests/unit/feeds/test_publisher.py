"""The loop that builds blocksets: changes are gathered, failures are told, nothing but its owner ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine

import pytest

from feeds.builder import BuildError
from feeds.publisher import Publisher


class Builds:
    """Builds that end when the test says so."""

    def __init__(self) -> None:
        self.begun = 0
        self._began = asyncio.Event()
        self.heard: list[int] = []
        self._running: asyncio.Future[bool] | None = None
        self.publisher = Publisher(self.build, lambda: self.heard.append(self.begun))

    async def build(self) -> bool:
        self.begun += 1
        self._running = asyncio.get_running_loop().create_future()
        self._began.set()
        return await self._running

    async def wait_for(self, number: int) -> None:
        """Until that build has begun."""
        async with asyncio.timeout(30):
            while self.begun < number:
                self._began.clear()
                await self._began.wait()

    def end(self, outcome: bool | BaseException = True) -> None:
        assert self._running is not None
        if isinstance(outcome, BaseException):
            self._running.set_exception(outcome)
        else:
            self._running.set_result(outcome)

    def cancel_inside(self) -> None:
        """As if a task that the build waits for were cancelled."""
        assert self._running is not None
        self._running.cancel()


def spawn(work: Coroutine[object, object, bool | None]) -> asyncio.Task[bool | None]:
    return asyncio.get_running_loop().create_task(work)


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


def with_loop(check: Callable[[Builds], Awaitable[None]]) -> None:
    """Run `check` beside the loop."""

    async def run() -> None:
        builds = Builds()
        loop = spawn(builds.publisher.run())
        try:
            async with asyncio.timeout(60):
                await check(builds)
            assert not loop.done()
        finally:
            loop.cancel()
            await asyncio.wait([loop])

    asyncio.run(run())


def test_changes_during_a_build_give_one_more() -> None:
    """Ten callers that come while one is built get the outcome of the next; an eleventh change adds none."""

    async def check(builds: Builds) -> None:
        first = spawn(builds.publisher.published())
        await builds.wait_for(1)
        later = [spawn(builds.publisher.published()) for _ in range(10)]
        builds.publisher.mark_dirty()
        await settle()
        builds.end()
        assert await first is True
        await builds.wait_for(2)
        assert not any(task.done() for task in later)
        builds.end(False)
        assert await asyncio.gather(*later) == [False] * 10
        await settle()
        assert builds.begun == 2

    with_loop(check)


def test_a_change_in_the_last_moment_of_a_build_gives_another() -> None:
    """What was changed after a build collected its inputs is never taken for built."""

    async def check(builds: Builds) -> None:
        builds.publisher.mark_dirty()
        await builds.wait_for(1)
        builds.end()
        builds.publisher.mark_dirty()
        await builds.wait_for(2)
        builds.end()
        await settle()
        assert builds.begun == 2

    with_loop(check)


def test_a_failed_build_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """All that wait get the reason, and the log does not repeat it; the next change builds again."""

    async def check(builds: Builds) -> None:
        waiting = [spawn(builds.publisher.published()) for _ in range(3)]
        await builds.wait_for(1)
        builds.end(BuildError("no space left"))
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["no space left"] * 3
        assert all(isinstance(outcome, BuildError) for outcome in outcomes)
        await settle()
        assert builds.begun == 1
        assert "no space left" not in caplog.text
        builds.publisher.mark_dirty()
        await builds.wait_for(2)
        builds.end(BuildError("no space left"))
        await settle()
        assert "no new blockset: no space left" in caplog.text
        again = spawn(builds.publisher.published())
        await builds.wait_for(3)
        builds.end()
        assert await again is True

    with caplog.at_level(logging.ERROR):
        with_loop(check)


def test_no_error_ends_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    """A fault in our code, or a cancellation within a build, is logged and told; the loop goes on."""

    async def check(builds: Builds) -> None:
        for number, fault in enumerate((ValueError("fault"), MemoryError(), None), start=1):
            waiting = spawn(builds.publisher.published())
            await builds.wait_for(number)
            if fault is not None:
                builds.end(fault)
            else:
                builds.cancel_inside()
            with pytest.raises(BuildError, match="internal error, see the log"):
                await waiting
        assert caplog.text.count("a build failed") == 3

    with_loop(check)


def test_a_listener_that_fails_does_not_end_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    """Who waits for the build gets its outcome all the same."""

    async def build() -> bool:
        return True

    def fail() -> None:
        raise ValueError("listener")

    async def run() -> None:
        publisher = Publisher(build, fail)
        loop = spawn(publisher.run())
        async with asyncio.timeout(60):
            assert await publisher.published()
            assert await publisher.published()
        loop.cancel()
        await asyncio.wait([loop])

    asyncio.run(run())
    assert caplog.text.count("could not be reported") == 2


def test_one_caller_that_gives_up_leaves_the_others_waiting() -> None:
    """A cancelled caller cancels neither the build nor the others that wait for it."""

    async def check(builds: Builds) -> None:
        leaving, staying = spawn(builds.publisher.published()), spawn(builds.publisher.published())
        await builds.wait_for(1)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
        builds.end()
        assert await staying is True
        alone = spawn(builds.publisher.published())
        await builds.wait_for(2)
        alone.cancel()
        await asyncio.wait([alone])
        builds.end(BuildError("heard by no caller"))
        last = spawn(builds.publisher.published())
        await builds.wait_for(3)
        builds.end()
        assert await last is True

    with_loop(check)


def test_the_end_is_told_to_all_that_wait() -> None:
    """When its owner ends the loop, callers of the running build, of the next one and later ones get an error, and none hangs."""

    async def run() -> None:
        builds = Builds()
        loop = spawn(builds.publisher.run())
        current = spawn(builds.publisher.published())
        await builds.wait_for(1)
        following = spawn(builds.publisher.published())
        await settle()
        loop.cancel()
        async with asyncio.timeout(60):
            await asyncio.wait([loop])
            assert loop.cancelled()
            for waiting in (current, following, spawn(builds.publisher.published())):
                with pytest.raises(BuildError, match="stopping"):
                    await waiting
        assert not builds.publisher.building

    asyncio.run(run())


def test_who_is_told_of_a_build() -> None:
    """The listener hears of each new blockset and of each build that nothing waited for, before those that wait for it."""

    async def check(builds: Builds) -> None:
        for outcome in (True, False):
            waiting = spawn(builds.publisher.published())
            await builds.wait_for(builds.begun + 1)
            builds.end(outcome)
            assert await waiting is outcome
        assert builds.heard == [1]
        builds.publisher.mark_dirty()
        await builds.wait_for(3)
        builds.end(False)
        await settle()
        assert builds.heard == [1, 3]

    with_loop(check)
