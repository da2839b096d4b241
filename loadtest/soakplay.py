"""Plays a week of queries against a resolver, and its faults, and watches both."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import msgspec

from loadtest import faultplan, footprint, packets, population, programs, unruly, week
from loadtest.accounting import Counted, Sent, counted
from loadtest.faults import Faults
from loadtest.footprint import Footprint, Point
from loadtest.lists import Lists
from loadtest.server import Resolver, ServerError
from loadtest.soakscreen import Screen
from loadtest.witness import Witness
from pdns.wire import protocol as p

_GIVE_UP_S = 27.0  # a worker that hangs is killed after 10 s, its replacement starts, and then upstreams may be slow
_SHORT_GIVE_UP_S = 14.0  # when no worker hangs
_WITNESS_EVERY_S, _TCP_EVERY_S = 1 / 40, 1 / 2
_SCRAPE_EVERY_S, _SAMPLE_EVERY_S = 5.0, 1.0
_SETTLE_S = 20.0  # after the load, for connections to upstreams to be closed and jobs of feeds to end
_LEAST_WINDOW = 64


class GeneratorReport(programs.Run, frozen=True, kw_only=True):
    """What the generator saw, and how many of the answers took long."""

    over_1s: int
    over_5s: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One soak."""

    minutes: float = 60.0
    rate_scale: float = 0.1
    seed: int = 1

    @property
    def run_s(self) -> float:
        return self.minutes * 60


