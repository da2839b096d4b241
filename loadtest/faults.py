"""Brings faults about, and notes when they were on and what came of them."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from loadtest import footprint
from loadtest.accounting import Counted, Death, Samples, Window, counted
from loadtest.faultplan import HANG_S, STOP_S, Planned
from loadtest.footprint import Life
from loadtest.lists import Lists, Manner
from loadtest.server import Resolver
from loadtest.unruly import Mode, UnrulyServer
from loadtest.witness import Witness
from pdns.wire import protocol as p

_SETTLE_S = 15.0  # for what is done at once, on a machine that is busy
_AFTERMATH_S = 0.5
_POLL_S = 0.1
_LIST_EFFECT_S = 60.0

_UPSTREAM: dict[str, tuple[int, Mode]] = {  # how many of the upstreams do what
    "one silent": (1, "silent"), "one gone": (1, "gone"), "truncating": (2, "truncating"), "all servfail": (2, "servfail"),
    "all slow": (2, "slow"), "all silent": (2, "silent"), "all gone": (2, "gone"),
}  # fmt: skip


class Faults:
    """Attributes are what the report is made of. `failures`: where the resolver did not do what it must."""

    def __init__(
        self,
        resolver: Resolver,
        config: Path,
        upstreams: list[UnrulyServer],
        lists: Lists,
        witness: Witness,
        rate: Callable[[], float],
        seed: int,
    ) -> None:
        """`rate`: queries a second at the moment. Seconds count from `start_clock`."""
        self.windows: list[Window] = []
        self.deaths: list[Death] = []
        self.failures: list[str] = []
        self.effects_s: list[float] = []  # from a change of the file to answers that follow it
        self.active: dict[str, float] = {}
        self.rolled_workers = 0
        self._resolver = resolver
        self._config = config
        self._config_text = config.read_text()
        self._upstreams = upstreams
        self._lists = lists
        self._witness = witness
        self._rate = rate
        self._started_s = 0.0
        self._random = random.Random(f"victims {seed}")
        self._least_in_hand: int | None = None  # since the last death: what died with workers is always in it

    def start_clock(self, started_s: float) -> None:
        """The run begins at this time.monotonic()."""
        self._started_s = started_s

    def now_s(self) -> float:
        """Seconds of the run."""
        return time.monotonic() - self._started_s

    def saw(self, now: Counted) -> None:
        """Record a scrape."""
        least = self._least_in_hand
        self._least_in_hand = now.in_hand if least is None else min(least, now.in_hand)

    async def run(self, plan: list[Planned]) -> None:
        """Run `plan`: all series at the same time, the faults of each in their order."""
        async with asyncio.TaskGroup() as group:
            for series in ("upstream", "feeds", "processes"):
                group.create_task(self._run_series([planned for planned in plan if planned.kind.series == series]))

    async def _run_series(self, plan: list[Planned]) -> None:
        for planned in plan:
            await asyncio.sleep(max(0.0, planned.at_s - self.now_s()))
            name, start_s = planned.kind.name, self.now_s()
            self.active[name] = start_s
            try:
                await self._do(planned)
            except (OSError, LookupError) as error:  # the page or the process that it needs is not there
                self._failed(f"{name}: {type(error).__name__}: {error}")
            del self.active[name]
            end_s, kind = self.now_s() + _AFTERMATH_S, planned.kind
            self.windows.append(Window(kind=name, series=kind.series, start_s=start_s, end_s=end_s, may_lose=kind.may_lose))

    def all_windows(self) -> list[Window]:
        """The faults that are over, by their start."""
        return sorted(self.windows, key=lambda window: window.start_s)

    async def _do(self, planned: Planned) -> None:
        name = planned.kind.name
        special: dict[str, Callable[[], Awaitable[None]]] = {
            "list changes": self._change_list, "http changes": self._lengthen, "kill worker": self._kill_worker,
            "stop worker": self._stop_worker, "hang worker": self._hang_worker, "kill feeds": self._kill_feeds,
            "reload": self._reload, "broken reload": self._break_config, "rolling restart": self._roll,
        }  # fmt: skip
        if name in _UPSTREAM:
            await self._upstream(*_UPSTREAM[name], planned.hold_s)
        elif name == "list empty":
            self._lists.write_file(empty=True)
            await asyncio.sleep(max(planned.hold_s, 5.0))  # it is looked at every 2 s, and taken at the second look
            self._lists.write_file()
        elif name in special:
            await special[name]()
        else:
            await self._http(cast("Manner", name.removeprefix("http ")), planned.hold_s)

    # Upstreams and lists.

    async def _upstream(self, count: int, mode: Mode, hold_s: float) -> None:
        chosen = self._random.sample(self._upstreams, count)
        for upstream in chosen:
            await asyncio.to_thread(upstream.become, mode)
        await asyncio.sleep(hold_s)
        for upstream in chosen:
            await asyncio.to_thread(upstream.become, "well")

    async def _http(self, manner: Manner, hold_s: float) -> None:
        self._lists.manner = manner
        try:
            await self._request_update()
            await asyncio.sleep(hold_s)
        finally:
            self._lists.manner = "well"
        await self._request_update()

    async def _lengthen(self) -> None:
        self._lists.lengthen()
        await self._request_update()

    async def _request_update(self) -> None:
        before = self._lists.requests
        self._resolver.request_feed_update()
        if not await _until(lambda: self._lists.requests > before, _SETTLE_S):
            self._failed("a requested update of the feeds asked for nothing")

    async def _change_list(self) -> None:
        self._lists.change()
        came, went = self._random.choice(self._lists.coming), self._random.choice(self._lists.going)
        start_s = self.now_s()
        while self.now_s() < start_s + _LIST_EFFECT_S:
            said_came = await self._witness.ask(came, p.A, "either")
            said_went = await self._witness.ask(went, p.A, "either")
            if said_came == "blocked" and said_went not in ("blocked", ""):
                self.effects_s.append(self.now_s() - start_s)
                return
            await asyncio.sleep(2 * _POLL_S)
        self._failed(f"a changed file was not in force after {_LIST_EFFECT_S:.0f} s: {came!r} {said_came}, {went!r} {said_went}")

    # Processes.

    def _lives(self, role: str) -> list[Life]:
        tree = footprint.tree(self._resolver.process.pid)
        return [life for life, what in tree.items() if what == role]

    async def _kill_worker(self) -> None:
        victim = await self._doomed()
        os.kill(victim.pid, signal.SIGKILL)
        await self._replaced("worker", [victim])

    async def _stop_worker(self) -> None:
        victim = self._random.choice(self._lives("worker"))
        os.kill(victim.pid, signal.SIGSTOP)
        await asyncio.sleep(STOP_S)
        os.kill(victim.pid, signal.SIGCONT)
        await asyncio.sleep(_AFTERMATH_S)

    async def _hang_worker(self) -> None:
        victim = await self._doomed()
        os.kill(victim.pid, signal.SIGSTOP)
        if not await _until(lambda: not footprint.is_alive(victim), HANG_S):
            self._failed(f"a worker that hung was not replaced within {HANG_S:.0f} s")
            os.kill(victim.pid, signal.SIGCONT)
            return
        await self._replaced("worker", [victim])

    async def _doomed(self) -> Life:
        """A worker that is about to be killed; what it can have in hand is noted."""
        victim = self._random.choice(self._lives("worker"))
        before_s = self.now_s()
        now = await asyncio.to_thread(self._count)
        waiting = max(0, now.in_hand - (self._least_in_hand or 0))
        since = math.ceil(self._rate() * (self.now_s() - before_s))
        self.deaths.append(Death(at_s=self.now_s(), in_hand=waiting + since))
        self._least_in_hand = None
        return victim

    async def _kill_feeds(self) -> None:
        victims = self._lives("feeds")
        for victim in victims:
            os.kill(victim.pid, signal.SIGKILL)
        await self._replaced("feeds", victims)

    async def _roll(self) -> None:
        old = self._lives("worker")
        os.kill(self._resolver.process.pid, signal.SIGUSR2)
        self.rolled_workers += len(old)
        await self._replaced("worker", old)

    async def _replaced(self, role: str, gone: list[Life]) -> None:
        """Waits until as many others of that role are there, and the server says that it is ready."""

        def replaced() -> bool:
            return not any(map(footprint.is_alive, gone)) and len(self._lives(role)) >= len(gone)

        if not await _until(replaced, 2 * _SETTLE_S):
            self._failed(f"{role}: {len(gone)} ended, and were not replaced within {2 * _SETTLE_S:.0f} s")
        elif not await _until(self._ready, 2 * _SETTLE_S):
            self._failed(f"{role}: replaced, and not ready within {2 * _SETTLE_S:.0f} s")

    def _ready(self) -> bool:
        return self._metric("pdns_ready") == 1

    # The configuration.

    async def _reload(self) -> None:
        other = {"ttl_s = 60": "ttl_s = 45", "ttl_s = 45": "ttl_s = 60"}
        before = next(line for line in other if line in self._config_text)
        self._config_text = self._config_text.replace(before, other[before])
        since = self._metric("pdns_config_last_reload_success_timestamp_seconds")
        await self._write_config(self._config_text)
        if not await _until(lambda: self._metric("pdns_config_last_reload_success_timestamp_seconds") > since, _SETTLE_S):
            self._failed(f"a changed configuration was not live after {_SETTLE_S:.0f} s")

    async def _break_config(self) -> None:
        await self._write_config("[server\nlisten = 5300\n")
        if not await _until(lambda: self._metric("pdns_config_last_reload_successful") == 0, _SETTLE_S):
            self._failed(f"a broken configuration was not reported within {_SETTLE_S:.0f} s")
        await self._write_config(self._config_text)
        if not await _until(lambda: self._metric("pdns_config_last_reload_successful") == 1, _SETTLE_S):
            self._failed(f"a mended configuration was not live after {_SETTLE_S:.0f} s")

    async def _write_config(self, text: str) -> None:
        new = self._config.with_suffix(".new")
        new.write_text(text)
        new.replace(self._config)
        os.kill(self._resolver.process.pid, signal.SIGHUP)
        await asyncio.sleep(_POLL_S)

    def _metric(self, name: str) -> float:
        return sum(cast("Samples", self._resolver.scrape()).get(name, {}).values())

    def _count(self) -> Counted:
        return counted(self._resolver.scrape())

    def _failed(self, what: str) -> None:
        self.failures.append(f"{self.now_s():.1f} s: {what}")


async def _until(holds: Callable[[], bool], within_s: float) -> bool:
    """Whether it came to hold. It is asked in a thread, so may take its time; `OSError` is a no."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError):
            if await asyncio.to_thread(holds):
                return True
        await asyncio.sleep(_POLL_S)
    return False
