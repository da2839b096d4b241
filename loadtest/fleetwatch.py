"""Watches a simulated fleet from outside: what its store holds, and what its publisher and resolvers say of themselves."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import msgspec

from feeds.fleet.release import Release, decode
from loadtest.fleetnodes import NodeReport, Reports
from pdns.errors import PdnsError
from pdns.state import fleet_status
from pdns.state.fleet_status import FleetStatus

RESOLVERS_FROM = 1000  # numbers of resolvers among those of nodes
_EVERY_S = 0.1


class FleetObserver:
    """A thread; all times are by `time.monotonic`."""

    def __init__(self, bucket: Path, publisher_dir: Path) -> None:
        self._targets = bucket / "targets" / "release"
        self._publisher_dir = publisher_dir
        self.resolver_dirs: list[Path] = []
        self._known: set[str] = set()
        self._resolver_release: dict[int, int] = {}
        self.published: dict[str, dict[int, float]] = {ring: {} for ring in fleet_status.RINGS}
        self.releases: dict[int, Release] = {}
        self.resolvers: list[NodeReport] = []  # a report for each release that one of them applied
        self.publisher = FleetStatus()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def resolver(self, number: int) -> FleetStatus:
        """What a resolver says now."""
        return fleet_status.read(self.resolver_dirs[number]) or FleetStatus()

    def newest(self, ring: str) -> int:
        """The newest release that was published for a ring; 0: none yet."""
        return max(self.published[ring], default=0)

    def everyone(self, reports: Reports) -> list[NodeReport]:
        """All reports of applied releases, of nodes and resolvers, in the order of time."""
        applied = [one for one in reports.all() if one.kind == "applied"]
        return sorted([*applied, *self.resolvers], key=lambda one: one.at_s)

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            with suppress(OSError):
                self._look_at_store()
            if (status := fleet_status.read(self._publisher_dir)) is not None:
                self.publisher = status
            for number in range(len(self.resolver_dirs)):
                release = self.resolver(number).release
                if release and self._resolver_release.get(number) != release:
                    self._resolver_release[number] = release
                    at_s = time.monotonic()
                    self.resolvers.append(NodeReport(node=RESOLVERS_FROM + number, kind="applied", at_s=at_s, release=release))

    def _look_at_store(self) -> None:
        offset_s = time.monotonic() - time.time()
        for file in self._targets.glob("*.json"):
            if file.name in self._known:
                continue
            with suppress(PdnsError):  # it is being written
                release = decode(file.read_bytes(), Release)
                ring = file.name.split(".")[1]
                self.published[ring].setdefault(release.number, file.stat().st_mtime + offset_s)
                self.releases.setdefault(release.number, release)
                self._known.add(file.name)


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the results."""

    name: str
    goal: str
    measured: str
    met: bool


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the run, for the picture. Seconds from the start."""

    title: str
    start_s: float
    end_s: float


class FleetResults(msgspec.Struct, frozen=True, kw_only=True):
    """One simulation, as it is written to `results/`."""

    when: str
    version: str
    machine: str
    nodes: int
    resolvers: int
    names: int
    poll_s: float
    soak_s: float
    run_s: float
    scale: str  # what stands for an hour, and for a week
    goals: list[Goal]
    bands: list[Band]
    current: list[tuple[float, int]]  # at each moment: how many are on the newest release of their ring
    queries: int

    @property
    def failed(self) -> bool:
        return not all(goal.met for goal in self.goals)
