"""A listener for encrypted DNS with its connections, in front of a service and fake upstreams; and clients of it."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from pdns.config.addresses import Endpoint
from pdns.config.groups import server_groups
from pdns.config.listener_schema import ListenerSection
from pdns.config.schema import Config
from pdns.core.ruleset import RuleSet
from pdns.ipc.encryption_secrets import TICKET_KEY_BYTES, CertificateSecrets, EncryptionSecrets, ListenerSecrets
from pdns.net.encrypted import EncryptedConnections
from pdns.net.encrypted_limits import EncryptedLimits
from pdns.net.encrypted_listener import EncryptedListener
from pdns.net.sockets import bind_tcp
from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import Stats
from pdns.upstream.forwarder import Forwarder
from pdns.worker.kernels import COMPILED, encrypted_kernel
from tests.certificates import Issued, issue
from tests.fakes import upstream as fake
from tests.fakes.services import new_service
from tests.fakes.tcp import Peer
from tests.fakes.upstream import FakeUpstream

ROOMY = EncryptedLimits()


@cache
def authority() -> Issued:
    return issue((), authority=True, subject="an authority for tests")


@cache
def served(*names: str) -> Issued:
    """A certificate for these names, by default those of this machine."""
    return issue(names or ("dns.example", "127.0.0.1"), issuer=authority())


def secrets(*issued: Issued, keys: tuple[bytes, ...] | None = None, **further: bytes) -> EncryptionSecrets:
    """What one listener shows: these certificates."""
    pairs = tuple(CertificateSecrets(one.cert_pem, one.key_pem) for one in issued or (served(),))
    return EncryptionSecrets(1, {0: ListenerSecrets(pairs, **further)}, ticket_keys() if keys is None else keys)


def ticket_keys(count: int = 1) -> tuple[bytes, ...]:
    return tuple(os.urandom(TICKET_KEY_BYTES) for _ in range(count))


def client_context(*, protocols: tuple[str, ...] = ("dot",), shown: Issued | None = None) -> ssl.SSLContext:
    """A client that trusts `authority`, offers `protocols`, and shows a certificate if one is asked for."""
    context = ssl.create_default_context(cadata=authority().cert_pem.decode())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if shown is not None:
        with TemporaryDirectory() as directory:
            pem = Path(directory, "client.pem")
            pem.write_bytes(shown.cert_pem + shown.key_pem)
            context.load_cert_chain(pem)
    return context


class EncryptedEdge:
    """A service behind an encrypted listener."""

    def __init__(
        self, upstreams: list[str], limits: EncryptedLimits, sections: dict[str, Any], listener: dict[str, Any],
        given: EncryptionSecrets,
    ) -> None:  # fmt: skip
        self.loop, self.counters = asyncio.get_running_loop(), Counters.create(4096)
        self.stats = Stats(self.counters)
        options = {"timeout_s": 30.0, **sections.pop("upstream", {})}
        self.config = msgspec.convert({"upstream": {"servers": upstreams, **options}, **sections}, Config)
        self.forwarder = Forwarder(server_groups(self.config), self.loop, self.stats, COMPILED.upstream)
        self.service = new_service(RuleSet.of(self.config), self.forwarder, self.stats, self.loop.time, compiled=True)
        self.section = msgspec.convert(
            {"transport": "tls", "listen": ["127.0.0.1"], "cert_file": "c", "key_file": "k", **listener}, ListenerSection
        )
        self.connections = EncryptedConnections(
            encrypted_kernel(), limits, self.service, self.service.fast_path, self.loop, self.stats
        )
        self.connections.take_secrets(given, (self.section,))
        sock = bind_tcp(Endpoint("127.0.0.1", 0))
        self.port: int = sock.getsockname()[1]
        self.listener = EncryptedListener(sock, 0, self.connections)
        self.listener.start()
        self.peers: list[Peer] = []

    async def open(self, context: ssl.SSLContext | None = None, name: str = "dns.example") -> Peer:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context or client_context(), server_hostname=name
        )
        self.peers.append(Peer(reader, writer))
        return self.peers[-1]

    async def open_plain(self) -> Peer:
        """A connection without TLS."""
        self.peers.append(Peer(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self.peers[-1]

    def count(self, family: str, *labels: str) -> int:
        """The sum of a family's series whose labels include `labels`."""
        return sum(value for name, own, value in self.counters.items() if name == family and set(labels) <= set(own))

    async def close(self) -> None:
        self.listener.close()
        self.connections.close()
        self.forwarder.close()
        for peer in self.peers:
            peer.writer.close()
            with suppress(OSError):
                await peer.writer.wait_closed()
        assert self.count("dropped_total", "internal_error") == 0
        assert self.count("encrypted_connections") == 0


@asynccontextmanager
async def encrypted_edge(
    *handlers: fake.Handler,
    limits: EncryptedLimits = ROOMY,
    listener: dict[str, Any] | None = None,
    given: EncryptionSecrets | None = None,
    blockset: Any = None,
    **sections: Any,
) -> AsyncIterator[EncryptedEdge]:
    """One in front of an upstream for each of `handlers`."""
    upstreams = [FakeUpstream(handler) for handler in handlers]
    for upstream in upstreams:
        await upstream.start()
    servers = [f"udp://127.0.0.1:{upstream.port}" for upstream in upstreams]
    edge = EncryptedEdge(servers, limits, sections, listener or {}, given or secrets())
    if blockset is not None:
        edge.service.adopt(edge.service.rules.with_blockset(blockset))
    try:
        yield edge
    finally:
        await edge.close()
        for upstream in upstreams:
            await upstream.__aexit__()
