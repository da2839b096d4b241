"""The process that answers: `python -m pdns.worker FD`, with its end of the control channel as FD.

It alone knows all the parts: listeners, service, forwarder, blocksets, counters. Whatever arrives on the channel is
done one thing after the other. It ends when drained, or at once when the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from pdns.blockset import CURRENT, Blockset, blocksets_directory
from pdns.config import Config
from pdns.control import Apply, Channel, Drain, Drained, Message, Ready, Refused, Transport, close_all, read_config
from pdns.counters import Counters
from pdns.errors import BlocksetError, ConfigError, PdnsError
from pdns.fast import ACCELERATED
from pdns.logs import log_to_stderr
from pdns.metrics import WORKER_GAUGES
from pdns.net.edge import BugLog
from pdns.net.tcp import TcpConnections, TcpLimits, TcpListener
from pdns.net.udp import UdpListener
from pdns.service import Service
from pdns.stats import HEARTBEAT, MISSING_FEED, Stats
from pdns.upstream.forwarder import Forwarder

if ACCELERATED:
    from pdns.fast.udp import UdpListener as CompiledUdpListener

_TICK_S: Final = 0.25
_PUBLISH_S: Final = 2.0
_BLOCKSET_RETRY_S: Final = 30.0
_FULL_COLLECTION_S: Final = 3600.0
_LINGER_S: Final = 0.25  # on an address that is given up: what arrives until its last holder lets go must not be lost
_LAST_READS: Final = 8  # of what had arrived before the end was near
_ANSWER_MARGIN_S: Final = 2.0  # TCP waits that much longer for an answer than upstreams are given
_PR_SET_PDEATHSIG: Final = 1

_log = logging.getLogger(__name__)


class Worker:
    """One loop, one service, and the sockets that feed it."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._channel = channel
        self._inbox: asyncio.Queue[tuple[Message, list[int]]] = asyncio.Queue()
        self._running: Running | None = None
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
                        self._channel.send(Refused(message.generation, str(error)))
                    else:
                        self._channel.send(Ready(message.generation))
                case Drain():
                    unanswered = 0 if self._running is None else await self._running.drain()
                    self._channel.send(Drained(unanswered))
                    return
                case _:
                    close_all(fds)

    def _heard(self, message: Message, fds: list[int]) -> None:
        self._inbox.put_nowait((message, fds))

    async def _apply(self, message: Apply, fds: list[int]) -> None:
        config_fd, counters_fd, *listener_fds = fds
        config = read_config(config_fd)
        os.close(config_fd)
        log_to_stderr("worker", config.log.level)
        sockets = {
            (listener.transport, listener.address): socket.socket(fileno=fd)
            for listener, fd in zip(message.listeners, listener_fds, strict=True)
        }
        try:
            if self._running is None:
                self._running = Running(config, Counters.attach(counters_fd, writable=True), self._loop)
                await self._running.begin(sockets)
                _settle_memory()
            else:
                os.close(counters_fd)
                await self._running.apply(config, sockets)
        finally:
            for sock in sockets.values():  # those that nobody took
                sock.close()


Sockets = dict[tuple[Transport, str], socket.socket]


