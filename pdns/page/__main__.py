"""The page process: `python -m pdns.page FD`, with its end of the control channel as FD.

It answers HTTP at the sinkhole address, for every infected client, so it may do less than any other process that clients reach:
it binds nothing, and writes only `<state>/reports`. No answer to a DNS query depends on it. It ends when the channel does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from pdns.confinement.confine import confine_page, said
from pdns.confinement.priority import step_back
from pdns.files.safe_files import make_directory
from pdns.ipc.channel import Channel, close_all
from pdns.ipc.config_memfd import read_config
from pdns.ipc.messages import Message, ServePage, TakeBlockset
from pdns.logs import log_to_stderr, open_standard_descriptors, standard_error
from pdns.page.runtime import PageRuntime
from pdns.state.reports import DIRECTORY
from pdns.telemetry.counters import Counters

MEMORY_BYTES: Final = 2 * 1024**3  # of its own; blocksets are not counted
_log = logging.getLogger(__name__)

Received = tuple[Message, list[int]]


class PageProcess:
    """One loop, and what the supervisor says to it."""

    def __init__(self, waiting: list[Received]) -> None:
        """`waiting`: messages that have arrived already; the last one is the first `ServePage`."""
        self._inbox: asyncio.Queue[Received] = asyncio.Queue()
        for received in waiting:
            self._inbox.put_nowait(received)
        self._runtime: PageRuntime | None = None
        self._blockset: tuple[int, int] | None = None  # received before there was a configuration

    def take(self, message: Message, fds: list[int]) -> None:
        """Note a message, to be carried out after those before it."""
        self._inbox.put_nowait((message, fds))

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Carry out messages until cancelled."""
        while True:
            message, fds = await self._inbox.get()
            if isinstance(message, TakeBlockset) and fds:
                await self._take_blockset(message.generation, fds[0])
            elif isinstance(message, ServePage) and len(fds) == 2 + len(message.listen):
                await self._serve(message, fds, tasks)
            else:
                close_all(fds)

    async def _take_blockset(self, generation: int, fd: int) -> None:
        if self._runtime is not None:
            await self._runtime.take_blockset(generation, fd)
            return
        if self._blockset is not None:
            os.close(self._blockset[1])
        self._blockset = generation, fd

    async def _serve(self, message: ServePage, fds: list[int], tasks: asyncio.TaskGroup) -> None:
        try:
            config = read_config(fds[0])
        except (OSError, msgspec.DecodeError):
            _log.exception("the configuration cannot be read; the one before stays in force")
            close_all(fds)
            return
        os.close(fds[0])
        log_to_stderr("page", config.log.level)
        sockets = {endpoint: socket.socket(fileno=fd) for endpoint, fd in zip(message.listen, fds[2:], strict=True)}
        if self._runtime is not None:
            os.close(fds[1])
            await self._runtime.serve(config, sockets)
            return
        self._runtime = PageRuntime(config, Counters.attach(fds[1], writable=True), bytes.fromhex(message.secret))
        if self._blockset is not None:
            await self._runtime.take_blockset(*self._blockset)
        await self._runtime.look()
        await self._runtime.serve(config, sockets)
        tasks.create_task(self._runtime.run())


def main() -> None:
    """Run until told to stop."""
    open_standard_descriptors()
    for number in (signal.SIGINT, signal.SIGHUP):  # they reach the whole group; the supervisor decides
        signal.signal(number, signal.SIG_IGN)
    step_back()
    standard_error().threaded = False  # until the process has given up what it does not need
    log_to_stderr("page", "info")
    channel = Channel.from_fd(int(sys.argv[1]))
    if (waiting := _first_messages(channel)) is not None:
        standard_error().threaded = True
        asyncio.run(_run(channel, waiting))
    logging.shutdown()
    os._exit(0)


def _first_messages(channel: Channel) -> list[Received] | None:
    """The messages up to the first configuration, after which this process is confined; None when the supervisor is gone."""
    waiting: list[Received] = []
    while (received := channel.wait()) is not None:
        waiting.append(received)
        message, fds = received
        if isinstance(message, ServePage) and fds:
            _confine(Path(read_config(fds[0]).state.dir))
            return waiting
    return None


def _confine(state_dir: Path) -> None:
    with suppress(OSError):  # a disk that is full: reports are refused then
        make_directory(state_dir / DIRECTORY, 0o750)
    missing = confine_page(write=state_dir / DIRECTORY, read=state_dir)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    if missing:
        _log.info("not confined in every way: %s", said(missing))


async def _run(channel: Channel, waiting: list[Received]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    process = PageProcess(waiting)
    channel.attach(loop, process.take, _leave_at_once)
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(process.run(tasks))
        await stopping.wait()
        work.cancel()
        _leave_at_once()


def _leave_at_once() -> None:
    """Without a supervisor this process would be unknown. Reports are on the disk before they are confirmed."""
    os._exit(0)


if __name__ == "__main__":
    main()
