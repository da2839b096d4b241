"""The process that answers: `python -m pdns.worker FD`, with its end of the control channel as FD.

Whatever arrives on the channel is done one thing after the other. It ends when drained, or at once when the supervisor
is gone.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Final

import msgspec

from pdns.config.addresses import parse_endpoint
from pdns.config.per_worker import share_of
from pdns.config.schema import Config
from pdns.confinement.confine import confine_worker, said
from pdns.confinement.priority import take_short_turns
from pdns.errors import ConfigError, OtherFormatError, PdnsError
from pdns.ipc.channel import Channel, close_all
from pdns.ipc.config_memfd import read_config
from pdns.ipc.encryption_secrets import EncryptionSecrets, read_secrets
from pdns.ipc.messages import (
    Apply,
    Cover,
    Drain,
    Drained,
    FindCached,
    FoundCached,
    HandedOver,
    HandOver,
    Message,
    Ready,
    Refused,
    TakeBlockset,
    TakeMemories,
    TakeRelay,
    TakeSecrets,
)
from pdns.logs import log_to_stderr, open_standard_descriptors
from pdns.net.event_loop import new_event_loop
from pdns.net.listener import Listener, close_sockets
from pdns.telemetry.counters import Counters
from pdns.telemetry.event_ring import EventRing
from pdns.telemetry.stats import Stats
from pdns.telemetry.worker_memory import map_limits
from pdns.worker.runtime import Runtime, Sockets

_PR_SET_PDEATHSIG: Final = 1

_log = logging.getLogger(__name__)


class Worker:
    """One loop, and what the supervisor says to it."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._channel = channel
        self._inbox: asyncio.Queue[tuple[Message, list[int]]] = asyncio.Queue()
        self._running: Runtime | None = None
        self._arena = 0
        self._finds_blocksets = False
        self._memories: dict[str, int] = {}  # for the next `Apply`
        self._secrets: EncryptionSecrets | None = None  # for the next `Apply`
        self._blockset: tuple[int, int, bool] | None = None  # what was given before `Apply`: generation, descriptor, needed
        channel.attach(loop, self._heard, _leave_at_once)
        loop.add_signal_handler(signal.SIGTERM, self._heard, Drain(), [])

    async def run(self) -> None:
        """Do what the supervisor says until that is to leave."""
        while True:
            message, fds = await self._inbox.get()
            match message:
                case Apply():
                    try:
                        await self._apply(message, fds)
                    except ConfigError as error:
                        reason = str(ConfigError(message.config_file, error.key, error.reason))
                        self._channel.send(Refused(message.generation, reason))
                    except PdnsError as error:
                        self._channel.send(Refused(message.generation, str(error), isinstance(error, OtherFormatError)))
                    else:
                        self._channel.send(Ready(message.generation))
                case Cover(worker, _):
                    sockets = [socket.socket(fileno=fd) for fd in fds]
                    if self._running is None:
                        close_sockets(sockets)
                    else:
                        self._running.cover(worker, sockets)
                case TakeBlockset(generation, needed):
                    await self._take_blockset(generation, fds[0], needed)
                case TakeMemories(names):
                    close_all([*self._memories.values()])
                    self._memories = dict(zip(names, fds, strict=True))
                case TakeRelay():
                    if self._running is None:
                        close_all(fds)
                    else:
                        self._running.take_relay(socket.socket(fileno=fds[0]))
                case TakeSecrets(_, with_next):
                    self._take_secrets(fds[0], with_next)
                case FindCached():
                    nothing = FoundCached(message.number, False)
                    self._channel.send(nothing if self._running is None else await self._running.find_cached(message))
                case HandOver():
                    if self._running is not None:
                        self._running.hand_over()
                    self._channel.send(HandedOver())
                case Drain():
                    unanswered = 0 if self._running is None else await self._running.drain()
                    self._channel.send(Drained(unanswered))
                    return
                case _:
                    close_all(fds)

    def _heard(self, message: Message, fds: list[int]) -> None:
        self._inbox.put_nowait((message, fds))

    async def _apply(self, message: Apply, fds: list[int]) -> None:
        config_fd, counters_fd, event_ring_fd, *others = fds
        arena_fd = others.pop(0) if message.arena else None
        limits_fd = others.pop(0) if message.limits else None
        try:
            config = share_of(read_config(config_fd), message.workers)
        except msgspec.DecodeError as exc:
            raise PdnsError(f"the supervisor is of another version, and its configuration is not understood: {exc}") from None
        finally:
            os.close(config_fd)
        log_to_stderr(f"worker{message.index}", config.log.level)
        sockets: Sockets = {
            Listener(told.transport, parse_endpoint(told.address)): socket.socket(fileno=fd)
            for told, fd in zip(message.listeners, others, strict=True)
        }
        sections = {one: told.section for one, told in zip(sockets, message.listeners, strict=True) if told.section >= 0}
        secrets, self._secrets = self._secrets, None
        try:
            if self._running is None:
                self._finds_blocksets = not message.blocksets
                await self._begin(config, message, counters_fd, event_ring_fd, arena_fd, _limits_in(limits_fd), secrets)
            else:
                close_all((counters_fd, event_ring_fd))
                await self._go_on(self._running, config, message.arena, arena_fd, secrets)
            self._arena = message.arena
            if self._running is not None:
                self._give_memories(self._running)
                self._running.listen(sockets, sections)
        finally:
            close_sockets(sockets.values())  # those that were not used
            if limits_fd is not None:
                os.close(limits_fd)

    async def _begin(
        self,
        config: Config,
        message: Apply,
        counters_fd: int,
        event_ring_fd: int,
        arena_fd: int | None,
        limits: memoryview | None,
        secrets: EncryptionSecrets | None,
    ) -> None:
        self._running = Runtime(
            config, Stats(Counters.attach(counters_fd, writable=True)), self._loop, arena_fd=arena_fd,
            cookie_secret=bytes.fromhex(message.cookie_secret), limits=limits, finds_blocksets=self._finds_blocksets,
            event_ring=_event_ring_in(event_ring_fd), client_key=bytes.fromhex(message.client_key),
            secrets=secrets,
        )  # fmt: skip
        if self._blockset is not None:
            generation, fd, needed = self._blockset
            self._blockset = None
            await self._running.take_blockset(generation, fd, needed=needed)
        await self._running.begin()
        _settle_memory()

    def _give_memories(self, running: Runtime) -> None:
        memories, self._memories = self._memories, {}
        running.take_memories(memories)
        close_all([*memories.values()])  # those that it has not taken

    def _take_secrets(self, fd: int, with_next: bool) -> None:
        try:
            secrets = read_secrets(fd)
        except msgspec.DecodeError as error:
            _log.error("certificates are not taken over, the supervisor is of another version: %s", error)
            return
        finally:
            os.close(fd)
        if with_next or self._running is None:
            self._secrets = secrets
        else:
            self._running.take_secrets(secrets)

    async def _take_blockset(self, generation: int, fd: int, needed: bool) -> None:
        if self._running is not None:
            await self._running.take_blockset(generation, fd)
            return
        if self._blockset is not None:
            os.close(self._blockset[1])
        self._blockset = generation, fd, needed

    async def _go_on(
        self, running: Runtime, config: Config, arena: int, arena_fd: int | None, secrets: EncryptionSecrets | None
    ) -> None:
        try:
            await running.apply(config, secrets)
            if arena_fd is not None and arena != self._arena:
                running.take_arena(arena_fd)
                arena_fd = None
        finally:
            if arena_fd is not None:
                os.close(arena_fd)


