"""A node's side of its fleet in the supervisor: policy bundles on trial, traffic numbers for the gate, texts for people."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from pdns.config.fleet_rules import BUNDLE_FILE, DIRECTORY, OFFERED_BUNDLE_FILE
from pdns.config.schema import Config
from pdns.config.toml_file import MAX_BYTES
from pdns.config.watch import Loaded
from pdns.errors import ConfigErrors, PdnsError
from pdns.files.safe_files import read_state, remove, rename
from pdns.free_text import visible
from pdns.ipc.messages import Message, OfferBundle, RefuseBundle, Traffic, WatchTraffic
from pdns.state import fleet_status
from pdns.state.fleet_status import FleetStatus
from pdns.supervisor.config_watch import ConfigWatch
from pdns.supervisor.feeds_handle import FeedsHandle
from pdns.supervisor.http.live_counts import LiveSums, by_label
from pdns.supervisor.listed_names import NameCounts
from pdns.supervisor.worker_pool import WorkerPool
from pdns.telemetry.worker_memory import WorkerMemory

REPORT_EVERY_S: Final = 2.0
MOST_REASONS: Final = 10  # why a bundle is refused: a message between processes is small
_log = logging.getLogger(__name__)


class FleetNode:
    """One for each supervisor; it does nothing unless `fleet.role` is `node`."""

    def __init__(
        self,
        config: Callable[[], Config],
        workers: Callable[[], WorkerPool],
        feeds: FeedsHandle,
        offered: Callable[[], object],
    ) -> None:
        """`offered` is called when there is a bundle to try."""
        self._config, self._workers, self._feeds, self._offered = config, workers, feeds, offered
        feeds.heard = self.heard
        self._offer = False
        self._judged_until_s = 0.0
        self._sums = LiveSums()
        self._seen: tuple[tuple[int, int], FleetStatus] = ((0, 0), FleetStatus())

    @property
    def is_node(self) -> bool:
        return self._config().fleet.role == "node"

    @property
    def _directory(self) -> Path:
        return Path(self._config().state.dir) / DIRECTORY

    def heard(self, message: Message) -> None:
        """A message of the feeds process."""
        if isinstance(message, OfferBundle):
            self._offer = True
            self._offered()
        elif isinstance(message, WatchTraffic) and self.is_node:
            self._judged_until_s = time.monotonic() + message.seconds
            self._workers().books.listed = NameCounts(self._memories)

    @property
    def _memories(self) -> list[WorkerMemory]:
        return [process.memory for process in self._workers().writers]

    # The policy bundle.

    def take_offer(self) -> bool:
        """Whether a bundle is to be tried. True once for each offer."""
        offer, self._offer = self._offer, False
        return offer and self.is_node

    async def settle(self, files: ConfigWatch, go_live: Callable[[Loaded], Awaitable[None]]) -> None:
        """Make the configuration with the offered bundle live, or refuse the bundle."""
        try:
            await go_live(await files.load(OFFERED_BUNDLE_FILE))
        except PdnsError as error:
            self._refuse(error)
        else:
            self._commit()

    def _commit(self) -> None:
        """The offered bundle is live: it is the one that the next start reads."""
        try:
            rename(self._directory / OFFERED_BUNDLE_FILE, self._directory / BUNDLE_FILE)
        except OSError as exc:
            _log.error("%s: %s; the next start has the policy before", self._directory / BUNDLE_FILE, exc.strerror)
        else:
            _log.info("fleet: the policy of the publisher is live")

    def _refuse(self, error: PdnsError) -> None:
        """The offered bundle cannot be used here."""
        found = [str(one) for one in (error.errors if isinstance(error, ConfigErrors) else (error,))]
        reasons = [visible(one) for one in found[:MOST_REASONS]]
        if len(found) > MOST_REASONS:
            reasons.append(f"and {len(found) - MOST_REASONS:,} more")
        path, sha256 = self._directory / OFFERED_BUNDLE_FILE, ""
        with suppress(OSError):  # also of what is not TOML: the feeds process waits for an answer about this one
            sha256 = hashlib.sha256(read_state(path, MAX_BYTES)).hexdigest()
            remove(path)
        for reason in reasons:
            _log.error("fleet: the policy of the publisher is refused, the one before stays live: %s", reason)
        self._feeds.send(RefuseBundle(sha256, "; ".join(reasons)))

    # Traffic.

    async def report(self) -> None:
        """Send the numbers to the feeds process every two seconds, until cancelled."""
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            if self.is_node:
                self._feeds.send(self._traffic())

    def _traffic(self) -> Traffic:
        workers = self._workers()
        workers.take_notes()
        table = self._sums.table(self._sums.row((*workers.counters, *workers.past_counters)))
        listed = workers.books.listed
        if listed is not None and time.monotonic() >= self._judged_until_s:
            listed = workers.books.listed = None
        return Traffic(
            queries=sum(by_label(table, "queries").values()),
            blocked=sum(by_label(table, "blocked").values()),
            servfail=by_label(table, "rcode").get("SERVFAIL", 0),
            names=listed.most(self._memories) if listed is not None else (),
        )

    # For people.

    def status(self) -> FleetStatus:
        """What the feeds process wrote last."""
        try:
            stat = fleet_status.path(Path(self._config().state.dir)).stat()
        except OSError:
            return self._seen[1]
        looks = stat.st_mtime_ns, stat.st_ino
        if looks != self._seen[0] and (status := fleet_status.read(Path(self._config().state.dir))) is not None:
            self._seen = looks, status
        return self._seen[1]

    def not_ready(self) -> list[str]:
        """Why this node protects no one yet; [] once it ever had a release."""
        if not self.is_node or (status := self.status()).release:
            return []
        return [f"fleet: no release of the publisher is here yet{status.last_error and ': '}{status.last_error}"]

    def remarks(self) -> list[str]:
        """Problems with the fleet that clients do not notice."""
        if not self.is_node:
            return []
        status, lines = self.status(), []
        if status.last_error and status.release:
            lines.append(f"fleet: release {status.release} stays in force: {status.last_error}")
        if status.pinned:
            lines.append(f"fleet: pinned to release {status.release}: {status.pinned_reason}")
        if status.bundle_error:
            lines.append(f"fleet: the policy of the publisher is not in force: {status.bundle_error}")
        if status.compiled_differs:
            lines.append("fleet: this node compiles other files than the publisher from the same lists")
        last = [one for one in status.refused[-1:] if one.number > status.release]
        return [*lines, *(f"fleet: release {one.number} is refused here: {one.reason}" for one in last)]
