"""Nodes of a simulated fleet: processes that fetch, verify and apply with the code of real nodes, without workers.

All are forked from one process that has loaded the libraries, so that their memory is shared. Each writes a line for what it did
to one pipe. They write to a directory in memory, and do not wait for a disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import random
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import msgspec

from feeds.fleet.apply import Applier
from feeds.fleet.node_record import NodeDirectory
from feeds.fleet.object_store import open_store
from feeds.fleet.release import Release
from feeds.fleet.trusted import TrustedStore
from loadtest.fleetstore import BUCKET, REGION, S3Server
from pdns.errors import PdnsError

JITTER = 0.1
_MOST_TEXT = 300


class NodeReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened on a node. Times by `time.monotonic`, which all processes share."""

    node: int
    kind: str  # applied | urgent | failed
    at_s: float
    release: int = 0
    sequence: int = 0
    revision: int = 0  # of the urgent entries
    texts: list[str] = []  # hashes of the texts that are in force
    bytes_total: int = 0
    error: str = ""


class NodePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What all nodes have in common."""

    directory: Path
    root_file: Path
    endpoint: str
    credentials: Path
    poll_s: float


class Reports:
    """What all nodes have said, read by a thread."""

    def __init__(self) -> None:
        self._read_fd, self.write_fd = os.pipe()
        self._all: list[NodeReport] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with os.fdopen(self._read_fd, "rb") as lines:
            for line in lines:
                report = msgspec.json.decode(line, type=NodeReport)
                with self._lock:
                    self._all.append(report)

    def close(self) -> None:
        os.close(self.write_fd)
        self._thread.join(5)

    def all(self) -> list[NodeReport]:
        with self._lock:
            return list(self._all)

    def since(self, at_s: float, kind: str = "") -> list[NodeReport]:
        return [one for one in self.all() if one.at_s >= at_s and kind in ("", one.kind)]

    def applied(self) -> dict[int, NodeReport]:
        """The last release that each node applied."""
        return {one.node: one for one in self.all() if one.kind == "applied"}


class NodeProcesses:
    """The processes, by number."""

    def __init__(self, plan: NodePlan, rings: dict[int, str]) -> None:
        self._plan, self._rings = plan, rings
        self.reports = Reports()
        self._pids: dict[int, int] = {}

    @property
    def pids(self) -> list[int]:
        return list(self._pids.values())

    def numbers(self, ring: str = "") -> list[int]:
        return [number for number, of in self._rings.items() if ring in ("", of)]

    def start(self, *numbers: int) -> None:
        """Fork. The state of a node that was stopped is where it was."""
        gc.collect()
        gc.freeze()  # the pages of what is there already stay shared
        for number in numbers:
            pid = os.fork()
            if pid == 0:
                _child(self._plan, number, self._rings[number], self.reports.write_fd)
            self._pids[number] = pid

    def stop(self, *numbers: int) -> None:
        for number in numbers:
            os.kill(self._pids[number], signal.SIGKILL)
        for number in numbers:
            os.waitpid(self._pids.pop(number), 0)

    def numbers_running(self) -> list[int]:
        return list(self._pids)

    def dead(self) -> list[int]:
        """The nodes whose process has ended by itself."""
        return [number for number, pid in self._pids.items() if os.waitpid(pid, os.WNOHANG)[0]]


@contextlib.contextmanager
def started_nodes(plan: NodePlan, rings: dict[int, str]) -> Iterator[NodeProcesses]:
    """No process is started yet; all that are running are ended."""
    nodes = NodeProcesses(plan, rings)
    try:
        yield nodes
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            nodes.stop(*nodes.numbers_running())
        nodes.reports.close()


def _child(plan: NodePlan, number: int, ring: str, fd: int) -> NoReturn:
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        logging.disable()  # what a node says is in its reports
        asyncio.run(_run(plan, number, ring, lambda report: os.write(fd, msgspec.json.encode(report) + b"\n")))
        status = 0
    except BaseException:  # noqa: BLE001 (nothing of the parent may run in a child)
        traceback.print_exc()
    os._exit(status)


async def _run(plan: NodePlan, number: int, ring: str, say: Callable[[NodeReport], object]) -> None:
    chance = random.Random(number)
    directory = NodeDirectory(plan.directory / f"node{number}")
    directory.path.parent.mkdir(parents=True, exist_ok=True)
    directory.prepare()
    store = open_store(f"s3://{BUCKET}", plan.endpoint, REGION, str(plan.credentials))
    trusted = TrustedStore(store, plan.root_file, directory.path / "metadata")
    applier = Applier(directory, trusted)
    urgent_sha256, error = "", ""
    await asyncio.sleep(chance.random() * plan.poll_s)
    while True:
        try:
            found = await trusted.look(ring, directory.record.release_sha256, urgent_sha256)
            if found is not None:
                if found.urgent is not None:
                    urgent_sha256 = found.urgent_sha256
                    at = NodeReport(node=number, kind="urgent", at_s=time.monotonic(), revision=found.urgent.revision)
                    say(msgspec.structs.replace(at, sequence=found.pointer.sequence))
                if found.release is not None:
                    await _apply(applier, directory, found.release, found.release_sha256)
                    say(_applied(number, found.release, found.pointer.sequence, trusted.bytes_total))
                trusted.handled()
            error = ""
        except PdnsError as exc:
            if error != (error := str(exc)[:_MOST_TEXT]):
                total = trusted.bytes_total
                say(NodeReport(node=number, kind="failed", at_s=time.monotonic(), error=error, bytes_total=total))
        await asyncio.sleep(plan.poll_s * chance.uniform(1 - JITTER, 1 + JITTER))


async def _apply(applier: Applier, directory: NodeDirectory, release: Release, sha256: str) -> None:
    await applier.bring(release)
    directory.keep_release(release)
    directory.keep(release=release.number, wanted=release.number, before=directory.record.release, release_sha256=sha256)
    directory.tidy()


def _applied(number: int, release: Release, sequence: int, bytes_total: int) -> NodeReport:
    texts = [feed.text for feed in release.feeds]
    at_s = time.monotonic()
    return NodeReport(
        node=number, kind="applied", at_s=at_s, release=release.number, sequence=sequence, texts=texts, bytes_total=bytes_total
    )


def plan_for(store: S3Server, directory: Path, root_file: Path, poll_s: float) -> NodePlan:
    return NodePlan(
        directory=directory, root_file=root_file, endpoint=store.endpoint, credentials=store.credentials, poll_s=poll_s
    )
