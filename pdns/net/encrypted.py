"""DNS over TLS (RFC 7858) and HTTPS: who may connect, for how long, and how it ends. The connections themselves are compiled."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any, Final, NamedTuple, Protocol

from pdns.config.listener_schema import ListenerSection
from pdns.errors import WireError
from pdns.ipc.encryption_secrets import EncryptionSecrets
from pdns.net.balancers import Balancers
from pdns.net.connections import ConnectionTable
from pdns.net.edge import BugLog, EdgeStats
from pdns.net.encrypted_limits import EncryptedLimits, NewConnections
from pdns.net.stream import RESET_ON_CLOSE, client_key
from pdns.net.turn_loop import TurnLoop
from pdns.wire.doh import BASE_PATH
from pdns.wire.proxy_header import FIXED_BYTES, UNFINISHED, header_bytes, parse_header
from pdns.wire.transport import Transport

_SWEEP_S: Final = 1.0
_SHORTEST_SWEEP_S: Final = 0.05
_TURN_S: Final = 0.001
_HANDSHAKES_OF_CLIENT: Final = 4  # a quarter of all
_NO_CLIENT_YET: Final = "no client yet"


class EncryptedStream(Hashable, Protocol):
    """One connection: `pdns.fast.encrypted_stream.EncryptedStream`."""

    key: Hashable

    @property
    def fd(self) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def transport(self) -> Transport: ...
    @property
    def was_active(self) -> bool: ...
    def speak_for(self, address: str) -> None: ...
    def header_taken(self) -> None: ...


class EncryptedKernel(NamedTuple):
    """How the compiled parts are made: a context of TLS, and the set of connections."""

    context: Callable[..., Any]
    connections: Callable[..., Any]  # of a table, a service, a fast path, a loop, counters, a log of bugs


class _Shown(NamedTuple):
    """What connections at the sockets of a section get."""

    context: Any
    transport: Transport
    admits_by_name: bool
    path: bytes  # of DNS over HTTPS


class _Table(ConnectionTable[EncryptedStream]):
    def dispensable(self, key: Hashable, max_of_client: int | None = None) -> EncryptedStream | None:
        """As of every table. Activity of idle connections is noted only now: a hit costs none of this."""
        while (one := super().dispensable(key, max_of_client)) is not None:
            if self.is_busy(one) or not one.was_active:
                break
            self.mark_idle(one)
        return one


class EncryptedConnections:
    """Every encrypted connection of one worker, whatever address it came to, within common limits.

    Room is found as `pdns.net.tcp.TcpConnections` finds it. Handshakes have a bound of their own, of which a client has a
    quarter, and so has the rate of new connections of a client. Connections of a load balancer begin with a PROXY header.
    Counted as dropped: `encrypted_made_room`, `encrypted_busy_made_room`, `encrypted_refused`, `encrypted_too_many_new`,
    `encrypted_handshake_refused`, `encrypted_handshake_made_room`; more by the compiled part: see docs/metrics.md.
    The gauge `encrypted_connections` says how many there are, or were up to a second ago.
    """

    def __init__(
        self,
        kernel: EncryptedKernel,
        limits: EncryptedLimits,
        service: object,
        fast_path: object,
        loop: asyncio.AbstractEventLoop,
        stats: EdgeStats,
    ) -> None:
        self.limits = limits
        self.loop: Final = loop
        self.stats: Final = stats
        self.contexts: dict[int, _Shown] = {}  # by index of their section
        self.balancers = Balancers()
        self._kernel: Final = kernel
        self._set: Final = kernel.connections(self, service, fast_path, loop, stats, BugLog(loop.time))
        self._table: Final = _Table(0, 0)
        self._shaking: dict[EncryptedStream, None] = {}  # longest first
        self._new: Final = NewConnections(limits.new_per_client_per_s)
        self._turn_loop: TurnLoop[EncryptedStream] = TurnLoop(loop, self._take_turns)
        self._turns = self._turn_loop.turns
        self._headers: dict[EncryptedStream, bytearray] = {}
        self._counts: Counter[Transport] = Counter()
        self._is_draining = False
        self._timer: asyncio.TimerHandle | None = None
        self._no_connections = asyncio.Event()
        self._no_connections.set()
        self.apply(limits)

    def __len__(self) -> int:
        return len(self._table)

    def apply(self, limits: EncryptedLimits) -> None:
        """New limits, from now on. Connections above a lower bound stay until they are idle or somebody needs the room."""
        self.limits = limits
        self._table.max_connections, self._table.max_per_client = limits.max_connections, limits.max_per_client
        self._new.per_s = limits.new_per_client_per_s
        self._set.pads, self._set.max_outstanding = limits.pads, limits.max_outstanding
        self._set.limit_streams(limits.max_streams)

    def trust(self, networks: Iterable[str]) -> None:
        """Peers in `networks`, and no others, begin each new connection with a PROXY protocol header from now on."""
        self.balancers = Balancers(networks)

    def take_secrets(self, secrets: EncryptionSecrets, sections: Sequence[ListenerSection]) -> None:
        """Show new connections the certificates in `secrets`, which are for `sections`. Those that are open keep theirs.

        Where other client certificates are trusted or revoked than before, open connections end: each shows its own again.
        Raises `ValueError`, with nothing changed, for what OpenSSL cannot use.
        """
        before, self.contexts = self.contexts, self._contexts(secrets, sections)
        for section, shown in before.items():
            if section in self.contexts and self.contexts[section].context.admission != shown.context.admission:
                self._set.part_with(shown.context.admission)

    def _contexts(self, secrets: EncryptionSecrets, sections: Sequence[ListenerSection]) -> dict[int, _Shown]:
        return {
            index: _Shown(
                self._kernel.context(
                    [(pair.chain_pem, pair.key_pem) for pair in given.certificates],
                    secrets.ticket_keys,
                    https=sections[index].transport == "https",
                    client_certificate=sections[index].client_certificate,
                    client_ca=given.client_ca_pem,
                    client_crl=given.client_crl_pem,
                ),
                Transport(sections[index].transport),
                sections[index].admit_by_server_name,
                sections[index].path.encode() or BASE_PATH,
            )
            for index, given in secrets.listeners.items()
            if sections[index].transport in ("tls", "https")
        }

    @property
    def idle_limit_s(self) -> float:
        """How long a connection may be idle, as full as it is now."""
        return self._table.idle_limit_s(self.limits.idle_timeout_s)

    def drain(self) -> None:
        """Close each connection once all it asked has been answered; those that have asked nothing yet have a second to do so."""
        self._set.drain()
        self._is_draining = True
        if self._timer is not None:
            self._timer.cancel()
            self._set_timer()

    async def drained(self) -> None:
        """Return when there are no connections left. Wait for it no longer than you must, then `close`."""
        await self._no_connections.wait()

    def close(self) -> None:
        """End every connection now."""
        self._set.close()
        self._show_counts()
        self._turn_loop.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # what a listener says

    def accept(self, sock: socket.socket, section: int) -> bool:
        """Accept the next connection at `sock`, a socket of that section. False: there is none now. Raises `OSError`."""
        accepted = self._set.accept(sock.fileno())
        if accepted is None:
            return False
        fd, address, port = accepted
        self._arrived(fd, address, port, section)
        return True

    def _arrived(self, fd: int, address: str, port: int, section: int) -> None:
        if section not in self.contexts:
            _refuse(fd)
            self.stats.dropped("encrypted_refused")
            return
        shown = self.contexts[section]
        key: Hashable = client_key(address)
        bound = None
        awaits_header = bool(self.balancers) and address in self.balancers
        if awaits_header:
            key, bound = (_NO_CLIENT_YET, key), max(self.limits.max_per_client, self.limits.max_connections // 2)
        elif not self._new.admits(key, self.loop.time()):
            _refuse(fd)
            self.stats.dropped("encrypted_too_many_new")
            return
        if not self._table.find_room(key, self._end, bound):
            _refuse(fd)
            self.stats.dropped("encrypted_refused")
            return
        stream = self._set.add(
            fd, address, port, shown.context, shown.transport, key,
            admits_by_name=shown.admits_by_name, awaits_header=awaits_header, path=shown.path,
        )  # fmt: skip
        self._count_in(stream)
        self._set.begin(stream)

    def make_room(self) -> None:
        """Close one connection, if one may be closed for a new client."""
        dispensable = self._table.dispensable(None)
        if dispensable is not None:
            self._end(dispensable)

    def _end(self, dispensable: EncryptedStream) -> None:
        is_busy = self._table.is_busy(dispensable)
        self._set.end(dispensable, "encrypted_busy_made_room" if is_busy else "encrypted_made_room")

    def _count_in(self, stream: EncryptedStream) -> None:
        self._table.add(stream, stream.key)
        self._no_connections.clear()
        self._counts[stream.transport] += 1
        if self._timer is None:
            self._set_timer()

    def _show_counts(self) -> None:
        for transport, count in self._counts.items():
            self.stats.gauge("encrypted_connections", count, transport)

    # what the compiled part says

    def header_arrived(self, stream: EncryptedStream) -> None:
        """There are bytes of a PROXY header. What stands behind it stays in the socket."""
        held = self._headers.setdefault(stream, bytearray())
        try:
            part = os.read(stream.fd, (header_bytes(held) or FIXED_BYTES) - len(held))
            held += part
            if not part:
                self._set.end(stream, UNFINISHED)
                return
            size = header_bytes(held)
            if not size or len(held) < size:
                return
            header = parse_header(held)
        except BlockingIOError:
            return
        except OSError:
            self._set.end(stream, UNFINISHED)
            return
        except WireError as error:
            self._set.end(stream, error.reason)
            return
        del self._headers[stream]
        if header.client:
            stream.speak_for(header.client)
        self._move(stream, client_key(stream.address))

    def _move(self, stream: EncryptedStream, key: Hashable) -> None:
        """`stream` counts as one of client `key` from now on, if there is room."""
        self._table.discard(stream)
        admitted = self._new.admits(key, self.loop.time())
        has_room = admitted and self._table.find_room(key, self._end)
        if has_room:
            stream.key = key
        self._table.add(stream, stream.key)
        if has_room:
            stream.header_taken()
        else:
            self._set.end(stream, "encrypted_refused" if admitted else "encrypted_too_many_new")

    def may_shake(self, stream: EncryptedStream) -> bool:
        """Whether the handshake of `stream` may begin. False: it has ended."""
        if len(self._shaking) >= max(1, self.limits.max_handshakes // _HANDSHAKES_OF_CLIENT):
            counts = Counter(one.key for one in self._shaking)
            own, (largest, most) = counts[stream.key], counts.most_common(1)[0]
            if own * _HANDSHAKES_OF_CLIENT >= self.limits.max_handshakes:
                largest, most = stream.key, own + 2
            elif len(self._shaking) < self.limits.max_handshakes:
                most = 0
            if most > own + 1:
                oldest = next(one for one in self._shaking if one.key == largest)
                self._set.end(oldest, "encrypted_handshake_made_room")
            elif most:
                self._set.end(stream, "encrypted_handshake_refused")
                return False
        self._shaking[stream] = None
        return True

    def shaken(self, stream: EncryptedStream) -> None:
        """The handshake of `stream` is over."""
        self._shaking.pop(stream, None)

    def mark(self, stream: EncryptedStream, *, busy: bool) -> None:
        """`stream` waits for answers, or is idle as of now."""
        if stream not in self._table:
            return
        if busy:
            self._table.mark_busy(stream)
        else:
            self._table.mark_idle(stream)

    def wait(self, stream: EncryptedStream) -> None:
        """`stream` has more to say than one turn allows: it goes on in its turn."""
        self._turn_loop.wait(stream, stream.key)

    def refused(self, stream: EncryptedStream) -> bool:
        """A message of `stream` was refused because of its client. True when the client is to rest now."""
        return self._turn_loop.refused(stream.key)

    def left(self, stream: EncryptedStream) -> None:
        """`stream` has ended. No matter if that was said before."""
        self._turns.leave(stream, stream.key)
        self._headers.pop(stream, None)
        self._shaking.pop(stream, None)
        if self._table.discard(stream):
            self._counts[stream.transport] -= 1
            if not len(self._table):
                self._no_connections.set()

    def _take_turns(self) -> None:
        ends_s = perf_counter() + _TURN_S
        while perf_counter() < ends_s and (one := self._turns.take()) is not None:
            self._set.go_on(one)

    def _set_timer(self) -> None:
        shortest_s = 0.0 if self._is_draining else min(self.idle_limit_s, self.limits.handshake_timeout_s)
        self._timer = self.loop.call_later(min(_SWEEP_S, max(_SHORTEST_SWEEP_S, shortest_s / 4)), self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        self._set.sweep(self.limits, self.idle_limit_s)
        self._show_counts()
        self._new.forget(self.loop.time())
        if len(self._table) or len(self._new):
            self._set_timer()


def _refuse(fd: int) -> None:
    """Nothing of the connection stays in the kernel."""
    with socket.socket(fileno=fd) as sock, suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
