"""The quic process: `python -m pdns.quic FD`, with its end of the control channel as FD.

It speaks QUIC with clients, and hands their queries to the workers. It does no less and no more than a network would: it decides
nothing about names, opens no socket and no file. It ends when the channel does.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from typing import Final

import msgspec

from pdns.config.schema import Config
from pdns.confinement.confine import confine_quic, said
from pdns.confinement.priority import come_after_workers
from pdns.ipc import encryption_secrets
from pdns.ipc.channel import Channel, close_all
from pdns.ipc.config_memfd import read_config
from pdns.ipc.messages import (
    Drain,
    Drained,
    Message,
    QuicBegin,
    QuicHandOver,
    QuicReady,
    RelayEnded,
    RelayTo,
    ServeQuic,
    TakeSecrets,
)
from pdns.logs import log_to_stderr, open_standard_descriptors
from pdns.net.event_loop import new_event_loop
from pdns.telemetry.counters import Counters

try:
    from pdns.quic.runtime import QuicRuntime

    MISSING = ""
except ModuleNotFoundError as error:  # what the extra brings
    MISSING = str(error.name)

MEMORY_BYTES: Final = 1024**3
_log = logging.getLogger(__name__)


class QuicProcess:
    """One loop, and what the supervisor says to it."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        self._channel, self._loop = channel, loop
        self._inbox: asyncio.Queue[tuple[Message, list[int]]] = asyncio.Queue()
        self._runtime: QuicRuntime | None = None
        self._secrets: encryption_secrets.EncryptionSecrets | None = None
        self._told_ready = False
        self._drain_s = 0.0
        channel.attach(loop, self._heard, _leave_at_once)
        loop.add_signal_handler(signal.SIGTERM, self._heard, Drain(), [])

    async def run(self) -> None:
        """Do what the supervisor says until that is to leave."""
        while True:
            message, fds = await self._inbox.get()
            runtime = self._runtime
            match message:
                case ServeQuic() if len(fds) == 2 + len(message.listen):
                    self._serve(message, fds)
                case TakeSecrets(_, with_next) if len(fds) == 1:
                    self._take_secrets(fds[0], with_next=with_next)
                case RelayTo(worker) if runtime is not None and len(fds) == 1:
                    runtime.link(worker, socket.socket(fileno=fds[0]))
                case QuicBegin(before) if runtime is not None and len(fds) <= 1:
                    runtime.begin(before, socket.socket(fileno=fds[0]) if fds else None)
                case QuicHandOver() if runtime is not None and len(fds) == 1:
                    runtime.hand_over(socket.socket(fileno=fds[0]), self._finish)
                case QuicHandOver() if runtime is not None:
                    runtime.end()
                    return
                case Drain():
                    unanswered = 0 if runtime is None else await runtime.drain(self._drain_s)
                    self._channel.send(Drained(unanswered))
                    return
                case _:
                    close_all(fds)

    def _relay_ended(self, worker: int) -> None:
        self._channel.send(RelayEnded(worker))

    def _finish(self) -> None:
        self._heard(QuicHandOver(), [])

    def _heard(self, message: Message, fds: list[int]) -> None:
        self._inbox.put_nowait((message, fds))

    def _serve(self, message: ServeQuic, fds: list[int]) -> None:
        config = _config_in(fds[0])
        if config is None:
            close_all(fds[1:])
            return
        self._drain_s = config.server.drain_s
        sockets = [socket.socket(fileno=fd) for fd in fds[2:]]
        if self._runtime is None:
            counters = Counters.attach(fds[1], writable=True)
            self._runtime = QuicRuntime(self._loop, config, message, counters, self._relay_ended)
        else:
            os.close(fds[1])
        secrets, self._secrets = self._secrets, None
        self._runtime.serve(config, message, sockets, secrets)
        self._tell_ready()

    def _take_secrets(self, fd: int, *, with_next: bool) -> None:
        try:
            secrets = encryption_secrets.decode(os.pread(fd, os.fstat(fd).st_size, 0))
        except (OSError, msgspec.DecodeError) as error:
            _log.error("certificates cannot be read, those before stay in use: %s", error)
            return
        finally:
            os.close(fd)
        if with_next or self._runtime is None:
            self._secrets = secrets
        else:
            self._runtime.take_secrets(secrets)
            self._tell_ready()

    def _tell_ready(self) -> None:
        if not self._told_ready and self._runtime is not None and self._runtime.is_ready:
            self._told_ready = True
            gc.collect()
            gc.freeze()
            self._channel.send(QuicReady())


def _config_in(fd: int) -> Config | None:
    try:
        config = read_config(fd)
    except (OSError, msgspec.DecodeError):
        _log.exception("the configuration cannot be read; the one before stays in force")
        return None
    finally:
        os.close(fd)
    log_to_stderr("quic", config.log.level)
    return config


def _leave_at_once() -> None:
    """Without a supervisor this process would be unknown, and its sockets would block the next one."""
    os._exit(1)


async def _run(channel: Channel) -> None:
    await QuicProcess(channel, asyncio.get_running_loop()).run()


def main() -> None:
    """Run until told to leave."""
    open_standard_descriptors()
    for number in (signal.SIGINT, signal.SIGHUP):  # they reach the whole group; the supervisor decides
        signal.signal(number, signal.SIG_IGN)
    come_after_workers()
    missing = confine_quic()  # before there is any thread
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    log_to_stderr("quic", "info")
    if MISSING:
        _log.error("QUIC needs a library that is not installed (%s): pip install 'protective-dns[quic]'", MISSING)
        logging.shutdown()
        os._exit(1)
    if missing:
        _log.info("not confined in every way: %s", said(missing))
    channel = Channel.from_fd(int(sys.argv[1]))
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_run(channel))
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
