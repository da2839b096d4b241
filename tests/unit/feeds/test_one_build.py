"""Feeds that go live together: one build when all are in, none when one is missing."""

from __future__ import annotations

import asyncio

import pytest

from feeds.builder import BuildError
from feeds.one_build import OneBuild
from feeds.publisher import Publisher


async def scene(missing: str) -> tuple[list[bool | BaseException], int]:
    builds = 0

    async def build() -> bool:
        nonlocal builds
        builds += 1
        return True

    publisher = Publisher(build)
    loop = asyncio.get_running_loop().create_task(publisher.run())
    publisher.pause()
    publisher.mark_dirty()  # another reason for a build, which has to wait
    together = OneBuild(publisher, 3, lambda: missing)

    async def feed(delay_s: float) -> bool:
        await asyncio.sleep(delay_s)
        assert builds == 0
        return await together.published()

    outcomes = await asyncio.gather(*(feed(number / 100) for number in range(3)), return_exceptions=True)
    await asyncio.sleep(0.01)
    loop.cancel()
    await asyncio.wait([loop])
    return outcomes, builds


def test_one_build_for_all() -> None:
    """It begins when the last feed is in, whatever else asked for one before."""
    assert asyncio.run(scene("")) == ([True, True, True], 1)


def test_none_when_one_is_missing() -> None:
    """Every feed hears why, and the publisher stays paused."""
    outcomes, builds = asyncio.run(scene("feed x is not in"))
    assert builds == 0
    assert all(isinstance(outcome, BuildError) for outcome in outcomes)
    with pytest.raises(BuildError, match="feed x is not in"):
        raise outcomes[0]  # type: ignore[misc]
