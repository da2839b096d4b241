"""What the quic process does between messages: sockets, certificates, workers, and the end of a process that has a successor."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Final

from pdns.config.schema import Config
from pdns.ipc.encryption_secrets import EncryptionSecrets
from pdns.ipc.messages import ServeQuic
from pdns.net.steering_index import SteeringIndex
from pdns.quic import doq, http3
from pdns.quic.certificates import CertificateChoice
from pdns.quic.client import Address
from pdns.quic.clients import ClientLimits, QuicClients, QuicService
from pdns.quic.connection_ids import ConnectionIds
from pdns.quic.endpoint import DatagramOrigin, UdpEndpoint
from pdns.quic.forwarding import DatagramLink
from pdns.quic.relay import Relay
from pdns.quic.retry import AddressProof
from pdns.quic.stats import QuicStats
from pdns.quic.transport import server_settings
from pdns.telemetry.counters import Counters
from pdns.wire.transport import Transport

LINGER_S: Final = 30.0  # of connections when there is a successor
QUIET_S: Final = 5.0  # without a query: then the client is told to connect anew
_SWEEP_S: Final = 1.0
_LOOK_S: Final = 0.01
_ALPN: Final = {Transport.QUIC: doq.ALPN, Transport.H3: http3.ALPN}
_log = logging.getLogger(__name__)


def client_limits(config: Config) -> ClientLimits:
    """What the configuration allows."""
    limits = config.encrypted
    return ClientLimits(
        limits.max_connections,
        limits.max_connections_per_client,
        limits.idle_timeout_s,
        limits.handshake_timeout_s,
        limits.max_handshakes,
        limits.new_connections_per_client_per_s,
        limits.max_streams_per_connection,
    )


class QuicRuntime:
    """One for the process."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: Config,
        message: ServeQuic,
        counters: Counters,
        ended: Callable[[int], object],
    ) -> None:
        """`ended` is called with the index of each worker whose socket has ended."""
        self._loop, self._config = loop, config
        stats = QuicStats(counters)
        secret = bytes.fromhex(message.secret)
        self._relay = Relay(loop, stats, lambda: self.clients.flush(), ended)  # noqa: PLW0108 (it does not exist yet)
        ids = ConnectionIds(message.process, secret)
        self.clients = QuicClients(loop, ids, AddressProof(secret), client_limits(config), stats, self._relay)
        self._endpoints: dict[str, UdpEndpoint] = {}
        self._sections: dict[str, int] = {}  # endpoint -> index in `listener` of the configuration
        self._services: dict[str, QuicService] = {}  # by endpoint
        self._secrets: EncryptionSecrets | None = None
        self._links: dict[int, DatagramLink] = {}  # number of an earlier process -> the way to it
        self._successor: DatagramLink | None = None
        self._begun = False
        self._done: Callable[[], object] | None = None  # for the end of this process
        self._until_s = 0.0
        self._sweep: asyncio.TimerHandle | None = loop.call_later(_SWEEP_S, self._swept)
        self.clients.forward = self._forward

    @property
    def is_ready(self) -> bool:
        """Whether there is all that a handshake needs."""
        return self._services.keys() >= self._endpoints.keys()

    def serve(
        self,
        config: Config,
        message: ServeQuic,
        sockets: Iterable[socket.socket],
        secrets: EncryptionSecrets | None = None,
    ) -> None:
        """Go by `config`, at `sockets`, those of `message.listen`, and no others, with `secrets` or those before."""
        self._config, self._secrets = config, secrets or self._secrets
        self.clients.limit(client_limits(config))
        self._relay.steer(SteeringIndex(message.workers, bytes.fromhex(message.steering_key)))
        self._sections = {one.endpoint: one.section for one in message.listen}
        for gone in self._endpoints.keys() - self._sections.keys():
            self._endpoints.pop(gone).close()
            self._services.pop(gone, None)
        for name, sock in zip(self._sections, sockets, strict=True):
            if name in self._endpoints:
                sock.close()  # another descriptor of the socket that is read
                continue
            endpoint = self._endpoints[name] = UdpEndpoint(name, sock, self, self._loop)
            if self._begun:
                endpoint.start()
        self._settle()

    def take_secrets(self, secrets: EncryptionSecrets) -> None:
        """Use these certificates for new connections."""
        if self._secrets is None or secrets.generation >= self._secrets.generation:
            self._secrets = secrets
            self._settle()

    def link(self, worker: int, sock: socket.socket) -> None:
        """Worker `worker` is behind `sock`."""
        self._relay.link(worker, sock)

    def begin(self, before: int, sock: socket.socket | None) -> None:
        """Read the sockets; datagrams of the process `before` go to `sock`."""
        if sock is not None:
            self._links[before] = DatagramLink(sock, self._loop)
        self._begun = True
        for endpoint in self._endpoints.values():
            endpoint.start()

    def hand_over(self, sock: socket.socket, done: Callable[[], object]) -> None:
        """Leave new clients to the process behind `sock`. Call `done` when the last client is gone, or after half a minute."""
        for endpoint in self._endpoints.values():
            endpoint.stop()
        self._successor = DatagramLink(sock, self._loop)
        self._successor.read(self._handed_on, self.clients.flush)
        self.clients.drain(QUIET_S)
        self._done, self._until_s = done, self._loop.time() + LINGER_S

    async def drain(self, within_s: float) -> int:
        """Accept nothing more, and return when all has been answered, or after `within_s`: how many messages have no answer."""
        self.clients.drain()
        until_s = self._loop.time() + within_s
        while self.clients.outstanding and self._loop.time() < until_s:  # noqa: ASYNC110 (as above)
            await asyncio.sleep(_LOOK_S)
        unanswered = self.clients.outstanding
        self.end()
        return unanswered

    def end(self) -> None:
        """Close everything; clients are told."""
        self.clients.close()
        if self._sweep is not None:
            self._sweep.cancel()
        self._relay.close()
        for endpoint in self._endpoints.values():
            endpoint.close()
        for link in (*self._links.values(), self._successor):
            if link is not None:
                link.close()

    def _settle(self) -> None:
        secrets = self._secrets
        if secrets is None:
            return
        for name, index in self._sections.items():
            section = self._config.listener[index]
            transport = Transport(section.transport)
            try:
                choice = CertificateChoice(secrets.listeners[index])
            except (KeyError, ValueError):
                _log.error("%s: no usable certificate: the one before stays in use", name)
                continue
            idle_timeout_s = self._config.encrypted.idle_timeout_s
            settings = server_settings(_ALPN[transport], idle_timeout_s=idle_timeout_s, certificate=choice.first)
            path, by_name = section.path.encode(), section.admit_by_server_name
            self._services[name] = QuicService(transport, settings, choice.of, path, by_name)

    # For endpoints and for the process before and after.

    def arrived_at(self, endpoint: UdpEndpoint, datagram: bytes, address: Address, origin: DatagramOrigin) -> None:
        """As `pdns.quic.endpoint.DatagramTaker`."""
        service = self._services.get(endpoint.name)
        if service is not None:
            self.clients.arrived(datagram, address, service, origin)

    def all_arrived(self) -> None:
        """As `arrived_at`."""
        self.clients.flush()

    def _forward(self, owner: int, datagram: bytes, address: Address, origin: DatagramOrigin) -> bool:
        link = self._links.get(owner)
        if link is None:
            return False
        if not link.is_open:
            del self._links[owner]
            return False
        link.send(origin.endpoint.name, origin.local, address, datagram)
        return True

    def _handed_on(self, name: str, local: bytes, address: Address, datagram: bytes) -> None:
        endpoint = self._endpoints.get(name)
        if endpoint is not None:
            self.arrived_at(endpoint, datagram, address, endpoint.origin(local))

    def _swept(self) -> None:
        self._sweep = self._loop.call_later(_SWEEP_S, self._swept)
        self.clients.sweep()
        if self._done is not None and (not len(self.clients) or self._loop.time() >= self._until_s):
            done, self._done = self._done, None
            done()