class Running:
    """A worker that has a configuration."""

    def __init__(self, config: Config, counters: Counters, loop: asyncio.AbstractEventLoop) -> None:
        """Raises `PdnsError` when the configuration cannot be run by."""
        self._loop = loop
        self._config = config
        self._stats = Stats(counters)
        for family in WORKER_GAUGES:
            self._stats.forget(family)
        self._forwarder = Forwarder(config.upstream, loop, self._stats)
        self._retired: set[Forwarder] = set()
        self._service = Service(config, self._forwarder, self._stats, time.monotonic)
        self._stats.gauge("tcp_connections", 0)
        self._connections = TcpConnections(_tcp_limits(config), loop, self._stats)
        self._udp: dict[str, UdpListener] = {}
        self._tcp: dict[str, TcpListener] = {}
        self._blocksets = blocksets_directory(Path(config.state.dir))
        self._blockset_link = ""
        self._blockset_opening: asyncio.Future[None] | None = None
        self._blockset_again_s = 0.0
        self._publish_s = 0.0
        self._collect_s = loop.time() + _FULL_COLLECTION_S
        self._bugs = BugLog(loop.time)
        self._tick: asyncio.TimerHandle | None = None

    async def begin(self, sockets: Sockets) -> None:
        """Answer on `sockets`, by the blockset that is there already if one is."""
        self._housekeeping()
        if self._blockset_opening is not None:
            await self._blockset_opening
        self._tell_missing_feeds()
        await self._listen(sockets)

    async def apply(self, config: Config, sockets: Sockets) -> None:
        """Go on under `config`, on `sockets` alone. Raises `PdnsError` with nothing changed."""
        before = self._config
        if config.upstream != before.upstream:
            forwarder = Forwarder(config.upstream, self._loop, self._stats)
            self._retire(self._forwarder, before)
            self._forwarder = forwarder
        self._config = config
        self._service.apply(config, self._forwarder)
        self._connections.apply(_tcp_limits(config))
        self._tell_missing_feeds()
        await self._listen(sockets)

    async def drain(self) -> int:
        """Accept nothing more, and return when everybody has an answer or `drain_s` is over: how many have none."""
        until_s = self._loop.time() + self._config.server.drain_s
        for udp in self._udp.values():
            for _ in range(_LAST_READS):
                udp.read_now()
            udp.pause()
        for tcp in self._tcp.values():
            tcp.close()
        self._connections.drain()
        while self._service.in_flight() and self._loop.time() < until_s:  # noqa: ASYNC110 (once in a life; an event would cost each query)
            await asyncio.sleep(0.005)
        unanswered = self._service.in_flight()
        for forwarder in (self._forwarder, *self._retired):
            forwarder.close()  # who still waits is told so
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                await self._connections.drained()
        if self._tick is not None:
            self._tick.cancel()
        self._connections.close()
        for udp in self._udp.values():
            udp.close()
        return unanswered

    async def _listen(self, sockets: Sockets) -> None:
        """Listen on all of `sockets`, taking those that are new out of it, and on no other."""
        for address in [address for address in self._udp if ("udp", address) not in sockets]:
            self._loop.call_later(_LINGER_S, _let_go, self._udp.pop(address))
        for address in [address for address in self._tcp if ("tcp", address) not in sockets]:
            self._loop.call_later(_LINGER_S, self._tcp.pop(address).close)
        for transport, address in list(sockets):
            if transport == "udp" and address not in self._udp:
                self._udp[address] = self._udp_listener(sockets.pop((transport, address)))
            elif transport == "tcp" and address not in self._tcp:
                self._tcp[address] = TcpListener(sockets.pop((transport, address)), self._service, self._connections)
                await self._tcp[address].start()

    def _udp_listener(self, sock: socket.socket) -> UdpListener:
        if ACCELERATED:
            return CompiledUdpListener(sock, self._service, self._loop, self._stats, self._service.front)
        return UdpListener(sock, self._service, self._loop, self._stats)

    def _retire(self, forwarder: Forwarder, config: Config) -> None:
        """Let `forwarder` finish what it is at; its upstreams are no longer spoken of, but for those that stay."""
        self._retired.add(forwarder)

        def over() -> None:
            self._retired.discard(forwarder)
            forwarder.close()
            for server in config.upstream.servers:
                if server not in self._config.upstream.servers:
                    self._stats.forget("upstream_up", server)

        self._loop.call_later(config.upstream.timeout_s + 1.0, over)

    # A few times a second.

    def _housekeeping(self) -> None:
        self._tick = self._loop.call_later(_TICK_S, self._housekeeping)
        now = self._loop.time()
        self._stats.gauge(HEARTBEAT, time.monotonic_ns())
        try:
            self._look_for_blockset(now)
            self._service.tick(time.monotonic())
            if now >= self._publish_s:
                self._publish_s = now + _PUBLISH_S
                self._stats.publish_blocked_domains(now)
                for address, udp in self._udp.items():
                    self._stats.catch_up("dropped_total", udp.kernel_drops, address, "udp_receive_buffer_full")
            if now >= self._collect_s:
                self._collect_s = now + _FULL_COLLECTION_S
                gc.collect()
        except Exception as error:  # noqa: BLE001 (the next turn may do better; answers do not depend on it)
            self._bugs.caught(error, "housekeeping")

    def _look_for_blockset(self, now: float) -> None:
        """Map the current blockset if it is another one, in a thread: a disk may take its time."""
        if self._blockset_opening is not None:
            return
        try:
            link = os.readlink(self._blocksets / CURRENT)  # noqa: PTH115 (the text of the link is its version)
        except OSError:
            return
        if link != self._blockset_link or (self._blockset_again_s and now >= self._blockset_again_s):
            self._blockset_link, self._blockset_again_s = link, 0.0
            self._blockset_opening = asyncio.ensure_future(self._open_blockset(self._blocksets / link))

    async def _open_blockset(self, directory: Path) -> None:
        try:
            blockset = await self._loop.run_in_executor(None, lambda: Blockset.open(directory, verify=True))
        except (BlocksetError, OSError) as error:
            _log.error("%s: not used, the blockset before it stays: %s", directory, error)
            self._stats.add("blockset_rejected_total", 1)
            self._blockset_again_s = self._loop.time() + _BLOCKSET_RETRY_S
            return
        finally:
            self._blockset_opening = None
        self._service.set_blockset(blockset)
        self._stats.gauge("blockset_generation", blockset.generation)
        self._stats.gauge("blockset_entries", blockset.entries)
        self._tell_missing_feeds()
        _log.info("blockset %d is live: %s names, feeds: %d", blockset.generation, f"{blockset.entries:,}", len(blockset.feeds))

    def _tell_missing_feeds(self) -> None:
        self._stats.forget(MISSING_FEED)
        for name in () if self._service.ready else self._service.missing_feeds():
            self._stats.gauge(MISSING_FEED, 1, name)


