"""The quic process, as the supervisor owns it: its sockets, its counters, its ways to the workers, and its replacement.

A new process takes over the sockets; the one before it finishes with its clients, whose datagrams the new one passes on.
No part of the service waits for it: if it does not start, only QUIC is not answered.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from pdns.config.addresses import Endpoint, parse_endpoint
from pdns.config.schema import Config
from pdns.errors import PdnsError
from pdns.ipc.messages import (
    Drain,
    Message,
    QuicBegin,
    QuicHandOver,
    QuicReady,
    QuicSocket,
    RelayEnded,
    RelayTo,
    ServeQuic,
    TakeRelay,
)
from pdns.net.sockets import bind_udp
from pdns.supervisor.certificates import Certificates
from pdns.supervisor.child import Child
from pdns.supervisor.listeners import ListenerSet
from pdns.supervisor.process_handle import CountingHandle
from pdns.supervisor.worker_handle import WorkerHandle
from pdns.wire.transport import Transport

NAME: Final = "quic"
_TRANSPORTS: Final = (Transport.QUIC, Transport.H3)
_COUNTERS: Final = 1024
_LOOK_S: Final = 0.05
_RELINK_S: Final = 1.0  # after a way to a worker has ended although both live
_READY_S: Final = 15.0
_LEAVE_S: Final = 35.0  # of a process that has a successor; it leaves sooner by itself
_DRAIN_S: Final = 2.0
_EXIT_S: Final = 1.0
_PROCESSES: Final = 256

_log = logging.getLogger(__name__)


class QuicWorkers(Protocol):
    """The part of the worker pool that is needed here."""

    count: int

    @property
    def current(self) -> Sequence[WorkerHandle]: ...


class QuicEndpoint(NamedTuple):
    """One address of a `[[listener]]` over QUIC."""

    section: int  # index in `config.listener`
    text: str  # as in the configuration


def quic_endpoints(config: Config) -> dict[str, QuicEndpoint]:
    """What is served, by transport and address: "quic://0.0.0.0:853"."""
    return {
        f"{listener.transport}://{text}": QuicEndpoint(index, text)
        for index, listener in enumerate(config.listener)
        if listener.transport in _TRANSPORTS
        for text in listener.listen
    }


class QuicHandle(CountingHandle):
    """One for each supervisor."""

    def __init__(
        self,
        config: Callable[[], Config],
        workers: Callable[[], QuicWorkers],
        listeners: Callable[[], ListenerSet],
        certificates: Callable[[], Certificates],
    ) -> None:
        """Each returns what is live. `listeners` has the key that names are steered with, and sockets that systemd opened."""
        super().__init__(config, _COUNTERS, _LOOK_S)
        self._workers, self._listeners, self._certificates = workers, listeners, certificates
        self._secret = os.urandom(32).hex()  # the same for each new process: tokens stay valid
        self._sockets: dict[str, socket.socket] = {}  # by transport and address
        self._bound: dict[str, socket.socket] = {}  # the same, for the configuration that is to go live
        self._number = 0  # of the process
        self._child = self._new_child()
        self._next: Child | None = None  # that is to replace it
        self._leaving: Child | None = None  # that was replaced
        self._ended: list[Child] = []  # that were killed, and may still be there
        self._linked: dict[tuple[Child, int], int] = {}  # the child and the index of a worker -> the process of that worker
        self._relink_s: dict[tuple[Child, int], float] = {}  # the child and the process of a worker -> when
        self._past_restarts = self._past_failures = 0

    @property
    def restarts(self) -> int:
        return self._past_restarts + self._child.restarts

    @property
    def failed_starts(self) -> int:
        return self._past_failures + self._child.failed_starts

    @property
    def receivers(self) -> list[Child]:
        """The processes that need certificates."""
        return [child for child in (self._child, self._next) if child is not None and child.pid is not None]

    @property
    def endpoints(self) -> list[Endpoint]:
        """The addresses it answers at."""
        return [Endpoint(*sock.getsockname()[:2]) for sock in self._sockets.values()]

    @property
    def remarks(self) -> list[str]:
        """Why QUIC is not answered, for people."""
        if not self._sockets or self._child.pid is not None or self._child.stopping:
            return []
        return [f"quic: not running, started again after {self._child.waits_s:g} s"]

    def bind(self, config: Config) -> None:
        """Bind the sockets that `config` needs and that are not there yet. Then call `serve` or `discard`.

        Raises `PdnsError` with nothing bound.
        """
        self.discard()
        try:
            for name, endpoint in quic_endpoints(config).items():
                if name not in self._sockets:
                    self._bound[name] = self._bind(endpoint)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Close what `bind` has bound: it is not used."""
        self._close_sockets(self._bound)
        self._bound = {}

    async def serve(self) -> None:
        """Answer by the live configuration, at its sockets and no others."""
        wanted = quic_endpoints(self._config())
        self._close_sockets({name: sock for name, sock in self._sockets.items() if name not in wanted})
        self._sockets = {name: sock for name, sock in self._sockets.items() if name in wanted} | self._bound
        self._bound = {}
        if not self._sockets:
            await self.stop()
        elif self._child.pid is None or self._child.stopping:
            self._start()
        else:
            self._send(self._child)

    async def restart(self) -> None:
        """Replace the process, if there is one, by one of the program on the disk; connections go on with the process before."""
        if self._child.pid is None or self._next is not None:
            return
        self._next = fresh = self._new_child()
        fresh.start()
        self._loop.call_later(_READY_S, self._give_up, fresh)

    async def stop(self) -> None:
        """End the process, after it has answered what was asked."""
        self._stop_looking()
        for other in (self._next, self._leaving):
            if other is not None:
                self._end(other)
        self._next = self._leaving = None
        await self._child.stop(Drain(), self._drain_s + _EXIT_S)
        for other in self._ended:
            await other.exited()

    async def close(self) -> None:
        """End the process, and close the sockets and the counters."""
        await self.stop()
        self.discard()
        self._close_sockets(self._sockets)
        self._sockets = {}
        self._close_counters()

    def kill_now(self) -> None:
        for child in (self._child, self._next, self._leaving):
            if child is not None:
                child.kill_now()

    @property
    def _drain_s(self) -> float:
        return min(self._config().server.drain_s, _DRAIN_S)

    @property
    def _next_number(self) -> int:
        """Of the process that replaces this one, in the connection ids that it makes. One that was never ready has made none."""
        return (self._number + 1) % _PROCESSES

    def _bind(self, endpoint: QuicEndpoint) -> socket.socket:
        parsed = parse_endpoint(endpoint.text)
        if handed_in := self._listeners().inherited.datagrams(parsed):
            return handed_in[0]
        try:
            return bind_udp(parsed)
        except PdnsError as error:
            raise PdnsError(f"listener[{endpoint.section}].listen: {error}") from None

    def _close_sockets(self, sockets: dict[str, socket.socket]) -> None:
        for sock in sockets.values():
            if sock not in self._listeners().inherited:
                sock.close()

    def _new_child(self) -> Child:
        child = Child(
            NAME,
            "pdns.quic",
            self._loop,
            on_start=lambda: self._started(child),
            on_message=lambda message: self._heard(child, message),
            on_exit=lambda: self._exited(child),
        )
        return child

    def _started(self, child: Child) -> None:
        self._send(child)
        if child is self._child:
            child.send(QuicBegin())

    def _send(self, child: Child) -> None:
        if self._counters is None:
            return
        served = quic_endpoints(self._config())
        listening = tuple(QuicSocket(served[name].section, name) for name in self._sockets if name in served)
        number = self._number if child is self._child else self._next_number
        message = ServeQuic(listening, number, self._secret, self._listeners().steering_key.hex(), self._workers().count)
        if (certificates := self._certificates().live) is not None:
            certificates.send_to(child, with_next=True)
        self._send_configured(child, message, [self._counters.fd, *(self._sockets[one.endpoint].fileno() for one in listening)])

    def _heard(self, child: Child, message: Message) -> None:
        if isinstance(message, QuicReady) and child is self._next:
            self._replace(child)
        elif isinstance(message, RelayEnded) and (pid := self._linked.pop((child, message.worker), None)) is not None:
            self._relink_s[child, pid] = self._loop.time() + _RELINK_S

    def _replace(self, child: Child) -> None:
        """`child` is ready: it gets the sockets, and the datagrams of the process before go through it."""
        before, self._child, self._next = self._child, child, None
        self._past_restarts += before.restarts
        self._past_failures += before.failed_starts
        if self._leaving is not None:
            self._end(self._leaving)
        self._leaving = before
        before.stop_replacing()
        theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, ours:
            before.send(QuicHandOver(), [theirs.fileno()])
            child.send(QuicBegin(self._number), [ours.fileno()])
        self._number = self._next_number
        self._loop.call_later(_LEAVE_S, self._has_left, before)
        _log.info("quic is a new process")
        self._look()

    def _has_left(self, child: Child) -> None:
        if child is self._leaving:
            self._leaving = None
        self._end(child)

    def _end(self, child: Child) -> None:
        """Kill `child`. It is waited for at the end only."""
        self._ended = [*(other for other in self._ended if other.pid is not None), child]
        child.kill_now()

    def _give_up(self, child: Child) -> None:
        """The new process is not ready in time: the old one stays."""
        if child is self._next:
            self._next = None
            self._past_failures += 1
            self._end(child)
            _log.error("quic: the new process was not ready within %.0f s: the old one stays", _READY_S)

    def _exited(self, child: Child) -> None:
        if child is self._leaving:
            self._leaving = None
        self._linked = {key: pid for key, pid in self._linked.items() if key[0] is not child}
        self._relink_s = {key: when_s for key, when_s in self._relink_s.items() if key[0] is not child}

    def _show_news(self) -> None:
        """Show new workers, the process and the one before it, which still has clients, to each other."""
        children = [child for child in (self._child, self._leaving) if child is not None and child.pid is not None]
        now_s = self._loop.time()
        for worker in self._workers().current:
            if (pid := worker.child.pid) is None or not worker.ready:
                continue
            for child in children:
                if self._linked.get((child, worker.index)) != pid and now_s >= self._relink_s.get((child, pid), 0.0):
                    with suppress(OSError):  # no descriptor is free: the next look may find one
                        self._link(worker, pid, child)

    def _link(self, worker: WorkerHandle, pid: int, child: Child) -> None:
        theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, ours:
            if worker.child.send(TakeRelay(), [theirs.fileno()]) and child.send(RelayTo(worker.index), [ours.fileno()]):
                self._linked[child, worker.index] = pid
