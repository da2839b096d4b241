"""The events process: `python -m pdns.events FD`, with its end of the control channel as FD.

It reads what the workers note of blocked and monitored queries, and passes it on. No answer to a DNS query depends on it. It
writes only below `<state>/events` and where the configuration sends files. It ends when the channel does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from pdns.config.schema import Config
from pdns.config.written_paths import written_paths
from pdns.confinement.confine import confine_events, said
from pdns.confinement.priority import step_back
from pdns.events.runtime import EventsRuntime, events_directory
from pdns.files.safe_files import make_directory
from pdns.ipc.channel import Channel, close_all
from pdns.ipc.config_memfd import read_config
from pdns.ipc.messages import ForgetWorker, Forgotten, Message, ServeEvents, TakeBlockset, WatchWorker
from pdns.logs import log_to_stderr, open_standard_descriptors, standard_error
from pdns.telemetry.counters import Counters

MEMORY_BYTES: Final = 2 * 1024**3  # of its own; blocksets and the memories of workers are not counted
_LAST_MESSAGES_S: Final = 1.0
_log = logging.getLogger(__name__)

Received = tuple[Message, list[int]]


class EventsProcess:
    """One loop, and what the supervisor says to it."""

    def __init__(self, waiting: list[Received], send: Callable[[Message], object]) -> None:
        """`waiting`: messages that have arrived already; the last one is the first `ServeEvents`. `send` answers."""
        self._send = send
        self._inbox: asyncio.Queue[Received | None] = asyncio.Queue()  # None: there will be no more
        for received in waiting:
            self._inbox.put_nowait(received)
        self._runtime: EventsRuntime | None = None
        self._early: list[Received] = []  # received before there was a configuration

    def take(self, message: Message, fds: list[int]) -> None:
        """Note a message, to be carried out after those before it."""
        self._inbox.put_nowait((message, fds))

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Carry out messages until the last one."""
        while (received := await self._inbox.get()) is not None:
            message, fds = received
            if isinstance(message, ServeEvents) and len(fds) == 2:
                await self._serve(fds, tasks)
            elif self._runtime is None:
                self._early.append((message, fds))
            else:
                await self._carry_out(self._runtime, message, fds)

    def take_no_more(self) -> None:
        """`run` ends after what it was given."""
        self._inbox.put_nowait(None)

    async def stop(self) -> None:
        """Collect and deliver what can be within a second."""
        if self._runtime is not None:
            await self._runtime.stop()

    async def _carry_out(self, runtime: EventsRuntime, message: Message, fds: list[int]) -> None:
        match message:
            case WatchWorker() if len(fds) == 2 + len(message.memories):
                memories = dict(zip(message.memories, fds[2:], strict=True))
                runtime.read_from(fds[0], fds[1], memories, anew=message.anew)
                close_all([*memories.values()])
            case ForgetWorker(ring):
                runtime.forget(ring)
                self._send(Forgotten(ring))
            case TakeBlockset(generation) if fds:
                await runtime.take_blockset(generation, fds[0])
            case _:
                close_all(fds)

    async def _serve(self, fds: list[int], tasks: asyncio.TaskGroup) -> None:
        try:
            config = read_config(fds[0])
        except (OSError, msgspec.DecodeError):
            _log.exception("the configuration cannot be read; the one before stays in force")
            close_all(fds)
            return
        os.close(fds[0])
        log_to_stderr("events", config.log.level)
        if self._runtime is not None:
            os.close(fds[1])
            await self._runtime.configure(config)
            return
        self._runtime = EventsRuntime(config, Counters.attach(fds[1], writable=True), tasks.create_task)
        await self._runtime.configure(config)
        early, self._early = self._early, []
        for received in early:
            await self._carry_out(self._runtime, *received)
        tasks.create_task(self._runtime.run())


def main() -> None:
    """Run until told to stop."""
    open_standard_descriptors()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):  # they may reach the whole group; until all is set up, only
        # the end of the channel ends this process: what workers have noted is read first
        signal.signal(number, signal.SIG_IGN)
    step_back()
    standard_error().threaded = False  # until the process has given up what it does not need
    log_to_stderr("events", "info")
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
        if isinstance(message, ServeEvents) and fds:
            _confine(read_config(fds[0]))
            return waiting
    return None


def _confine(config: Config) -> None:
    directory = events_directory(Path(config.state.dir))
    with suppress(OSError):  # a disk that is full: what cannot be stored is counted
        make_directory(directory, 0o750)
    missing = confine_events(write=(directory, *written_paths(config)))
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    if missing:
        _log.info("not confined in every way: %s", said(missing))


async def _run(channel: Channel, waiting: list[Received]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    process = EventsProcess(waiting, channel.send)
    channel.attach(loop, process.take, stopping.set)
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(process.run(tasks))
        await stopping.wait()
        channel.read()
        process.take_no_more()
        await asyncio.wait([work], timeout=_LAST_MESSAGES_S)
        work.cancel()
        await process.stop()
        logging.shutdown()
        os._exit(0)


if __name__ == "__main__":
    main()
