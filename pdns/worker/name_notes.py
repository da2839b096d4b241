"""Where a service notes the names that it answers: in the ring that the supervisor gives, if it gives one."""

from __future__ import annotations

import logging
import os
from functools import cache

from pdns.telemetry.asked_names import DAY_S, map_ring
from pdns.telemetry.ring import Ring
from pdns.telemetry.stats import Stats
from pdns.wire import protocol as p
from pdns.wire.transport import Transport
from pdns.worker.kernels import COMPILED
from pdns.worker.parts import NotesNames
from pdns.worker.service import Service

_log = logging.getLogger(__name__)


class NameNotes:
    """One for each service."""

    def __init__(self, service: Service, stats: Stats) -> None:
        self._service, self._stats = service, stats
        self._ring: Ring | None = None
        self._asked: NotesNames | None = None

    def take(self, fd: int | None, now_s: float) -> None:
        """Note names in the ring behind `fd`, which is owned from here on; None: note none. `now_s`: since the epoch."""
        if fd is None:
            self._leave()
            return
        try:
            ring = map_ring(fd, writable=True)
        except ValueError as exc:
            os.close(fd)
            _log.error("names are not noted: %s", exc)
            return
        if self._ring is not None and ring.id == self._ring.id:
            ring.close()  # it is used already
            return
        self._leave()
        self._ring, self._asked = ring, COMPILED.asked_names(ring, self._tenant_slot)
        self.tick(now_s)
        self._service.note_in(self._asked)

    def tick(self, now_s: float) -> None:
        """A few times a second: on a new day, every name is noted again."""
        if self._asked is not None:
            self._asked.turn(int(now_s // DAY_S))

    @cache  # noqa: B019 (one for each process, and as many tenants as are configured)
    def _tenant_slot(self, tenant: str) -> int:
        """A slot of a series of the tenant, which stands for its label."""
        return self._stats.query_slot(tenant, Transport.UDP, p.A)

    def _leave(self) -> None:
        self._service.note_in(None)
        self._asked = None  # first: it writes to the memory
        if self._ring is not None:
            self._ring.close()
            self._ring = None