class Play:
    """One run, from the first query to the last check."""

    def __init__(
        self,
        plan: Plan,
        people: population.Population,
        lists: Lists,
        upstreams: list[unruly.UnrulyServer],
        resolver: Resolver,
        directory: Path,
        faults: list[faultplan.Planned],
    ) -> None:
        self.plan, self.resolver = plan, resolver
        self._people, self._lists, self._directory, self._fault_plan = people, lists, directory, faults
        hangs = any(planned.kind.name == "hang worker" for planned in faults)
        self._give_up_s = _GIVE_UP_S if hangs else _SHORT_GIVE_UP_S
        self.started_s = time.monotonic()
        self.footprint = Footprint(resolver.process.pid, resolver.state_dir, resolver.address.port)
        self.witness = Witness(resolver.address, self._give_up_s, plan.seed)
        self.faults = Faults(
            resolver, directory / "server" / "pdns.toml", upstreams, lists, self.witness, self._rate,
            seed=plan.seed,
        )  # fmt: skip
        self.week = week.slices(plan.run_s, plan.rate_scale)
        self.reports: dict[int, GeneratorReport] = {}
        self._hour = 0
        self.before: list[Point] = []
        self.scrape_failures = 0
        self.last_count = Counted()
        self._random = random.Random(f"soak {plan.seed}")

    async def run(self, screen: Screen) -> None:
        """The week with its faults, until the last answer is here or given up."""
        self.footprint.sample()
        self.before = self.footprint.sample()
        self.started_s = time.monotonic()
        self.faults.start_clock(self.started_s)
        self.footprint.start_clock(self.started_s)
        async with self.witness, asyncio.TaskGroup() as group:
            helpers = [group.create_task(job) for job in (self._sample(), self._scrape(), screen.refresh())]
            async with asyncio.TaskGroup() as load:
                load.create_task(self._play_week(load, screen))
                load.create_task(self._witness_udp(load))
                load.create_task(self._witness_tcp(load))
                load.create_task(self.faults.run(self._fault_plan))
            for helper in helpers:
                helper.cancel()

    async def _play_week(self, group: asyncio.TaskGroup, screen: Screen) -> None:
        ready = await self._packets(self.week[0])
        for at, each in enumerate(self.week):
            await asyncio.sleep(max(0.0, each.start_s - self._now_s()))
            self._hour = each.hour
            if each.queries:
                group.create_task(self._play_hour(each, ready, screen))
            if at + 1 < len(self.week):
                ready = await self._packets(self.week[at + 1])
        await asyncio.sleep(max(0.0, self.plan.run_s - self._now_s()))

    async def _packets(self, each: week.Slice) -> Path:
        """The file of one hour, made in a thread while the hour before is played."""
        file = self._directory / f"hour-{each.hour}.bin"
        await asyncio.to_thread(packets.write, file, week.packets_of(self._people, each, self.plan.seed))
        return file

    async def _play_hour(self, each: week.Slice, file: Path, screen: Screen) -> None:
        command = programs.generator_command(
            self.resolver.address, file, count=each.queries, seconds=each.length_s + 1, rate=each.rate,
            window=max(_LEAST_WINDOW, each.queries), timeout_ms=int(self._give_up_s * 1000), progress=False,
        )  # fmt: skip
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise ServerError(f"the generator ended with {process.returncode}")
        await asyncio.to_thread(file.unlink)
        report = self.reports[each.hour] = msgspec.json.decode(out, type=GeneratorReport, strict=False)
        screen.hour_over(each, report.sent, report.received, report.latency_us.max / 1000, self.active_during(each))

    async def _witness_udp(self, group: asyncio.TaskGroup) -> None:
        clean = self._people.benign
        while (at_s := self._now_s()) < self.plan.run_s:
            qtype = self._random.choice((p.A, p.AAAA))
            kind = self._random.random()
            if kind < 0.45:
                ask = self.witness.ask(self._below(self._random.choice(self._lists.always)), qtype, "blocked")
            elif kind < 0.95:
                name = clean[min(int(self._random.paretovariate(0.7)), len(clean)) - 1]
                ask = self.witness.ask(self._below(name), qtype, "clean")
            else:
                ask = self.witness.ask(self._random.choice(self._lists.changing), qtype, "either")
            group.create_task(ask)
            await asyncio.sleep(max(0.0, at_s + _WITNESS_EVERY_S - self._now_s()))

    async def _witness_tcp(self, group: asyncio.TaskGroup) -> None:
        while (at_s := self._now_s()) < self.plan.run_s:
            listed = self._random.random() < 0.5
            name = self._random.choice(self._lists.always if listed else self._people.benign)
            group.create_task(self.witness.ask(name, p.A, "blocked" if listed else "clean", tcp=True))
            await asyncio.sleep(max(0.0, at_s + _TCP_EVERY_S - self._now_s()))

    def _below(self, name: bytes) -> bytes:
        """The name itself, or one below it that was never asked before."""
        return name if self._random.random() < 0.8 else b"\x0d" + b"w" + f"{self._random.getrandbits(48):012x}".encode() + name

    async def _sample(self) -> None:
        while True:
            await asyncio.to_thread(self.footprint.sample)
            await asyncio.sleep(_SAMPLE_EVERY_S)

    async def _scrape(self) -> None:
        while True:
            try:
                self.faults.saw(await asyncio.to_thread(self.count))
            except (OSError, ValueError):  # the supervisor, which nothing here harms, gave no page
                self.scrape_failures += 1
            await asyncio.sleep(_SCRAPE_EVERY_S)

    def count(self) -> Counted:
        """What the resolver has counted by now. Raises `OSError` when it gives no page."""
        self.last_count = counted(self.resolver.scrape())
        return self.last_count

    def _now_s(self) -> float:
        return time.monotonic() - self.started_s

    def _rate(self) -> float:
        return self.week[self._hour].rate + 1 / _WITNESS_EVERY_S

    def active_during(self, each: week.Slice) -> list[str]:
        """The faults that were, or are, on in that hour."""
        over = [w.kind for w in self.faults.windows if w.start_s < each.start_s + each.length_s and w.end_s > each.start_s]
        return list(dict.fromkeys([*over, *self.faults.active]))

    def progress(self) -> dict[str, str]:
        """What a screen shows of it."""
        reports, witness = self.reports.values(), self.witness
        sent = sum(report.sent for report in reports)
        return {
            "hour": f"{week.hour_name(self._hour)}, {self._rate():,.0f} queries/s",
            "queries": f"{sent:,} sent, {sent - sum(report.received for report in reports):,} without an answer",
            "witness": f"{witness.sent + witness.tcp_sent:,} sent, {witness.blocked:,} blocked, {witness.wrong_count} wrong",
            "faults": ", ".join(self.faults.active) or "none",
            "so far": f"{len(self.faults.windows)} faults over, {len(self.faults.deaths)} workers killed,"
            f" {len(self.faults.failures)} findings",
        }

    def sent(self) -> Sent:
        """All that was sent, by generators and witness."""
        reports, witness = self.reports.values(), self.witness
        return Sent(
            sent=sum(report.sent for report in reports) + witness.sent + witness.tcp_sent,
            received=sum(report.received for report in reports) + witness.received + witness.tcp_received,
            late=sum(report.strange for report in reports) + witness.late,
            tcp_unanswered=witness.tcp_sent - witness.tcp_received,
        )

    async def settled(self) -> list[Point]:
        """The processes once they are as many, with as few descriptors, as before; or as they are after a while."""
        deadline_s = time.monotonic() + _SETTLE_S
        while True:
            now = await asyncio.to_thread(self.footprint.sample)
            level = footprint.process_verdict(self.before, now, []).ok and all(
                verdict.ok for verdict in footprint.descriptor_verdicts(self.before, now)
            )
            if level or time.monotonic() > deadline_s:
                return now
            await asyncio.sleep(_SAMPLE_EVERY_S)
