"""What happens during the demo beside the traffic: a new threat, a lost feed server, a lost upstream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pdns.demo import world
from pdns.demo.authority import Authority
from pdns.demo.feeds import FORMATS, FeedServer
from pdns.demo.resolver import SERVFAIL_TTL_S, UPSTREAM_TIMEOUT_S, DemoResolver
from pdns.demo.scrape import Scrape
from pdns.demo.table import duration
from pdns.demo.traffic import Crowd
from pdns.wire import protocol as p

_PATIENCE_S = 15.0
_NO_ANSWER_CODES = (p.EDE_NO_REACHABLE_AUTHORITY, p.EDE_NETWORK_ERROR)


def upstream_away_s(seconds: float) -> float:
    """How long the upstream is away in a demo of `seconds`."""
    return min(3.0, seconds * 0.2)


@dataclass
class Story:
    """The three events, spread over `seconds`. What does not go as it must becomes a fault of the crowd's counts."""

    seconds: float
    crowd: Crowd
    feeds: FeedServer
    authority: Authority
    resolver: DemoResolver
    read: Callable[[], Awaitable[Scrape]]
    now: str = ""
    told: list[str] = field(default_factory=list)
    _began: float = 0.0
    _fresh: int = 0

    async def tell(self) -> None:
        """Returns when all is as it was."""
        self._began = asyncio.get_running_loop().time()
        self._quiet()
        await self._until(0.1)
        await self._fine_print()
        await self._until(0.15)
        await self._new_threat()
        await self._until(0.35)
        await self._without_feeds(until=0.55)
        await self._until(0.65)
        await self._without_upstream()
        self._quiet()

    def _quiet(self) -> None:
        clients = len(world.TENANTS) * world.CLIENTS_PER_TENANT
        self.now = f"{clients} clients of {len(world.TENANTS)} tenants ask"

    async def _until(self, share: float) -> None:
        await asyncio.sleep(max(0.0, self._began + share * self.seconds - asyncio.get_running_loop().time()))

    async def _wait_for(self, what: str, happened: Callable[[], Awaitable[bool]]) -> float:
        """How long it took, in seconds; a fault when `_PATIENCE_S` were not enough."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not await happened():
            if loop.time() - began > _PATIENCE_S:
                self.crowd.counts.fault(f"not within {_PATIENCE_S:.0f} s: {what}")
                break
            await asyncio.sleep(0.05)
        return loop.time() - began

    async def _fine_print(self) -> None:
        for tenant in world.TENANTS:
            for name in (world.EXEMPT, world.CLOAKED, world.EXCEPTION):
                await self.crowd.ask_as(tenant, name)
        self.told.append(
            f"{world.EXEMPT} is listed, and blocked for all but {world.EXEMPT_TENANT}, who allows it."
            f" {world.CLOAKED} is listed nowhere, but an alias of a listed name: blocked."
        )

    async def _new_threat(self) -> None:
        async def blocked() -> bool:
            reply = await self.crowd.ask_as("northmere", world.PUBLISHED_LATER)
            return reply is not None and reply.blocked

        self.now = f"the malware feed publishes {world.PUBLISHED_LATER}"
        if await blocked():
            self.crowd.counts.fault(f"{world.PUBLISHED_LATER} was blocked before it was listed")
        self.feeds.published_later = True
        self.resolver.ask_to_update_feeds()
        took_s = await self._wait_for(f"{world.PUBLISHED_LATER} is blocked", blocked)
        self.told.append(
            f"A new threat: {world.PUBLISHED_LATER} was answered, and cached, as any name is;"
            f" {duration(took_s)} after the malware feed published it, it was blocked."
        )
        self._quiet()

    async def _without_feeds(self, until: float) -> None:
        async def all_failed() -> bool:
            reading = await self.read()
            return reading.total("feed_refresh_total", result="error") >= len(FORMATS)

        self.now = "the feed server is away: what was listed stays blocked"
        loop = asyncio.get_running_loop()
        began, before = loop.time(), self.crowd.counts.blocked
        await self.feeds.stop()
        self.resolver.ask_to_update_feeds()
        await self._wait_for("every feed's refresh fails", all_failed)
        for listed in world.FEEDS.values():
            await self.crowd.ask_as("eastvale", listed[0].name)
        await self._until(until)
        self.told.append(
            f"The feed server was away for {loop.time() - began:.1f} s: every refresh failed,"
            f" and all {self.crowd.counts.blocked - before} attempts meanwhile were blocked as before."
        )
        await self.feeds.start()
        self.resolver.ask_to_update_feeds()
        self._quiet()

    async def _without_upstream(self) -> None:
        async def answers_new_names() -> bool:
            return await self._ask_new_name() == p.NOERROR

        counts = self.crowd.counts
        clean, stale, failed = counts.clean, counts.stale, counts.failed
        away_s = upstream_away_s(self.seconds)
        self.now = f"the upstream is away for {away_s:.1f} s: answers from the cache, stale ones too"
        self.crowd.upstream_away = True
        self.authority.stop()
        loop = asyncio.get_running_loop()
        stopped = loop.time()
        await asyncio.sleep(0.2)
        if await self._ask_new_name() != p.SERVFAIL:
            counts.fault("a name that was never asked before was answered without an upstream")
        await asyncio.sleep(max(0.0, stopped + away_s - loop.time()))
        away_s = loop.time() - stopped
        clean, stale, failed = counts.clean - clean, counts.stale - stale, counts.failed - failed
        await self.authority.start()
        self.now = "the upstream is back"
        took_s = await self._wait_for("the upstream is used again", answers_new_names)
        self.told.append(
            f"The upstream was away for {away_s:.1f} s: {clean} answers came from the cache, {stale} of them stale,"
            f" {failed} never seen before failed; {duration(took_s)} after it came back, new names were answered again."
        )
        await asyncio.sleep(UPSTREAM_TIMEOUT_S + SERVFAIL_TTL_S + 0.3)  # the last question may fail so late, and be remembered
        self.crowd.upstream_away = False

    async def _ask_new_name(self) -> int:
        """The rcode for a name that was never asked for; a SERVFAIL must say why in an extended error."""
        self._fresh += 1
        reply = await self.crowd.ask_as("northmere", f"name-{self._fresh}.{world.FRESH}")
        if reply is None:
            return -1
        if reply.rcode == p.SERVFAIL and not set(reply.errors) & set(_NO_ANSWER_CODES):
            self.crowd.counts.fault(f"SERVFAIL without a reason, but {reply.errors}")
        return reply.rcode
