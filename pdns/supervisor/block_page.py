"""The page process, as the supervisor owns it: its sockets, its counters, and the process while there is an address to serve."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final, Protocol

from pdns.config.addresses import Endpoint
from pdns.config.schema import Config
from pdns.ipc.config_memfd import share_config, without_records
from pdns.ipc.messages import ServePage, TakeBlockset
from pdns.supervisor.child import Child
from pdns.supervisor.sealed_blockset import SealedBlockset
from pdns.telemetry.counters import Counters

NAME: Final = "page"
_COUNTERS: Final = 16384
_LOOK_S: Final = 0.25
_EXIT_S: Final = 1.0


class BlocksetOwner(Protocol):
    """The part of the worker pool that is needed here."""

    @property
    def blockset(self) -> SealedBlockset: ...


class PageHandle:
    """One for each supervisor."""

    def __init__(self, config: Callable[[], Config], workers: Callable[[], BlocksetOwner]) -> None:
        """`config` and `workers` return what is live."""
        self._config, self._workers = config, workers
        self._loop = asyncio.get_running_loop()
        self._secret = os.urandom(32).hex()  # the same for each new process: forms in open tabs stay valid
        self._sockets: dict[str, socket.socket] = {}
        self._counters: Counters | None = None
        self._generation = 0  # of the blockset that was sent last
        self._looking: asyncio.TimerHandle | None = None
        self._child = Child(
            NAME, "pdns.page", self._loop, on_start=self._started, on_message=lambda _: None, on_exit=lambda: None
        )

    @property
    def counters(self) -> list[Counters]:
        """Its counters, once there was a process."""
        return [] if self._counters is None else [self._counters]

    @property
    def restarts(self) -> int:
        return self._child.restarts

    @property
    def failed_starts(self) -> int:
        return self._child.failed_starts

    @property
    def pid(self) -> int | None:
        return self._child.pid

    @property
    def endpoints(self) -> list[Endpoint]:
        """The addresses it answers at."""
        return [Endpoint(*sock.getsockname()[:2]) for sock in self._sockets.values()]

    async def serve(self, changed: dict[str, socket.socket | None]) -> None:
        """Answer by the live configuration, at the sockets that are there and those of `changed`; None closes one."""
        for endpoint, sock in changed.items():
            if (before := self._sockets.pop(endpoint, None)) is not None:
                before.close()
            if sock is not None:
                self._sockets[endpoint] = sock
        if not self._sockets:
            await self.stop()
        elif self._child.pid is None or self._child.stopping:
            self._counters = self._counters or Counters.create(_COUNTERS)
            self._child.start()
            self._look()
        else:
            self._send()

    async def restart(self) -> None:
        """Replace the process, if there is one, by one of the program on the disk."""
        if self._sockets:
            await self._child.stop(None, _EXIT_S)
            self._child.start()

    async def stop(self) -> None:
        """End the process."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        await self._child.stop(None, _EXIT_S)

    async def close(self) -> None:
        """End the process, and close the sockets and the counters."""
        await self.stop()
        for sock in self._sockets.values():
            sock.close()
        self._sockets = {}
        if self._counters is not None:
            self._counters.close()
            self._counters = None

    def kill_now(self) -> None:
        self._child.kill_now()

    def _started(self) -> None:
        self._generation = 0
        self._send_blockset()  # first: no name is said to be unblocked only because there is no blockset yet
        self._send()

    def _send(self) -> None:
        if self._counters is None:
            return
        config_fd = share_config(without_records(self._config()))
        try:
            fds = [config_fd, self._counters.fd, *(sock.fileno() for sock in self._sockets.values())]
            self._child.send(ServePage(tuple(self._sockets), self._secret), fds)
        finally:
            os.close(config_fd)

    def _look(self) -> None:
        """Send each new blockset."""
        if self._looking is not None:
            self._looking.cancel()
        self._looking = self._loop.call_later(_LOOK_S, self._look)
        self._send_blockset()

    def _send_blockset(self) -> None:
        blockset = self._workers().blockset
        is_new = blockset.fd >= 0 and blockset.generation != self._generation
        if is_new and self._child.send(TakeBlockset(blockset.generation), [blockset.fd]):
            self._generation = blockset.generation
