"""What the page process does between messages: it keeps servers, rules and reports up to date."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from pathlib import Path
from typing import Final

from pdns.blockset.annotations import Annotations, annotations_of
from pdns.blockset.generations import blocksets_directory
from pdns.blockset.reader import Blockset
from pdns.clock import steady_s
from pdns.config.schema import Config
from pdns.errors import BlocksetError
from pdns.files.records import DamagedError
from pdns.net.listener import close_sockets
from pdns.page.lookup import Lookup
from pdns.page.report_queue import ReportQueue
from pdns.page.server import BlockPages, BlockPageServer
from pdns.state.overrides import OverridesWatch
from pdns.telemetry.counters import Counters

_LOOK_S: Final = 0.25
_log = logging.getLogger(__name__)


class PageRuntime:
    """One for the process. `state.dir` does not change."""

    def __init__(self, config: Config, counters: Counters, secret: bytes) -> None:
        self._state_dir = Path(config.state.dir)
        self._counters = counters
        self._lookup = Lookup(config, steady_s())
        self._queue = ReportQueue(self._state_dir, config.block_page.max_reports)
        self._overrides = OverridesWatch(self._state_dir)
        self._pages = BlockPages(config, self._lookup, self._queue, counters, secret)
        self._most = config.block_page.max_connections
        self._servers: dict[str, BlockPageServer] = {}

    async def run(self) -> None:
        """Look for changes of files until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.look()

    async def serve(self, config: Config, sockets: dict[str, socket.socket]) -> None:
        """Go by `config`, at these sockets, by their endpoints, and no others."""
        if config.block_page.max_connections != self._most:
            self._most = config.block_page.max_connections
            await self._close(set(self._servers))
        self._pages.configure(config)
        await self._close(set(self._servers) - set(sockets))
        for endpoint, sock in sockets.items():
            if endpoint in self._servers:
                close_sockets([sock])  # another descriptor of the socket that is served
                continue
            server = self._servers[endpoint] = BlockPageServer(self._pages, self._most)
            address = sock.getsockname()[:2]
            await server.serve(sock)
            _log.info("the block page is served at %s port %d", *address)

    async def take_blockset(self, generation: int, fd: int) -> None:
        """Decide by the blockset behind `fd`, which is owned from here on."""
        directory = blocksets_directory(self._state_dir) / str(generation)

        def read() -> tuple[Blockset, Annotations | None]:
            blockset = Blockset.map(fd, directory)
            return blockset, annotations_of(blockset)

        try:
            self._lookup.take_blockset(*await asyncio.to_thread(read))
        except BlocksetError as error:
            _log.error("blockset %d: not used, the one before it stays: %s", generation, error)
        finally:
            os.close(fd)

    async def look(self) -> None:
        """Take up new local entries and closed reports. Never raises."""
        now_s = steady_s()
        self._lookup.tick(now_s)
        if self._overrides.is_due(now_s):
            try:
                self._lookup.take_local(await asyncio.to_thread(self._overrides.load, now_s))
            except (OSError, DamagedError) as error:
                _log.warning("the local entries cannot be read, those before stay: %s", error)
        self._queue.take_closings()
        self._counters.values[self._counters.slot("open_reports")] = len(self._queue)
        dropped = sum(server.dropped for server in self._servers.values())
        self._counters.values[self._counters.slot("block_page_connections_dropped_total")] = dropped

    async def _close(self, endpoints: set[str]) -> None:
        for endpoint in endpoints:
            await self._servers.pop(endpoint).close()