def _limits_in(fd: int | None) -> memoryview | None:
    """The memory of the rate limits; None when there is none, or it is that of another version: then this worker counts alone."""
    try:
        return None if fd is None else map_limits(fd)
    except ValueError as error:
        _log.warning("rate limits are not shared until a restart: %s", error)
        return None


def _event_ring_in(fd: int) -> EventRing | None:
    """The memory for events; None when the supervisor is of an earlier version, which has another one."""
    try:
        return EventRing.attach(fd)
    except ValueError as error:
        _log.warning("blocked names are counted, but neither listed nor recorded until a restart: %s", error)
        return None


def _settle_memory() -> None:
    """What is here now stays: the collector need not look at it again. A full collection walks the whole answer cache,
    which would make queries wait; it is run once an hour, the small ones as ever.
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 1_000_000)


def _leave_at_once() -> None:
    """Without a supervisor this process would be unknown, and its sockets would block the next one."""
    os._exit(1)


def _die_with_parent() -> None:
    """Even when hung: the channel says so only to who listens. Where that cannot be had, the channel must do."""
    with suppress(ImportError, OSError, AttributeError, MemoryError):
        import ctypes  # noqa: PLC0415 (not every Python has it)

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def _serve(channel: Channel) -> None:
    await Worker(channel, asyncio.get_running_loop()).run()


def main() -> None:
    """Run until told to leave. The number of the inherited control channel is the only argument."""
    open_standard_descriptors()
    for number in (signal.SIGINT, signal.SIGHUP):  # Ctrl-C and a closed terminal reach the whole group; the supervisor decides
        signal.signal(number, signal.SIG_IGN)
    _die_with_parent()
    take_short_turns()
    missing = confine_worker()  # before there is any thread
    log_to_stderr("worker", "info")
    if missing:
        _log.info("not confined in every way: %s", said(missing))
    channel = Channel.from_fd(int(sys.argv[1]))
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(channel))


if __name__ == "__main__":
    main()
