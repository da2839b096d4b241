"""What a node says of itself: `<state>/fleet/status.json`, and its heartbeat."""

from __future__ import annotations

import logging
import time
from collections import Counter
from pathlib import Path

from feeds.fleet.gate import Gate
from feeds.fleet.node_lists import NodeLists
from feeds.fleet.release import Heartbeat
from feeds.fleet.trusted import TrustedPointer, TrustedStore
from pdns import __version__
from pdns.config.fleet_rules import node_name, ring_of
from pdns.config.fleet_schema import FleetSection
from pdns.free_text import visible
from pdns.state import fleet_status
from pdns.state.fleet_status import FleetStatus

_log = logging.getLogger(__name__)


class NodeReport:
    """Counts are since the process started."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        before = fleet_status.read(state_dir)
        self._pointer = TrustedPointer(0, 0.0, 0.0)
        if before is not None and before.role == "node":
            self._pointer = TrustedPointer(before.sequence, before.pointer_issued_s, before.pointer_expires_s)
        self.wanted = 0  # the release of the ring, as the newest pointer says
        self.last_error = ""
        self.polls: Counter[str] = Counter()
        self.releases: Counter[str] = Counter()
        self._last_poll_s = self._last_success_s = 0.0
        self._bytes_total = 0

    def polled(self, result: str, trusted: TrustedStore) -> None:
        """The store gave a valid pointer."""
        if self.last_error:
            _log.info("fleet: the store works again")
        self.polls[result] += 1
        self._last_poll_s = self._last_success_s = time.time()
        self._saw(trusted)
        self.last_error = ""

    def failed(self, result: str, reason: str, trusted: TrustedStore | None = None) -> None:
        """A step came to nothing. `result` is how the poll is counted; "": it is not."""
        if reason != self.last_error:
            _log.warning("fleet: %s; the last good release stays in force", reason)
        if result:
            self.polls[result] += 1
            self._last_poll_s = time.time()
        self._saw(trusted)
        self.last_error = reason

    def status(self, section: FleetSection, lists: NodeLists) -> FleetStatus:
        """As it is now."""
        record = lists.kept
        return FleetStatus(
            role="node",
            written_s=time.time(),
            node=node_name(section),
            ring=ring_of(section),
            sequence=self._pointer.sequence,
            release=record.release,
            wanted_release=self.wanted or record.release,
            compiled_sha256=lists.compiled,
            pointer_issued_s=self._pointer.issued_s,
            pointer_expires_s=self._pointer.expires_s,
            last_poll_s=self._last_poll_s,
            last_success_s=self._last_success_s,
            last_error=self.last_error,
            polls=dict(self.polls),
            bytes_total=self._bytes_total,
            releases=dict(self.releases),
            pinned=record.pinned,
            pinned_reason=record.pinned_reason,
            refused=record.refused,
            compiled_differs=lists.compiled_differs,
            bundle_error=lists.policy.error,
        )

    def heartbeat(self, section: FleetSection, lists: NodeLists, gate: Gate) -> Heartbeat:
        """As it is now."""
        record, met = lists.kept, gate.since_release
        return Heartbeat(
            node=node_name(section),
            ring=ring_of(section),
            version=__version__,
            written_s=time.time(),
            release=record.release,
            since_s=record.since_s,
            sequence=self._pointer.sequence,
            compiled=lists.compiled,
            refused=[one.number for one in record.refused],
            reason=visible(record.refused[-1].reason) if record.refused else "",
            queries=met.queries,
            blocked=met.blocked,
            servfail=met.servfail,
            pinned=record.pinned,
            error=visible(self.last_error or lists.policy.error),
        )

    def write(self, section: FleetSection, lists: NodeLists) -> None:
        """Write the status. A disk that refuses is left to others to report."""
        try:
            fleet_status.write(self._state_dir, self.status(section, lists))
        except OSError as exc:
            _log.debug("%s: %s", exc.filename, exc.strerror)

    def _saw(self, trusted: TrustedStore | None) -> None:
        if trusted is not None:
            self._bytes_total = trusted.bytes_total
            if trusted.pointer.sequence:
                self._pointer = trusted.pointer
