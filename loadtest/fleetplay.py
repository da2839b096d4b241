"""What is done to a simulated fleet, step by step, and what must come of it."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Callable, Collection, Iterator

from loadtest import programs, server
from loadtest.fleetscene import READY_S, Scene, publisher_config
from loadtest.fleetwatch import RESOLVERS_FROM, Band, Goal
from loadtest.loopback import Address
from loadtest.server import Resolver, ServerError
from pdns.state import fleet_status

CONVERGE_S = 20.0
CHANGE_SHARE = 0.01
URGENT_S = 20.0
_POLL_S = 0.1
_SLACK_S = 240.0  # a busy machine


class FleetPlay:
    """One run. Each step appends its goals."""

    def __init__(self, scene: Scene, say: Callable[[str], object]) -> None:
        self._scene, self._say = scene, say
        self.goals: list[Goal] = []
        self.bands: list[Band] = []
        self.full_bytes = 0.0
        self.queries = 0
        self._shares: list[float] = []
        self._delays: list[float] = []
        self._from_change: list[float] = []
        self._absent = scene.plan.nodes - 1

    def run(self, only: Collection[str] = ()) -> None:
        """All steps, or those with these titles and the first. Raises `ServerError` when nothing can be held."""
        with self._step("join"):
            self._join()
        steps: dict[str, Callable[[], None]] = {
            "change": self._change, "another change": self._change, "kill switch": self._kill_switch,
            "keys rotated": self._rotate, "store down": self._store_down, "corrupted": self._corrupt,
            "replay": self._replay, "a week": self._week, "two publishers": self._two_publishers, "bad list": self._bad_list,
        }  # fmt: skip
        for title, step in steps.items():
            if only and title not in only:
                continue
            with self._step(title):
                try:
                    step()
                except (ServerError, OSError, KeyError) as error:  # the others may still tell something
                    self._goal(title, "-", f"{type(error).__name__}: {error}", met=False)
        self._sum_up()

    @contextlib.contextmanager
    def _step(self, title: str) -> Iterator[None]:
        start_s = self._scene.now_s()
        self._say(f"{start_s:6.1f} s  {title}")
        try:
            yield
        finally:
            self.bands.append(Band(title=title, start_s=start_s, end_s=self._scene.now_s()))

    def _goal(self, name: str, goal: str, measured: str, *, met: bool) -> None:
        self.goals.append(Goal(name=name, goal=goal, measured=measured, met=met))
        self._say(f"{self._scene.now_s():6.1f} s    {name}: {measured}{'' if met else '  NOT MET'}")

    # Waiting.

    def _wait(self, what: str, done: Callable[[], bool], limit_s: float) -> float:
        """Returns the seconds that it took. Raises `ServerError`."""
        start_s = time.monotonic()
        while not done():
            if time.monotonic() - start_s > limit_s:
                raise ServerError(
                    f"not within {limit_s:.0f} s: {what}; publisher: {self._scene.watch.publisher.last_error or 'no error'}"
                )
            time.sleep(_POLL_S)
        return time.monotonic() - start_s

    @property
    def _limit_s(self) -> float:
        plan = self._scene.plan
        return 2 * plan.soak_s + 3 * plan.poll_s + _SLACK_S

    def _members(self) -> set[int]:
        """Everything that runs: nodes, and resolvers."""
        scene = self._scene
        return set(scene.nodes.numbers_running()) | {RESOLVERS_FROM + at for at in range(len(scene.resolvers))}

    def _ring(self, member: int) -> str:
        if member >= RESOLVERS_FROM:
            return ("first", "early", "all")[min(2, member - RESOLVERS_FROM)]
        return self._scene.plan.ring(member)

    def _current(self) -> bool:
        """Whether everything has the newest release of its ring, and all rings have the same one."""
        watch = self._scene.watch
        newest = {ring: watch.newest(ring) for ring in ("first", "early", "all")}
        if len(set(newest.values())) > 1 or not newest["all"]:
            return False
        return self._having(newest["all"]) >= self._members()

    def _having(self, release: int) -> set[int]:
        last = {one.node: one.release for one in self._scene.watch.everyone(self._scene.nodes.reports)}
        return {member for member, has in last.items() if has >= release}

    def _settle(self, after: int) -> int:
        """Wait until a release after `after` is on everything. Returns its number."""
        watch = self._scene.watch
        self._wait(f"a release after {after} for the first ring", lambda: watch.newest("first") > after, self._limit_s)
        self._wait("one release everywhere", lambda: watch.newest("all") > after and self._current(), self._limit_s)
        return watch.newest("all")

    # Steps.

    def _join(self) -> None:
        scene = self._scene
        self._wait("everything has joined", self._current, self._limit_s)
        reports = scene.nodes.reports.applied()
        self.full_bytes = statistics.median(one.bytes_total for one in reports.values())
        self._goal("join", "all", f"{len(reports)} nodes, {self.full_bytes:,.0f} bytes each", met=True)
        scene.nodes.stop(self._absent)

    def _change(self) -> None:
        scene = self._scene
        before = scene.watch.newest("first")
        changed_s = scene.feed.change()
        release = self._settle(before)
        self._measure(release, changed_s)

    def _measure(self, release: int, changed_s: float) -> None:
        """What a change cost every node, and when it was in force there."""
        scene, bytes_before = self._scene, self._bytes(changed_s)
        first: dict[int, float] = {}
        for one in scene.watch.everyone(scene.nodes.reports):
            if one.release >= release:
                first.setdefault(one.node, one.at_s)
        for member in self._members():
            published_s = scene.watch.published[self._ring(member)][release]
            self._delays.append(first[member] - published_s)
            self._from_change.append(first[member] - changed_s)
        now = self._bytes(time.monotonic())
        self._shares += [(now[node] - bytes_before.get(node, 0)) / self.full_bytes for node in scene.nodes.numbers_running()]

    def _bytes(self, until_s: float) -> dict[int, int]:
        return {one.node: one.bytes_total for one in self._scene.nodes.reports.all() if one.bytes_total and one.at_s <= until_s}

    def _kill_switch(self) -> None:
        """A feed is switched off on the publisher while a new release is on its way to the first ring."""
        scene = self._scene
        name = b"\x09small-one\x04test\x00"
        blocked = all(scene.is_blocked(resolver, name) for resolver in scene.resolvers)
        before = scene.watch.newest("first")
        scene.feed.change()
        self._wait("a new release", lambda: scene.watch.newest("first") > before, self._limit_s)
        ordered_s = time.monotonic()
        scene.pdns(scene.publisher, "fleet", "status", "--json")
        scene.pdns(scene.publisher, "feeds", "disable", "small", "--for", "1h", "--reason", "simulated")
        release = scene.watch.newest("first")

        def everywhere() -> bool:
            heard = {one.node for one in scene.nodes.reports.since(ordered_s, "urgent")}
            return heard >= set(scene.nodes.numbers_running()) and not any(scene.is_blocked(one, name) for one in scene.resolvers)

        took_s = self._wait("the kill switch is in force everywhere", everywhere, self._limit_s)
        overtook = scene.watch.newest("all") < release
        measured = f"{took_s:.1f} s on all nodes{', before the release that was on its way' if overtook else ''}"
        self._goal("kill switch", f"<= {URGENT_S:.0f} s, all rings", measured, met=blocked and took_s <= URGENT_S)
        scene.pdns(scene.publisher, "feeds", "enable", "small", "--reason", "simulated")
        self._settle(before)

    def _rotate(self) -> None:
        scene = self._scene
        before = scene.watch.newest("first")
        scene.rotate_keys()
        scene.feed.change()
        release = self._settle(before)
        self._goal("keys rotated", "all follow", f"release {release} on {len(self._members())}", met=True)

    def _store_down(self) -> None:
        scene = self._scene
        before = scene.watch.newest("first")
        start_s = time.monotonic()
        scene.store.stop()
        time.sleep(scene.plan.outage_s)
        name = scene.people.listed[0]
        blocking = sum(scene.is_blocked(resolver, name) for resolver in scene.resolvers)
        failed = {one.node for one in scene.nodes.reports.since(start_s, "failed")}
        down = sum(not scene.watch.resolver(at).store_up for at in range(len(scene.resolvers)))
        expired = sum("expired" in one.error for one in scene.nodes.reports.since(start_s, "failed"))
        scene.store.start()
        scene.feed.change()
        self._settle(before)
        members = len(scene.nodes.numbers_running())
        said = (
            f"{len(failed)} of {members} nodes say so, {down + blocking} of {2 * len(scene.resolvers)} resolvers say so and block"
        )
        met = len(failed) == members and blocking == down == len(scene.resolvers)
        self._goal("store down", "keep blocking, say so", f"{said}{', pointers expire' if expired else ''}", met=met)

    def _corrupt(self) -> None:
        """Each new object is damaged as it appears, for a while."""
        scene = self._scene
        before = scene.watch.newest("first")
        known = {path.name for path in (scene.store.bucket / "objects").glob("*.zst")}
        originals: dict[str, bytes] = {}
        stop = threading.Event()

        def damage() -> None:
            while not stop.wait(0.002):
                for path in (scene.store.bucket / "objects").glob("*.zst"):
                    if path.name not in known and path.stat().st_size:
                        known.add(path.name)
                        data = path.read_bytes()
                        middle = len(data) // 2
                        scene.store.replace(
                            f"objects/{path.name}", data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
                        )
                        originals[path.name] = data

        thread = threading.Thread(target=damage)
        thread.start()
        start_s = time.monotonic()
        try:
            scene.feed.change()
            self._wait("a new release", lambda: scene.watch.newest("first") > before, self._limit_s)
            release = scene.watch.newest("first")
            time.sleep(2 * scene.plan.poll_s)
            scene.pdns(scene.publisher, "fleet", "promote", str(release), "all", "--reason", "simulated")
            time.sleep(2 * scene.plan.poll_s)
            used = len(self._having(release))
        finally:
            stop.set()
            thread.join()
        said = {one.node for one in scene.nodes.reports.since(start_s, "failed")}
        for name, data in originals.items():
            scene.store.replace(f"objects/{name}", data)
        took_s = self._wait("the whole object is used", self._current, self._limit_s)
        wrong = self._wrong_texts()
        measured = f"{used} used it, {len(said)} nodes said so; {took_s:.1f} s after it was whole"
        self._goal("corrupted object", "never used", measured, met=bool(originals) and not used and not wrong)

    def _wrong_texts(self) -> int:
        """How many nodes have texts that are not those of their release."""
        releases = self._scene.watch.releases
        return sum(
            one.texts != [feed.text for feed in releases[one.release].feeds]
            for one in self._scene.nodes.reports.applied().values()
        )

    def _replay(self) -> None:
        """Somebody puts an old pointer back into the store."""
        scene = self._scene
        pointer = "metadata/timestamp.json"
        old = scene.store.object(pointer).read_bytes()
        before = scene.watch.newest("first")
        scene.feed.change()
        self._settle(before)
        start_s = time.monotonic()
        has = {one.node: one.release for one in scene.watch.everyone(scene.nodes.reports)}
        stop = threading.Event()

        def keep() -> None:
            while not stop.wait(0.05):
                if scene.store.object(pointer).read_bytes() != old:
                    scene.store.replace(pointer, old)

        thread = threading.Thread(target=keep)
        thread.start()
        time.sleep(2.5 * scene.plan.poll_s)
        stop.set()
        thread.join()
        back = sum(one.release < has[one.node] for one in scene.watch.everyone(scene.nodes.reports) if one.at_s > start_s)
        said = {one.node for one in scene.nodes.reports.since(start_s, "failed")}
        members = len(scene.nodes.numbers_running())
        measured = f"{back} went back, {len(said)} of {members} nodes said so"
        before = scene.watch.newest("first")
        scene.feed.change()
        self._settle(before)
        self._goal("replayed pointer", "never followed", measured, met=not back and len(said) == members)

    def _week(self) -> None:
        """Many changes, of which the node that was stopped after it had joined has seen none."""
        scene = self._scene
        for _ in range(scene.plan.week_changes):
            before = scene.watch.newest("first")
            scene.feed.change()
            self._wait("a new release", lambda before=before: scene.watch.newest("first") > before, self._limit_s)  # type: ignore[misc]
        self._wait("one release everywhere", self._current, self._limit_s + scene.plan.week_changes * scene.plan.soak_s)
        had = scene.nodes.reports.applied()[self._absent].release
        release, start_s = scene.watch.newest("all"), time.monotonic()
        scene.nodes.start(self._absent)
        took_s = self._wait("the node that was away", lambda: self._having(release) >= {self._absent}, self._limit_s)
        got = scene.nodes.reports.applied()[self._absent].bytes_total
        deltas = sum(delta.object.bytes for feed in scene.watch.releases[release].feeds for delta in feed.deltas)
        most = 1.1 * self.full_bytes + deltas
        measured = f"{release - had} releases behind: {took_s:.1f} s, {got:,} bytes, {got / self.full_bytes:.0%} of a full one"
        self._goal("away for a week", "full + deltas at most", measured, met=got <= most and start_s > 0)

    def _two_publishers(self) -> None:
        scene = self._scene
        at = scene.directory / "publisher2"
        upstream = Address("127.0.0.1", 9)
        config, listen, metrics = publisher_config(scene.directory, at, scene.store, scene.plan, upstream)
        sequence = max((one.sequence for one in scene.nodes.reports.all()), default=0)
        start_s = time.monotonic()
        with server.started_by(at, config, listen, metrics) as second:
            second.wait_ready(READY_S)
            fenced: list[bool] = []

            def decided() -> bool:
                fenced[:] = [self._status(one).fenced for one in (scene.publisher, second)]
                return any(fenced)

            for _ in range(5):
                scene.feed.change()
                with contextlib.suppress(ServerError):
                    self._wait("one of the publishers stops", decided, scene.plan.soak_s + 10)
                    break
        if fenced[0]:
            scene.pdns(scene.publisher, "fleet", "take-over", "--reason", "simulated")  # as the runbook says
        before = scene.watch.newest("first")
        scene.feed.change()
        self._settle(before)
        sequences: dict[int, int] = {}
        back = 0
        for one in scene.nodes.reports.since(start_s):
            if one.sequence:
                back += one.sequence < sequences.get(one.node, sequence)
                sequences[one.node] = max(one.sequence, sequences.get(one.node, sequence))
        measured = f"{sum(fenced)} of 2 stopped, {back} nodes saw a sequence fall"
        self._goal("two publishers", "one stops", measured, met=sum(fenced) == 1 and not back)

    def _status(self, member: Resolver) -> fleet_status.FleetStatus:
        return fleet_status.read(member.state_dir) or fleet_status.FleetStatus()

    def _bad_list(self) -> None:
        """A feed lists what clients ask for most: the first ring finds out, and nothing else ever gets it."""
        scene = self._scene
        before = scene.watch.newest("first")
        time.sleep(max(5.0, scene.plan.poll_s))
        spoiled_s = scene.feed.spoil()
        self._wait("the bad list is published", lambda: scene.watch.newest("first") > before, self._limit_s)
        bad = scene.watch.newest("first")
        refused = lambda: bad in [one.number for one in scene.watch.resolver(0).refused]  # noqa: E731 (a condition)
        took_s = self._wait("the first ring refuses it", refused, self._limit_s)
        name = scene.people.benign[0]
        back_s = took_s + self._wait(
            "popular names are answered again", lambda: not scene.is_blocked(scene.resolvers[0], name), 30
        )
        time.sleep(2 * scene.plan.soak_s)
        rings = [ring for ring in ("early", "all") if scene.watch.newest(ring) >= bad]
        got = {one.node for one in scene.watch.everyone(scene.nodes.reports) if one.at_s > spoiled_s and one.release >= bad}
        others = got - {RESOLVERS_FROM}
        measured = f"refused after {took_s:.1f} s, undone after {back_s:.1f} s; {len(others)} others had it"
        self._goal("bad list", "stays in ring one", measured, met=not rings and not others)
        scene.feed.write()

    def _sum_up(self) -> None:
        scene = self._scene
        if self._delays:
            self._sum_up_changes()
        self._goal("wrong texts", "0", str(self._wrong_texts()), met=not self._wrong_texts())
        for generator in scene.generators:
            generator.terminate()
        runs = [programs.finish(generator) for generator in scene.generators]
        self.queries = sum(run.sent for run in runs)
        lost = sum(run.lost for run in runs)
        self._goal("queries", "none lost", f"{self.queries:,} sent, {lost} lost", met=not lost and self.queries > 0)
        dead = scene.nodes.dead()
        self._goal("node processes", "all alive", f"{len(dead)} ended", met=not dead)

    def _sum_up_changes(self) -> None:
        percentile = statistics.quantiles(self._delays, n=100, method="inclusive")
        measured = f"p50 {percentile[49]:.1f} s, p99 {percentile[98]:.1f} s, last {max(self._delays):.1f} s"
        self._goal("convergence", f"p99 <= {CONVERGE_S:.0f} s", measured, met=percentile[98] <= CONVERGE_S)
        last = max(self._from_change)
        self._goal("with both soaks", "-", f"{last:.1f} s from the change of the list to the last node", met=True)
        share = max(self._shares)
        shares = f"{statistics.median(self._shares):.2%}, at most {share:.2%}, of {self.full_bytes:,.0f} bytes"
        self._goal("bytes of a change", f"<= {CHANGE_SHARE:.0%}", shares, met=share <= CHANGE_SHARE)
