"""A service without kernels: the specification of what `pdns/fast/fast_path.pyx` and `fast_forward.pyx` do for `Service`."""

# kernel: pdns/fast/fast_path.pyx

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

from pdns.core.blocking import Blocker
from pdns.core.clients import Identity
from pdns.core.cookies import SECRET_BYTES, Options
from pdns.core.credentials import Credential
from pdns.core.in_flight import Waiter
from pdns.core.query import error_reply
from pdns.core.ruleset import RuleSet
from pdns.core.tunnels import TunnelMeter
from pdns.errors import WireError
from pdns.net.edge import EdgeStats, MessageHandler, Reply
from pdns.reference.cache import ReferenceCache
from pdns.reference.event_writer import ReferenceEventWriter
from pdns.reference.first_stages import FirstStages
from pdns.reference.in_flight import ReferenceInFlight
from pdns.reference.query import parse_query
from pdns.reference.query_tap import ReferenceQueryTap
from pdns.reference.udp_listener import ReferenceUdpListener
from pdns.reference.upstream_socket import ReferenceUdpSocket
from pdns.telemetry.asked_names import AskedNames
from pdns.telemetry.event_ring import EventRing
from pdns.telemetry.stats import Stats
from pdns.telemetry.worker_memory import new_limits
from pdns.upstream.forwarder import Forwarder
from pdns.upstream.kernel import UdpKernel
from pdns.wire import protocol as p
from pdns.wire.transport import Transport
from pdns.worker.parts import Kernels
from pdns.worker.service import Service


def _udp_listener(
    sock: socket.socket, service: MessageHandler, loop: asyncio.AbstractEventLoop, stats: EdgeStats, _fast_path: Any
) -> ReferenceUdpListener:
    return ReferenceUdpListener(sock, service, loop, stats)


REFERENCE: Final = Kernels(
    cache=ReferenceCache,
    in_flight=ReferenceInFlight,
    blocker=Blocker,
    tunnels=TunnelMeter,
    udp_listener=_udp_listener,
    upstream=UdpKernel(ReferenceUdpSocket),
    fast_path=None,
    fast_forward=None,
    asked_names=AskedNames,
    event_writer=ReferenceEventWriter,
    query_tap=ReferenceQueryTap,
)


class ReferenceService(Service):
    """Takes up every message in Python."""

    def __init__(
        self,
        rules: RuleSet,
        forwarder: Forwarder,
        stats: Stats,
        clock: Callable[[], float],
        *,
        cookie_secret: bytes = b"",
        limits: memoryview | None = None,
        zone_changed: Callable[[str], object] = lambda _feed: None,
        event_ring: EventRing | None = None,
        client_key: bytes = b"",
    ) -> None:
        """As `Service`."""
        super().__init__(
            rules, forwarder, stats, clock, REFERENCE, zone_changed=zone_changed, event_ring=event_ring, client_key=client_key
        )
        self._first = FirstStages(self._resolver, new_limits() if limits is None else limits)
        self._cookie_secret = cookie_secret or os.urandom(SECRET_BYTES)
        self._options = Options(self._cookie_secret, rules.config.server)
        self._tap: ReferenceQueryTap | None = None

    def copy_in(self, tap: ReferenceQueryTap | None) -> None:
        """Copy queries in `tap`; None: nowhere."""
        self._tap = tap

    def adopt(self, rules: RuleSet, forwarder: Forwarder | None = None) -> None:
        """As `Service.adopt`."""
        policies_moved = rules.policy.tenant_policies != self.rules.policy.tenant_policies
        policies_moved |= rules.credentials is not self.rules.credentials
        policies_moved |= rules.client_marks.listed is not self.rules.client_marks.listed
        if policies_moved or rules.config is not self.rules.config:
            self._first.adopt(rules)
        if rules.config is not self.rules.config:
            self._options = Options(self._cookie_secret, rules.config.server)
        super().adopt(rules, forwarder)

    def admits(self, client: str, credential: Credential) -> bool:
        """As `Service.admits`."""
        return not self._identify(client, credential).is_unknown

    def _identify(self, address: str, credential: Credential) -> Identity:
        identity = self._first.identify(address, credential)
        if identity.refusal:
            self._stats.add("credentials_refused_total", 1, identity.refusal)
        return identity

    def _serve(self, wire: bytes, address: str, port: int, transport: Transport, reply: Reply, credential: Credential) -> bool:
        started_s, now = perf_counter(), self._clock()
        stats = self._stats
        client = self._identify(address, credential).client
        try:
            query = parse_query(wire)
        except WireError as error:
            answer = error_reply(wire, error)
            if error.rcode == p.NOTIMP and self._primaries and (taken := self._primaries.answer(wire, address, now)) is not None:
                stats.response(client.tenant, "local", p.NOERROR, perf_counter() - started_s)
                reply(taken)
            elif answer is None:
                stats.dropped("not_a_query")
            else:
                stats.response(client.tenant, "error", error.rcode or 0, perf_counter() - started_s)
                reply(answer)
            return False
        query.stream = transport.is_stream
        self._options.take_up(query, address, transport, now)
        stats.query(client.tenant, transport, query.qtype)
        if self._tap is not None:
            self._tap.see(query, client.tenant, address, transport, now)
        outcome = self._first.handle(query, client, address, now)
        refused = self._first.refused
        self._perform(outcome, port, Waiter(query, client, address, transport, reply, started_s), now)
        return refused
