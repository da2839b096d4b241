"""The page process, as the supervisor owns it: its sockets, its counters, and the process while there is an address to serve."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Final, Protocol

from pdns.config.addresses import Endpoint
from pdns.config.schema import Config
from pdns.ipc.messages import ServePage, TakeBlockset
from pdns.supervisor.child import Child
from pdns.supervisor.process_handle import CountingHandle
from pdns.supervisor.sealed_blockset import SealedBlockset

NAME: Final = "page"
_COUNTERS: Final = 16384
_LOOK_S: Final = 0.25
_EXIT_S: Final = 1.0


class BlocksetOwner(Protocol):
    """The part of the worker pool that is needed here."""

    @property
    def blockset(self) -> SealedBlockset: ...


class PageHandle(CountingHandle):
    """One for each supervisor."""

    def __init__(self, config: Callable[[], Config], workers: Callable[[], BlocksetOwner]) -> None:
        """`config` and `workers` return what is live."""
        super().__init__(config, _COUNTERS, _LOOK_S)
        self._workers = workers
        self._secret = os.urandom(32).hex()  # the same for each new process: forms in open tabs stay valid
        self._sockets: dict[str, socket.socket] = {}
        self._generation = 0  # of the blockset that was sent last
        self._child = Child(
            NAME, "pdns.page", self._loop, on_start=self._started, on_message=lambda _: None, on_exit=lambda: None
        )

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
            self._start()
        else:
            self._send()

    async def restart(self) -> None:
        if self._sockets:
            await self._child.stop(None, _EXIT_S)
            self._child.start()

    async def stop(self) -> None:
        """End the process."""
        self._stop_looking()
        await self._child.stop(None, _EXIT_S)

    async def close(self) -> None:
        """End the process, and close the sockets and the counters."""
        await self.stop()
        for sock in self._sockets.values():
            sock.close()
        self._sockets = {}
        self._close_counters()

    def _started(self) -> None:
        self._generation = 0
        self._show_news()  # first: no name is said to be unblocked only because there is no blockset yet
        self._send()

    def _send(self) -> None:
        if self._counters is None:
            return
        fds = [self._counters.fd, *(sock.fileno() for sock in self._sockets.values())]
        self._send_configured(self._child, ServePage(tuple(self._sockets), self._secret), fds)

    def _show_news(self) -> None:
        blockset = self._workers().blockset
        is_new = blockset.fd >= 0 and blockset.generation != self._generation
        if is_new and self._child.send(TakeBlockset(blockset.generation), [blockset.fd]):
            self._generation = blockset.generation
