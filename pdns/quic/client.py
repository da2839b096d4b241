"""One connection of a client, between datagrams, its queries and the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Any, Final, Protocol

from aioquic.quic.events import (
    ConnectionIdIssued,
    ConnectionIdRetired,
    ConnectionTerminated,
    HandshakeCompleted,
    QuicEvent,
)

from pdns.ipc.relay_frames import MAX_SERVER_NAME_BYTES, RelayAnswer, RelayClient, pack_client
from pdns.quic.queries import Queries
from pdns.quic.transport import ServerConnection
from pdns.wire.transport import Transport

MAX_UNREAD_BYTES: Final = 1048576  # of answers that the client has not confirmed
_MOST_SENT: Final = 512  # answers, before those that were confirmed are forgotten
_MOST_TOKENS: Final = 8  # of one connection, whose clients are remembered in packed form

Address = tuple[Any, ...]  # as the socket module has it


class QuicClientHost(Protocol):
    """The part of `QuicClients` that a connection needs."""

    loop: asyncio.AbstractEventLoop
    max_streams: int

    def issued(self, client: QuicClient, connection_id: bytes) -> None: ...
    def retired(self, client: QuicClient, connection_id: bytes) -> None: ...
    def confirmed(self, client: QuicClient) -> None: ...
    def gone(self, client: QuicClient) -> None: ...
    def ended(self, client: QuicClient, why: str) -> None: ...
    def busy(self, client: QuicClient, *, busy: bool) -> None: ...
    def changed(self, client: QuicClient) -> None:
        """It has something to send."""

    def hand_over(self, client: QuicClient, stream_id: int, packed: bytes, message: bytes) -> bool:
        """Give a message to a worker. False: there are too many."""


class QuicClient:
    """Calls nothing back after `gone`."""

    __slots__ = (
        "_address", "_armed_s", "_host", "_packed", "_sent_answers", "_timer", "_unread_bytes", "admits_by_name", "changed",
        "confirmed", "connection_ids", "created_s", "is_over", "key", "last_query_s", "outstanding", "path", "queries", "quic",
        "send", "transport",
    )  # fmt: skip

    def __init__(
        self,
        host: QuicClientHost,
        quic: ServerConnection,
        transport: Transport,
        key: Hashable,
        send: Callable[[bytes, Address], None],
        now_s: float,
        *,
        path: bytes,
        admits_by_name: bool,
    ) -> None:
        self.quic, self.transport, self.key, self.send = quic, transport, key, send
        self.created_s = self.last_query_s = now_s
        self.queries: Queries | None = None  # once the handshake is over
        self.connection_ids: set[bytes] = set()
        self.outstanding = 0  # messages that workers have, also of streams that were cancelled
        self.confirmed = self.is_over = self.changed = False
        self.path, self.admits_by_name = path, admits_by_name
        self._host = host
        self._timer: asyncio.TimerHandle | None = None
        self._armed_s = 0.0
        self._address: Address = ()
        self._packed: dict[bytes, bytes] = {}  # token -> the client in frames
        self._sent_answers: dict[int, int] = {}  # stream -> bytes
        self._unread_bytes = 0

    def receive(self, datagram: bytes, address: Address, now_s: float) -> None:
        """Take a datagram. Call `transmit` soon if it is then `changed`."""
        self.quic.receive_datagram(datagram, address, now_s)
        self.take_events(now_s)
        if not self.outstanding or not self.confirmed:
            self._host.changed(self)
        else:
            self._arm(self.quic.get_timer(), now_s)

    def transmit(self, now_s: float) -> None:
        """Send what there is to send."""
        self.changed = False
        for datagram, address in self.quic.datagrams_to_send(now_s):
            self.send(datagram, address)
        self.take_events(now_s)  # connection ids that were issued just now
        self._arm(self.quic.get_timer(), now_s)

    def answered(self, stream_id: int, answer: RelayAnswer) -> None:
        """A worker has answered, or there is no answer."""
        self.outstanding -= 1
        if not self.outstanding and not self.is_over:
            self._host.busy(self, busy=False)
        if self.is_over or self.queries is None:
            return
        self.queries.answer(stream_id, answer)
        self._sent_answers[stream_id] = len(answer.message)
        self._unread_bytes += len(answer.message)
        if (self._unread_bytes > MAX_UNREAD_BYTES or len(self._sent_answers) > _MOST_SENT) and (
            self._count_unread() > MAX_UNREAD_BYTES
        ):
            self.end(self.queries.excessive_load, "unread_answers")
        self.quic.acknowledge_now()
        self._host.changed(self)

    # For its queries.

    def ask(self, stream_id: int, message: bytes, token: bytes) -> bool:
        """As `pdns.quic.queries.Asker`."""
        if self.outstanding >= self._host.max_streams:
            return False
        packed = self._packed_client(token)
        if packed is None or not self._host.hand_over(self, stream_id, packed, message):
            return False
        self.last_query_s = self._host.loop.time()
        self.outstanding += 1
        if self.outstanding == 1:
            self._host.busy(self, busy=True)
        return True

    def end(self, code: int, why: str) -> None:
        """Close the connection because of what the client did."""
        if not self.is_over:
            self._host.ended(self, why)
            self.close(code)

    def close(self, code: int) -> None:
        """Close the connection; nothing of it is answered from now on."""
        if not self.is_over:
            self.is_over = True
            self.quic.close(error_code=code, reason_phrase="")
            self._host.changed(self)

    def drop(self) -> None:
        """Forget the connection; the client is told nothing."""
        self.is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._host.gone(self)

    def take_events(self, now_s: float) -> None:
        """Carry out what has happened."""
        while (event := self.quic.next_event()) is not None:
            self._take(event, now_s)

    def _take(self, event: QuicEvent, now_s: float) -> None:
        if isinstance(event, ConnectionIdIssued):
            self._host.issued(self, event.connection_id)
        elif isinstance(event, ConnectionIdRetired):
            self._host.retired(self, event.connection_id)
        elif isinstance(event, ConnectionTerminated):
            self.drop()
        elif isinstance(event, HandshakeCompleted):
            self.confirmed = True
            self._host.confirmed(self)
        elif self.queries is not None and not self.is_over:
            self.queries.take(event, now_s)

    def _packed_client(self, token: bytes) -> bytes | None:
        """None as long as no address of the client is proven."""
        address = self.quic.client or self._address  # one that is not proven yet does not count
        if not address:
            return None
        if address != self._address:
            self._address = address
            self._packed.clear()
        packed = self._packed.get(token)
        if packed is None:
            host, _, _ = address[0].partition("%")
            name = _plain_name(self.quic.server_name)
            packed = pack_client(RelayClient(host, address[1], b"", token, name, self.admits_by_name))
            if len(self._packed) >= _MOST_TOKENS:
                self._packed.clear()
            self._packed[token] = packed
        return packed

    def _count_unread(self) -> int:
        is_open = self.quic.is_open
        self._sent_answers = {stream_id: size for stream_id, size in self._sent_answers.items() if is_open(stream_id)}
        self._unread_bytes = sum(self._sent_answers.values())
        return self._unread_bytes

    def _arm(self, at_s: float | None, now_s: float) -> None:
        """A timer that is due too early asks again; it is moved only to be earlier."""
        if at_s is None or (self._timer is not None and self._armed_s <= at_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_s = at_s
        self._timer = self._host.loop.call_later(max(0.0, at_s - now_s), self._due)

    def _due(self) -> None:
        self._timer = None
        now_s = self._host.loop.time()
        at_s = self.quic.get_timer()
        if at_s is None:
            return
        if now_s < at_s:
            self._arm(at_s, now_s)
            return
        self.quic.handle_timer(now_s)
        self.take_events(now_s)
        self.transmit(now_s)


def _plain_name(name: str) -> str:
    """The server name as credentials have it; "" for an invalid one."""
    plain = name.lower().removesuffix(".")
    return plain if plain.isascii() and len(plain) <= MAX_SERVER_NAME_BYTES else ""