def _let_go(udp: UdpListener) -> None:
    udp.read_now()
    udp.close()


def _tcp_limits(config: Config) -> TcpLimits:
    return TcpLimits.of(config.server, answer_deadline_s=config.upstream.timeout_s + _ANSWER_MARGIN_S)


def _settle_memory() -> None:
    """What is here now stays: the collector need not look at it again. A full collection walks the whole answer cache,
    which would make queries wait; it is run once an hour, the small ones as ever.
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 1_000_000)


def _leave_at_once() -> None:
    """Without a supervisor nobody would know of this process, and its sockets would be in the way of the next."""
    os._exit(1)


def _die_with_parent() -> None:
    """Even when hung: the channel says so only to who listens. Where that cannot be had, the channel must do."""
    with suppress(ImportError, OSError, AttributeError, MemoryError):
        import ctypes  # noqa: PLC0415 (not every Python has it)

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _new_loop() -> asyncio.AbstractEventLoop:
    if os.environ.get("PDNS_LOOP") != "asyncio":
        with suppress(ImportError):
            import uvloop  # noqa: PLC0415 (plain asyncio will do where it cannot be built)

            return uvloop.new_event_loop()
    return asyncio.new_event_loop()


async def _serve(channel: Channel) -> None:
    await Worker(channel, asyncio.get_running_loop()).run()


def main() -> None:
    """Run until told to leave. The number of the inherited control channel is the only argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor says what follows from it
    _die_with_parent()
    log_to_stderr("worker", "info")
    channel = Channel.from_fd(int(sys.argv[1]))
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(_serve(channel))


if __name__ == "__main__":
    main()
