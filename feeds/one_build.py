"""Several feeds that go live together: the build begins when all of them are in, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from feeds.builder import BuildError
from feeds.publisher import Publisher


class OneBuild:
    """Stands in for `publisher`, which is held, while `feeds` are refreshed at the same time."""

    def __init__(self, publisher: Publisher, feeds: int, missing: Callable[[], str]) -> None:
        """`missing` says, once all are in, why there must be no build; "": there may be one, and the publisher is let go."""
        self._publisher, self._left, self._missing = publisher, feeds, missing
        self._all_in = asyncio.Event()

    async def published(self) -> bool:
        """As `Publisher.published`. Raises `BuildError`, and so for every feed when one of them is missing."""
        self._left -= 1
        if self._left > 0:
            await self._all_in.wait()
        self._all_in.set()
        if why := self._missing():
            raise BuildError(why)
        self._publisher.let_go()
        return await self._publisher.published()
