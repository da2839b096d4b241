"""All connections of this process: which datagram is whose, who may connect, who has been idle for too long."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from aioquic.quic.configuration import QuicConfiguration

from pdns.net.connections import ConnectionTable
from pdns.net.edge import BugLog
from pdns.net.stream import client_key
from pdns.quic.admission import Admission, AdmissionControl, AdmissionLimits
from pdns.quic.client import Address, QuicClient
from pdns.quic.connection_ids import (
    CONNECTION_ID_BYTES,
    INITIAL,
    MIN_INITIAL_BYTES,
    ConnectionIds,
    DatagramHead,
    head_of,
    owner_of,
    version_negotiation,
)
from pdns.quic.doq import DoqErrorCode
from pdns.quic.endpoint import DatagramOrigin
from pdns.quic.http3 import UNIDIRECTIONAL_STREAMS
from pdns.quic.queries import DohQueries, DoqQueries
from pdns.quic.relay import Relay
from pdns.quic.retry import AddressProof, initial_token, retry_datagram
from pdns.quic.stats import TRANSPORTS, QuicStats
from pdns.quic.transport import VERSIONS, ChooseCertificate, ServerConnection
from pdns.wire.transport import Transport

MAX_HELD_BYTES: Final = 67108864  # of queries that are not whole, of all clients
STALLED_S: Final = 10.0  # how long a query may take to be whole
_MOST_NEWCOMERS: Final = 256  # first datagrams that wait for their turn
_NEWCOMERS_A_TURN: Final = 4  # a handshake takes as long as many queries
_RESETS_PER_S: Final = 100

_log = logging.getLogger(__name__)


class ClientLimits(NamedTuple):
    """What the configuration allows (`[encrypted]`)."""

    max_connections: int
    max_per_client: int
    idle_timeout_s: float
    handshake_timeout_s: float
    max_handshakes: int
    new_per_client_per_s: float
    max_streams: int


class QuicService(NamedTuple):
    """What is offered at one socket."""

    transport: Transport
    settings: QuicConfiguration
    choose: ChooseCertificate
    path: bytes = b"/dns-query"
    admits_by_name: bool = False


class Newcomer(NamedTuple):
    """A first datagram that waits for its turn."""

    datagram: bytes
    head: DatagramHead
    address: Address
    service: QuicService
    origin: DatagramOrigin


class QuicClients:
    """One for each process. `relay` has the workers; `forward` gets datagrams of the process before this one."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ids: ConnectionIds,
        proof: AddressProof,
        limits: ClientLimits,
        stats: QuicStats,
        relay: Relay,
    ) -> None:
        self.loop, self.max_streams = loop, limits.max_streams
        self.forward: Callable[[int, bytes, Address, DatagramOrigin], bool] = lambda *_: False
        self.draining = False
        self._quiet_s = 0.0  # while draining: how long a client may be silent before its connection is closed
        self._ids, self._proof, self._stats, self._relay = ids, proof, stats, relay
        self._limits = limits
        self._admission = AdmissionControl(AdmissionLimits(limits.max_handshakes, limits.new_per_client_per_s))
        self._by_id: dict[bytes, QuicClient] = {}
        self._table: ConnectionTable[QuicClient] = ConnectionTable(limits.max_connections, limits.max_per_client)
        self._all: dict[QuicClient, None] = {}  # also those that are closing
        self._in_handshake: dict[QuicClient, None] = {}  # the oldest first
        self._changed: list[QuicClient] = []
        self._newcomers: deque[Newcomer] = deque()
        self._is_turn_due = False
        self._held: dict[QuicClient, int] = {}  # bytes of queries that are not whole
        self._held_bytes = 0
        self._resets_left = _RESETS_PER_S
        self._bugs = BugLog(loop.time)

    def __len__(self) -> int:
        return len(self._all)

    def limit(self, limits: ClientLimits) -> None:
        """From now on, these limits."""
        self._limits, self.max_streams = limits, limits.max_streams
        self._table.max_connections, self._table.max_per_client = limits.max_connections, limits.max_per_client
        self._admission.limits = AdmissionLimits(limits.max_handshakes, limits.new_per_client_per_s)

    # Datagrams.

    def arrived(self, datagram: bytes, address: Address, service: QuicService, origin: DatagramOrigin) -> None:
        """Take one datagram. Then call `flush`, after those that have arrived with it."""
        if datagram and datagram[0] < 0x80:
            client = self._by_id.get(datagram[1 : 1 + CONNECTION_ID_BYTES])
            if client is not None:
                self._receive(client, datagram, address)
                return
        head = head_of(datagram)
        if head is None:
            self._stats.lost("not_quic")
            return
        client = self._by_id.get(head.destination)
        if client is not None:
            self._receive(client, datagram, address)
        elif not head.is_long:
            if not self._forwarded(head, datagram, address, origin):
                self._reset(head, datagram, address, origin)
        elif head.version not in VERSIONS:
            if head.version and len(datagram) >= MIN_INITIAL_BYTES:
                self._stats.lost("other_version")
                origin.send(version_negotiation(head, VERSIONS), address)
            else:
                self._stats.lost("not_quic")
        elif head.kind != INITIAL or len(datagram) < MIN_INITIAL_BYTES:
            if not self._forwarded(head, datagram, address, origin):
                self._stats.lost("unknown_connection")
        elif len(self._newcomers) < _MOST_NEWCOMERS:
            self._newcomers.append(Newcomer(datagram, head, address, service, origin))
            self._go_on_later()
        else:
            self._stats.refused("newcomers")

    def flush(self) -> None:
        """Give the workers what was asked, and the clients what there is to send."""
        self._relay.flush()
        changed, self._changed = self._changed, []
        now_s = self.loop.time()
        for client in changed:
            try:
                client.transmit(now_s)
            except Exception as error:  # noqa: BLE001 (costs this client only)
                self._caught(client, error)

    def _receive(self, client: QuicClient, datagram: bytes, address: Address) -> None:
        try:
            client.receive(datagram, address, self.loop.time())
        except Exception as error:  # noqa: BLE001 (as above)
            self._caught(client, error)
            return
        held = client.quic.held_bytes
        if held != self._held.get(client, 0) and client in self._all:
            self._held_bytes += held - self._held.get(client, 0)
            self._held[client] = held
            if self._held_bytes > MAX_HELD_BYTES:
                client.end(DoqErrorCode.EXCESSIVE_LOAD, "memory")

    def _caught(self, client: QuicClient, error: Exception) -> None:
        self._bugs.caught(error, "a QUIC connection")
        self._stats.refused("internal_error")
        client.drop()

    def _forwarded(self, head: DatagramHead, datagram: bytes, address: Address, origin: DatagramOrigin) -> bool:
        owner = owner_of(head.destination)
        return owner is not None and owner != self._ids.process and self.forward(owner, datagram, address, origin)

    def _reset(self, head: DatagramHead, datagram: bytes, address: Address, origin: DatagramOrigin) -> None:
        self._stats.lost("unknown_connection")
        if self._resets_left > 0 and (reset := self._ids.reset(head.destination, len(datagram))) is not None:
            self._resets_left -= 1
            origin.send(reset, address)

    # New connections.

    def _go_on_later(self) -> None:
        if self._newcomers and not self._is_turn_due:
            self._is_turn_due = True
            self.loop.call_soon(self._take_turns)

    def _take_turns(self) -> None:
        self._is_turn_due = False
        for _ in range(min(_NEWCOMERS_A_TURN, len(self._newcomers))):
            newcomer = self._newcomers.popleft()
            client = self._by_id.get(newcomer.head.destination)
            if client is not None:  # the second datagram of a long ClientHello
                self._receive(client, newcomer.datagram, newcomer.address)
            else:
                self._admit(newcomer)
        self.flush()
        self._go_on_later()

    def _admit(self, new: Newcomer) -> None:
        token = initial_token(new.datagram)
        if token is None:
            self._stats.lost("not_quic")
            return
        now_s = self.loop.time()
        original = self._proof.original_destination(new.address, new.head.destination, token, now_s) if token else None
        if original is None and self._forwarded(new.head, new.datagram, new.address, new.origin):
            return
        if self.draining:
            return
        key = client_key(new.address[0].partition("%")[0])
        proven = original is not None
        admission = self._admission.ask(key, len(self._in_handshake), now_s, proven=proven)
        if admission is Admission.ACCEPT and not self._table.has_room(key):
            admission = self._make_room(key) if proven else Admission.RETRY
        if admission is Admission.RETRY:
            self._stats.retried()
            new.origin.send(retry_datagram(self._proof, self._ids.new(), new.head, new.address, now_s), new.address)
        elif admission is Admission.ACCEPT:
            self._accept(new, original, key, now_s)
        else:
            self._stats.refused(admission.name.lower())

    def _make_room(self, key: Any) -> Admission:
        while not self._table.has_room(key):
            dispensable = self._table.dispensable(key)
            if dispensable is None:
                return Admission.TOO_MANY_CONNECTIONS
            dispensable.end(dispensable.queries.no_error if dispensable.queries is not None else 0, "made_room")
        return Admission.ACCEPT

    def _accept(self, new: Newcomer, original: bytes | None, key: Any, now_s: float) -> None:
        service, destination = new.service, new.head.destination
        quic = ServerConnection(
            service.settings, self._ids, service.choose,
            original_destination=destination if original is None else original,
            retry_source=None if original is None else destination,
            max_streams=self.max_streams,
            max_unidirectional=UNIDIRECTIONAL_STREAMS if service.transport is Transport.H3 else 0,
        )  # fmt: skip
        client = QuicClient(
            self, quic, service.transport, key, new.origin.send, now_s, path=service.path, admits_by_name=service.admits_by_name
        )
        self._all[client] = self._in_handshake[client] = None
        self._table.add(client, key)
        self.issued(client, destination)
        self.issued(client, quic.host_cid)
        self._receive(client, new.datagram, new.address)
        if not quic.has_begun and client in self._all:  # its first packet was forged
            self._stats.lost("not_quic")
            client.drop()

    # What a connection says.

    def issued(self, client: QuicClient, connection_id: bytes) -> None:
        """Datagrams to `connection_id` are for `client`."""
        if self._by_id.setdefault(connection_id, client) is client:
            client.connection_ids.add(connection_id)

    def retired(self, client: QuicClient, connection_id: bytes) -> None:
        """No longer."""
        if connection_id in client.connection_ids:
            client.connection_ids.discard(connection_id)
            self._by_id.pop(connection_id, None)

    def confirmed(self, client: QuicClient) -> None:
        """The handshake is over."""
        self._in_handshake.pop(client, None)
        self._stats.handshake(client.transport, "completed")
        client.queries = DohQueries(client, client.path) if client.transport is Transport.H3 else DoqQueries(client)
        if self.draining:
            client.queries.go_away()

    def ended(self, client: QuicClient, why: str) -> None:
        """It is closed because of what it did."""
        self._stats.refused(why)
        self._table.discard(client)

    def gone(self, client: QuicClient) -> None:
        """Nothing more is to be sent or received."""
        self._table.discard(client)
        if self._in_handshake.pop(client, client) is None:
            self._stats.handshake(client.transport, "failed")
        self._all.pop(client, None)
        self._held_bytes -= self._held.pop(client, 0)
        for connection_id in client.connection_ids:
            self._by_id.pop(connection_id, None)
        client.connection_ids.clear()

    def busy(self, client: QuicClient, *, busy: bool) -> None:
        """It waits for answers, or no longer does."""
        if client in self._table:
            if busy:
                self._table.mark_busy(client)
            else:
                self._table.mark_idle(client)

    def changed(self, client: QuicClient) -> None:
        """It has something to send, which `flush` does."""
        if not client.changed:
            client.changed = True
            self._changed.append(client)

    def hand_over(self, client: QuicClient, stream_id: int, packed: bytes, message: bytes) -> bool:
        """Give a message to a worker."""
        return self._relay.ask(client, stream_id, client.transport, packed, message)

    # Once a second, and at the end.

    def sweep(self) -> None:
        """End what has taken too long. Call this every second."""
        now_s = self.loop.time()
        self._resets_left = _RESETS_PER_S
        limits = self._limits
        quiet_s = min(limits.idle_timeout_s, self._quiet_s) if self.draining else limits.idle_timeout_s
        for client in tuple(self._in_handshake):
            if now_s - client.created_s < limits.handshake_timeout_s:
                break
            self._in_handshake.pop(client)
            self._stats.handshake(client.transport, "timeout")
            client.drop()
        for client in tuple(self._all):
            if client.is_over or client.queries is None:
                continue
            stalled_s = client.queries.oldest_s()
            if stalled_s is not None and now_s - stalled_s >= STALLED_S:
                client.end(client.queries.excessive_load, "stalled")
            elif not client.outstanding and now_s - client.last_query_s >= quiet_s:
                client.close(client.queries.no_error)
        counts = dict.fromkeys(TRANSPORTS, 0)
        for client in self._all:
            counts[client.transport] += not client.is_over
        for transport, count in counts.items():
            self._stats.connections(transport, count)
        self._stats.waiting(len(self._relay))
        self._relay.check(now_s)
        self.flush()

    def drain(self, quiet_s: float = 0.0) -> None:
        """Accept no new connections. Close each one once it has no unanswered query and sent none for `quiet_s`."""
        self.draining, self._quiet_s = True, quiet_s
        self._newcomers.clear()
        for client in self._all:
            if client.queries is not None:
                client.queries.go_away()
                self.changed(client)
        self.flush()

    @property
    def outstanding(self) -> int:
        """Messages that wait for an answer."""
        return sum(client.outstanding for client in self._all if not client.is_over)

    def close(self) -> None:
        """Tell every client that this is the end."""
        for client in tuple(self._all):
            client.close(client.queries.no_error if client.queries is not None else 0)
        self.flush()
