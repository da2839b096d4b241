"""Which queries a worker copies for taps: by the configuration, and by the tenants that are tapped for a while."""

from __future__ import annotations

import logging
import os
import random
from functools import cache

from pdns.config.schema import Config
from pdns.config.tap_sinks import sample_every
from pdns.core.client_identity import views_of
from pdns.telemetry.ring import Ring
from pdns.telemetry.stats import Stats
from pdns.telemetry.tap_ring import map_tap_ring
from pdns.wire import protocol as p
from pdns.wire.transport import Transport
from pdns.worker.kernels import COMPILED
from pdns.worker.parts import CopiesQueries, FastPath

_log = logging.getLogger(__name__)


class QueryTapping:
    """One for each fast path, which copies queries only while some are wanted."""

    def __init__(self, fast_path: FastPath | None, config: Config, stats: Stats, client_key: bytes) -> None:
        self._fast_path, self._config, self._stats, self._key = fast_path, config, stats, client_key
        self._ring: Ring | None = None
        self._tap: CopiesQueries | None = None
        self._tapped: frozenset[str] = frozenset()

    def take(self, fd: int | None) -> None:
        """Copy queries to the ring behind `fd`, which is owned from here on; None: copy none."""
        ring: Ring | None = None
        if fd is not None:
            try:
                ring = map_tap_ring(fd, writable=True)
            except ValueError as exc:
                os.close(fd)
                _log.error("queries are not copied for taps: %s", exc)
        if ring is not None and self._ring is not None and ring.id == self._ring.id:
            ring.close()  # it is used already
            return
        self._leave()
        if ring is not None:
            self._ring, self._tap = ring, COMPILED.query_tap(ring, self._key, self._tenant_slot)
        self._settle()

    def configure(self, config: Config) -> None:
        """Go by `config` from now on."""
        self._config = config
        self._settle()

    def tap(self, tenants: frozenset[str]) -> None:
        """Copy all queries of these tenants, from now on, and of no others."""
        if tenants != self._tapped:
            self._tapped = tenants
            self._settle()

    def _settle(self) -> None:
        if self._fast_path is None:
            return
        every = sample_every(self._config)
        is_wanted = self._tap is not None and (every or self._tapped)
        if is_wanted and self._tap is not None:
            first = random.randint(1, every) if every else 0  # noqa: S311 (nothing depends on it being secret)
            self._tap.configure(views_of(self._config), self._tapped, every, first)
        self._fast_path.copy_in(self._tap if is_wanted else None)

    @cache  # noqa: B019 (one for each process, and as many tenants as are configured)
    def _tenant_slot(self, tenant: str) -> int:
        """A slot of a series of the tenant, which stands for its label."""
        return self._stats.query_slot(tenant, Transport.UDP, p.A)

    def _leave(self) -> None:
        if self._fast_path is not None:
            self._fast_path.copy_in(None)
        self._tap = None  # first: it writes to the memory
        if self._ring is not None:
            self._ring.close()
            self._ring = None
