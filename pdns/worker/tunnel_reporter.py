"""Writes what the meter has found to the memory that the events process reads."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pdns.config.schema import Config
from pdns.core.client_identity import identity, text_of, views_of
from pdns.core.tunnels import TunnelReport
from pdns.telemetry.ring import Ring
from pdns.telemetry.tunnel_ring import encoded, map_tunnel_ring

_log = logging.getLogger(__name__)


class TunnelReporter:
    """The only writer of a ring, once there is one."""

    def __init__(self, config: Config, key: bytes) -> None:
        """`key` makes pseudonyms of clients."""
        self._key = key
        self._ring: Ring | None = None
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Say of clients what `config` allows, from now on."""
        self._views = views_of(config)

    def use(self, fd: int) -> bool:
        """Write to this memory from now on. Whether it is owned from here on."""
        try:
            ring = map_tunnel_ring(fd, writable=True)
        except ValueError as error:
            _log.error("tunnels cannot be reported: %s", error)
            return False
        self.close()
        self._ring = ring
        return True

    def tell(self, reports: Sequence[TunnelReport]) -> None:
        """Write `reports`; without a memory they are lost."""
        for report in reports if self._ring is not None else ():
            assert self._ring is not None
            client = identity(self._views(report.tenant), self._key, report.tenant, report.client) if report.client else None
            self._ring.write(encoded(report, text_of(client) if client else ""))

    def close(self) -> None:
        """Write nothing from now on."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None
