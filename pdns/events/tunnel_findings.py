"""From the reports of all workers to findings: at most one an hour for a tenant and a domain."""

from __future__ import annotations

import logging
from typing import Final

from pdns.core.tunnels import WINDOW_S
from pdns.event_store.event import Finding
from pdns.events.description import record_id
from pdns.telemetry.ring import RingReader
from pdns.telemetry.tunnel_ring import TunnelRecord, decoded, map_tunnel_ring
from pdns.wire.names import to_text

SILENT_S: Final = 3600.0
_AWAY_S: Final = 60.0  # what was reported so long before the start was read by a process before
_MOST_DOMAINS: Final = 20_000  # that are added up
_log = logging.getLogger(__name__)

_Key = tuple[str, bytes, int]  # tenant, domain, window


class TunnelFindings:
    """Reads the rings of the workers. Times: `now_s` since the epoch, `offset_s` is added to times of a ring."""

    def __init__(self) -> None:
        self._readers: dict[int, RingReader] = {}  # by the number of the worker's ring of events
        self._parts: dict[_Key, dict[int, TunnelRecord]] = {}  # what each worker has said last
        self._told_s: dict[tuple[str, bytes], float] = {}
        self._since_s: float | None = None

    def read_from(self, worker: int, fd: int) -> bool:
        """Read the reports of a worker from now on. Whether `fd` is owned from here on."""
        try:
            ring = map_tunnel_ring(fd, writable=False)
        except ValueError as error:
            _log.error("a worker's reports of tunnels cannot be read: %s", error)
            return False
        if (before := self._readers.get(worker)) is not None and before.ring.id == ring.id:
            ring.close()
            return True
        self.forget(worker)
        self._readers[worker] = RingReader(ring, 0)
        return True

    def forget(self, worker: int) -> None:
        """The worker is gone for good."""
        if (reader := self._readers.pop(worker, None)) is not None:
            reader.ring.close()

    def take(self, node: str, now_s: float, offset_s: float) -> list[Finding]:
        """What there is to say since the last call."""
        findings = []
        if self._since_s is None:
            self._since_s = now_s - _AWAY_S
        for worker, reader in self._readers.items():
            for number, raw in reader.take():
                try:
                    record = decoded(raw)
                    found = self._add(worker, record, record.at_s + offset_s)
                    if found is not None and record.at_s + offset_s >= self._since_s:
                        findings.append(_finding(found, record_id(node, reader.ring.id, number), node, offset_s))
                except (ValueError, IndexError):
                    _log.warning("a report of a tunnel cannot be read")
        return findings

    def close(self) -> None:
        for worker in list(self._readers):
            self.forget(worker)

    def _add(self, worker: int, record: TunnelRecord, at_s: float) -> TunnelRecord | None:
        """What all workers have said of this window, if that is a tunnel which has not been told lately."""
        key = record.tenant, record.domain, record.window
        if key not in self._parts and len(self._parts) >= _MOST_DOMAINS:
            self._tidy(record.window, at_s)
        parts = self._parts.setdefault(key, {})
        parts[worker] = record
        total = sum(part.size_bytes for part in parts.values())
        if total < max(part.least_bytes for part in parts.values()):
            return None
        if abs(at_s - self._told_s.get(key[:2], -SILENT_S)) < SILENT_S:
            return None
        self._told_s[key[:2]] = at_s
        clients = {part.client for part in parts.values()}
        return record._replace(
            size_bytes=total,
            names=sum(part.names for part in parts.values()),
            client=record.client if len(clients) == 1 else "",
        )

    def _tidy(self, window: int, at_s: float) -> None:
        """Drop what is over, and all when that is not enough: what is known of this window is said again by each worker."""
        self._parts = {key: parts for key, parts in self._parts.items() if key[2] >= window - 1}
        self._told_s = {key: told_s for key, told_s in self._told_s.items() if abs(at_s - told_s) < SILENT_S}
        if len(self._parts) >= _MOST_DOMAINS:
            self._parts.clear()


def _finding(record: TunnelRecord, id_: int, node: str, offset_s: float) -> Finding:
    domain, sample = to_text(record.domain), to_text(record.sample)
    first_s, last_s = record.window * WINDOW_S + offset_s, record.at_s + offset_s
    minutes = max(1, round((last_s - first_s) / 60))
    return Finding(
        id=id_,
        time_s=last_s,
        node=node,
        tenant=record.tenant,
        kind="tunnel",
        subject=domain,
        client=record.client,
        score=float(record.size_bytes),
        n=record.names,
        text=f"{record.names} new names below {domain} can have carried {record.size_bytes} bytes within {minutes} min.",
        first_s=first_s,
        last_s=last_s,
        details={"sample": sample, "bytes": str(record.size_bytes), "threshold_bytes": str(record.least_bytes)},
    )
