"""The encrypted listeners of a worker. What they need is loaded with the first of them."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping

from pdns.config.schema import Config
from pdns.errors import PdnsError
from pdns.ipc.encryption_secrets import EncryptionSecrets
from pdns.net.edge import EdgeStats
from pdns.net.encrypted import EncryptedConnections
from pdns.net.encrypted_limits import EncryptedLimits
from pdns.net.encrypted_listener import EncryptedListener
from pdns.net.listener import Listener
from pdns.net.relay import RelayServers
from pdns.wire.padding import padded
from pdns.worker.kernels import encrypted_kernel
from pdns.worker.service import Service

_log = logging.getLogger(__name__)


class EncryptedServing:
    """Nothing, until a configuration has a `[[listener]]` that workers serve."""

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop, stats: EdgeStats) -> None:
        self._service = service
        self._loop = loop
        self._stats = stats
        self._config: Config | None = None
        self._connections: EncryptedConnections | None = None
        self._listeners: dict[Listener, EncryptedListener] = {}
        self.relays = RelayServers(service, loop, stats)  # from the quic process

    def apply(self, config: Config, limits: EncryptedLimits, secrets: EncryptionSecrets | None) -> None:
        """Go on under `config` with `secrets`; None: those of before. Raises `PdnsError` with nothing changed."""
        if any(section.transport in ("tls", "https") for section in config.listener) and self._connections is None:
            self._connections = EncryptedConnections(
                encrypted_kernel(), limits, self._service, self._service.fast_path, self._loop, self._stats
            )
        if self._connections is not None:
            if secrets is not None:
                self._take(self._connections, secrets, config)
            self._connections.apply(limits)
            self._connections.trust(config.server.proxy_protocol_from)
        self._config = config
        self.relays.pad(padded if config.encrypted.padding else bytes)

    def take_secrets(self, secrets: EncryptionSecrets) -> None:
        """Use renewed certificates and ticket keys from now on. If they cannot be used, those of before stay, which is logged."""
        if self._connections is None or self._config is None:
            return
        try:
            self._take(self._connections, secrets, self._config)
        except PdnsError as error:
            _log.error("certificates %d: not used, those before stay: %s", secrets.generation, error)

    def listen(self, sockets: dict[Listener, socket.socket], sections: Mapping[Listener, int]) -> None:
        """Listen on those of `sockets` that are for one of `sections`, taking those that are new out of it, and on no other."""
        for listener in self._listeners.keys() - sections.keys():
            self._listeners.pop(listener).close()  # at once: its section is no more, and it has no certificate
        for listener, section in sections.items():
            if listener in self._listeners:
                self._listeners[listener].section = section
            elif self._connections is not None and listener in sockets:
                self._listeners[listener] = EncryptedListener(sockets.pop(listener), section, self._connections)
                self._listeners[listener].start()

    def stop_accepting(self) -> None:
        """Leave new connections to others."""
        self.relays.stop()
        for listener in self._listeners.values():
            listener.close()

    def drain(self) -> None:
        """As `EncryptedConnections.drain`."""
        if self._connections is not None:
            self._connections.drain()

    async def drained(self) -> None:
        """As `EncryptedConnections.drained`."""
        if self._connections is not None:
            await self._connections.drained()

    def close(self) -> None:
        """End every connection now."""
        self.relays.close()
        if self._connections is not None:
            self._connections.close()

    @staticmethod
    def _take(connections: EncryptedConnections, secrets: EncryptionSecrets, config: Config) -> None:
        try:
            connections.take_secrets(secrets, config.listener)
        except (ValueError, IndexError) as error:
            raise PdnsError(f"[[listener]]: its certificates cannot be used: {error}") from None


def encrypted_limits(config: Config, *, answer_deadline_s: float, descriptors: int) -> EncryptedLimits:
    """The limits that the configuration sets, within so many descriptors."""
    section = config.encrypted
    return EncryptedLimits(
        max_connections=max(1, min(section.max_connections, descriptors)),
        max_per_client=section.max_connections_per_client,
        idle_timeout_s=section.idle_timeout_s,
        handshake_timeout_s=section.handshake_timeout_s,
        max_handshakes=section.max_handshakes,
        new_per_client_per_s=section.new_connections_per_client_per_s,
        answer_deadline_s=answer_deadline_s,
        max_streams=section.max_streams_per_connection,
        pads=section.padding,
    )
