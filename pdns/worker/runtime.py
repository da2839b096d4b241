"""What a worker is once it has a configuration: listeners, service, forwarder and blockset, put together and kept going."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from pdns.blockset.generations import CURRENT, blocksets_directory
from pdns.blockset.reader import Blockset
from pdns.clock import boottime_s, steady_s
from pdns.config.canary_targets import watched_servers
from pdns.config.groups import server_groups, upstream_servers
from pdns.config.schema import Config
from pdns.core.ruleset import RuleSet
from pdns.errors import BlocksetError, OtherFormatError
from pdns.ipc.encryption_secrets import EncryptionSecrets
from pdns.ipc.messages import FindCached, FoundCached
from pdns.logs import standard_error
from pdns.net.descriptors import client_descriptors, limit
from pdns.net.edge import BugLog
from pdns.net.encrypted_limits import EncryptedLimits
from pdns.net.listener import Listener
from pdns.net.tcp import MAX_ARRIVALS, TcpConnections, TcpListener
from pdns.net.tcp_limits import TcpLimits
from pdns.state.zone_changes import Sender
from pdns.telemetry.event_ring import EventRing
from pdns.telemetry.further_memories import ASKED, TAP, TUNNELS
from pdns.telemetry.metrics import WORKER_GAUGES
from pdns.telemetry.stats import HEARTBEAT, MISSING_FEED, Stats
from pdns.upstream.canaries import Canaries
from pdns.upstream.descriptors import reserve
from pdns.upstream.forwarder import Forwarder
from pdns.upstream.group import longest_s
from pdns.worker.cached_names import find
from pdns.worker.encrypted_serving import EncryptedServing, encrypted_limits
from pdns.worker.kernels import COMPILED
from pdns.worker.name_notes import NameNotes
from pdns.worker.parts import UdpListener
from pdns.worker.query_tapping import QueryTapping
from pdns.worker.service import Service
from pdns.worker.state_watch import StateWatch
from pdns.worker.tunnel_reporter import TunnelReporter

_TICK_S: Final = 0.25
_BLOCKSET_RETRY_S: Final = 30.0
_FULL_COLLECTION_S: Final = 3600.0
_LINGER_S: Final = 0.25  # on an address that is given up: what arrives until its last holder lets go must not be lost
_LAST_READS: Final = 8  # of what had arrived before the end was near
_ANSWER_MARGIN_S: Final = 2.0  # TCP waits that much longer for an answer than upstreams are given

_log = logging.getLogger(__name__)

Sockets = dict[Listener, socket.socket]


class Runtime:
    """One service, and the sockets that feed it. `config` is this worker's share of what all may take."""

    def __init__(
        self,
        config: Config,
        stats: Stats,
        loop: asyncio.AbstractEventLoop,
        *,
        arena_fd: int | None,
        cookie_secret: bytes = b"",
        limits: memoryview | None = None,
        finds_blocksets: bool = False,
        event_ring: EventRing | None = None,
        client_key: bytes = b"",
        secrets: EncryptionSecrets | None = None,
    ) -> None:
        """Without an arena answers are remembered nowhere else; without `limits` this worker counts a client's queries alone.
        Events are as in `Service`. `finds_blocksets`: it looks for them, for the supervisor does not hand them out.

        Raises `PdnsError` when the configuration cannot be run by.
        """
        self._loop = loop
        self._config = config
        self._stats = stats
        for family in WORKER_GAUGES:
            self._stats.forget(family)
        self._stats.name_tenants(tenant.name for tenant in config.tenant)
        self._forwarder = Forwarder(server_groups(config), loop, self._stats, COMPILED.upstream)
        self._canaries = Canaries(loop, self._stats)
        self._canaries.follow(self._forwarder, config.canaries, watched_servers(config))
        self._retired: set[Forwarder] = set()
        self._zone_changes = Sender(Path(config.state.dir))
        self._service = Service(
            RuleSet.of(config, now_s=steady_s()), self._forwarder, self._stats, boottime_s, COMPILED,
            arena_fd=arena_fd, cookie_secret=cookie_secret, limits=limits, zone_changed=self._zone_changes.tell,
            event_ring=event_ring, client_key=client_key,
        )  # fmt: skip
        self._names = NameNotes(self._service, self._stats)
        self._stats.gauge("tcp_connections", 0)
        self._tunnels = TunnelReporter(config, client_key)
        self._taps = QueryTapping(self._service.fast_path, config, stats, client_key)
        self._connections = TcpConnections(_tcp_limits(config), loop, self._stats)
        self._connections.trust(config.server.proxy_protocol_from)
        self._encrypted = EncryptedServing(self._service, loop, stats)
        self._encrypted.apply(config, _encrypted_limits(config), secrets)
        self._udp: dict[Listener, UdpListener] = {}
        self._covered: dict[int, list[UdpListener]] = {}  # worker that is away -> its sockets
        self._covered_before: set[UdpListener] = set()
        self._tcp: dict[Listener, TcpListener] = {}
        self._blocksets = blocksets_directory(Path(config.state.dir))
        self._finds_blocksets = finds_blocksets
        self._blockset_link = ""
        self._blockset_opening: asyncio.Future[None] | None = None
        self._blockset_again_s = 0.0
        self._changes = StateWatch(Path(config.state.dir), self._service, self._taps, stats)
        self._collect_s = loop.time() + _FULL_COLLECTION_S
        self._bugs = BugLog(loop.time)
        self._handed_over, self._has_arena = False, arena_fd is not None
        self._tick: asyncio.TimerHandle | None = None

    async def begin(self) -> None:
        """Have all that it takes to answer, by the blockset that is there already if one is."""
        self._housekeeping()
        await self._changes.taken_up()
        if self._blockset_opening is not None:
            await self._blockset_opening
        self._tell_missing_feeds()

    async def apply(self, config: Config, secrets: EncryptionSecrets | None = None) -> None:
        """Go on under `config`, with `secrets` if they are new. Raises `PdnsError` with nothing changed."""
        before = self._config
        self._encrypted.apply(config, _encrypted_limits(config), secrets)
        groups = server_groups(config)
        if groups != server_groups(before):
            forwarder = Forwarder(groups, self._loop, self._stats, COMPILED.upstream)
            forwarder.learn_from(self._forwarder)
            self._retire(self._forwarder, before)
            self._forwarder = forwarder
        if groups != server_groups(before) or config.canaries != before.canaries:
            self._canaries.follow(self._forwarder, config.canaries, watched_servers(config))
        self._config = config
        self._tunnels.configure(config)
        self._taps.configure(config)
        self._stats.name_tenants(tenant.name for tenant in config.tenant)
        if config.events.enabled is not before.events.enabled:
            self._service.finish(boottime_s())  # repeats of the time before are not mixed with those of the time after
        self._service.adopt(self._service.rules.with_config(config, steady_s()), self._forwarder)
        self._connections.apply(_tcp_limits(config))
        self._connections.trust(config.server.proxy_protocol_from)
        for udp in self._all_udp():
            udp.trust(config.server.proxy_protocol_from)
        self._tell_missing_feeds()

    def take_arena(self, fd: int) -> None:
        """Remember answers there, from now on."""
        self._service.take_arena(fd)
        self._has_arena = True

    def take_memories(self, memories: dict[str, int]) -> None:
        """Use these memories of `pdns.telemetry.further_memories` from now on, and no others. Those used are taken out."""
        self._names.take(memories.pop(ASKED, None), steady_s())
        self._taps.take(memories.pop(TAP, None))
        self._tunnels.close()
        if TUNNELS in memories and self._tunnels.use(memories[TUNNELS]):
            del memories[TUNNELS]

    def take_secrets(self, secrets: EncryptionSecrets) -> None:
        """As `EncryptedServing.take_secrets`."""
        self._encrypted.take_secrets(secrets)

    def take_relay(self, sock: socket.socket) -> None:
        """Answer the quic process behind `sock`."""
        self._encrypted.relays.add(sock)

    def cover(self, worker: int, sockets: Iterable[socket.socket]) -> None:
        """Read these sockets of another worker as well, and no others of it."""
        for udp in self._covered.pop(worker, ()):
            udp.pause()
            self._covered_before.add(udp)  # what came that way is answered that way
            self._loop.call_later(longest_s(server_groups(self._config)) + 1.0, self._forget, udp)
        if covered := [self._udp_listener(sock) for sock in sockets]:
            self._covered[worker] = covered

    async def find_cached(self, wanted: FindCached) -> FoundCached:
        """What is cached of a name; nothing when another process has the cache."""
        if self._handed_over or not self._has_arena:
            return FoundCached(wanted.number, False)
        return await find(self._service.cache, wanted, boottime_s())

    def hand_over(self) -> None:
        """Read nothing more, and leave the arena to another. What is in flight is still answered; then `drain`."""
        for udp in self._all_udp():
            udp.pause()
        for tcp in self._tcp.values():
            tcp.close()
        self._encrypted.stop_accepting()
        self._service.let_go_of_arena()
        self._canaries.close()
        self._handed_over = True

    async def drain(self) -> int:
        """Accept nothing more, and return when everybody has an answer or `drain_s` is over: how many have none."""
        until_s = self._loop.time() + self._config.server.drain_s
        for udp in self._all_udp():
            for _ in range(0 if self._handed_over else _LAST_READS):
                udp.read_now()
            udp.pause()
        for tcp in () if self._handed_over else self._tcp.values():
            tcp.close()
        self._encrypted.stop_accepting()
        self._connections.drain()
        self._encrypted.drain()
        self._canaries.close()
        while self._service.in_flight() and self._loop.time() < until_s:  # noqa: ASYNC110 (once in a life; an event would cost each query)
            await asyncio.sleep(0.005)
        unanswered = self._service.in_flight()
        self._service.finish(boottime_s())
        for forwarder in (self._forwarder, *self._retired):
            forwarder.close()  # who still waits is told so
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                await self._connections.drained()
                await self._encrypted.drained()
        if self._tick is not None:
            self._tick.cancel()
        self._connections.close()
        self._encrypted.close()
        self._zone_changes.close()
        for udp in (*self._all_udp(), *self._covered_before):
            udp.close()
        return unanswered

    def listen(self, sockets: Sockets, sections: Mapping[Listener, int]) -> None:
        """Listen on all of `sockets`, taking those that are new out of it, and on no other. `sections`: of encrypted ones."""
        self._encrypted.listen(sockets, sections)
        for listener in self._udp.keys() - sockets.keys():
            self._loop.call_later(_LINGER_S, _let_go, self._udp.pop(listener))
        for listener in self._tcp.keys() - sockets.keys():
            self._loop.call_later(_LINGER_S, self._tcp.pop(listener).close)
        for listener in [one for one in sockets if one not in self._udp and one not in self._tcp and one not in sections]:
            if listener.transport.is_stream:
                self._tcp[listener] = TcpListener(sockets.pop(listener), self._service, self._connections)
                self._tcp[listener].start()
            else:
                self._udp[listener] = self._udp_listener(sockets.pop(listener))

    def _udp_listener(self, sock: socket.socket) -> UdpListener:
        udp = COMPILED.udp_listener(sock, self._service, self._loop, self._stats, self._service.fast_path)
        udp.trust(self._config.server.proxy_protocol_from)
        return udp

    def _all_udp(self) -> list[UdpListener]:
        return [*self._udp.values(), *(udp for covered in self._covered.values() for udp in covered)]

    def _forget(self, udp: UdpListener) -> None:
        self._covered_before.discard(udp)
        udp.close()

    def _retire(self, forwarder: Forwarder, config: Config) -> None:
        """Let `forwarder` finish what it is at; its upstreams are no longer spoken of, but for those that stay."""
        self._retired.add(forwarder)

        def over() -> None:
            self._retired.discard(forwarder)
            forwarder.close()
            for server in set(upstream_servers(config)).difference(upstream_servers(self._config)):
                self._stats.forget("upstream_up", server)
                self._stats.forget("upstream_useful", server)
            for group in server_groups(config).keys() - server_groups(self._config).keys():
                self._stats.forget("group_up", group)

        self._loop.call_later(longest_s(server_groups(config)) + 1.0, over)

    # A few times a second.

    def _housekeeping(self) -> None:
        self._tick = self._loop.call_later(_TICK_S, self._housekeeping)
        now = self._loop.time()
        self._stats.gauge(HEARTBEAT, time.monotonic_ns())
        if dropped := standard_error().newly_dropped():
            self._stats.add("log_lines_dropped_total", dropped, "worker")
        try:
            self._look_for_blockset(now)
            self._changes.look()
            if not self._service.rules.hold_at(wall_s := steady_s()):
                self._service.adopt(self._service.rules.at(wall_s))
            self._names.tick(wall_s)
            self._service.tick(boottime_s())
            self._tunnels.tell(self._service.tunnels.take(boottime_s()))
            if now >= self._collect_s:
                self._collect_s = now + _FULL_COLLECTION_S
                gc.collect()
        except Exception as error:  # noqa: BLE001 (the next turn may do better; answers do not depend on it)
            self._bugs.caught(error, "housekeeping")

    def _look_for_blockset(self, now: float) -> None:
        """Under a supervisor of an earlier version: take up the current blockset if it is another one, in a thread."""
        if not self._finds_blocksets or self._blockset_opening is not None:
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
            blockset = await self._loop.run_in_executor(None, lambda: Blockset.open(directory))
        except (BlocksetError, OSError) as error:
            _log.error("%s: not used, the blockset before it stays: %s", directory, error)
            self._stats.add("blockset_rejected_total", 1)
            self._blockset_again_s = self._loop.time() + _BLOCKSET_RETRY_S
            return
        finally:
            self._blockset_opening = None
        self._decide_by(blockset)

    async def take_blockset(self, generation: int, fd: int, *, needed: bool = False) -> None:
        """Decide by the blockset behind `fd`, which is owned from here on.

        Raises `OtherFormatError` when it is `needed` and another version of the program made it.
        """
        try:
            blockset = await self._loop.run_in_executor(None, Blockset.map, fd, self._blocksets / str(generation))
        except OtherFormatError as error:  # the program on the disk is another version by now
            if needed:
                raise
            _log.warning("blockset %d: not used, the one before it stays: %s", generation, error)
            return
        except BlocksetError as error:
            _log.error("blockset %d: not used, the one before it stays: %s", generation, error)
            self._stats.add("blockset_rejected_total", 1)
            return
        finally:
            os.close(fd)
        self._decide_by(blockset)

    def _decide_by(self, blockset: Blockset) -> None:
        self._service.adopt(self._service.rules.with_blockset(blockset))
        self._stats.gauge("blockset_generation", blockset.generation)
        self._stats.gauge("blockset_entries", blockset.entries)
        self._tell_missing_feeds()
        _log.info("blockset %d is live: %s names, feeds: %d", blockset.generation, f"{blockset.entries:,}", len(blockset.feeds))

    def _tell_missing_feeds(self) -> None:
        self._stats.forget(MISSING_FEED)
        for name in () if self._service.rules.ready else self._service.rules.missing:
            self._stats.gauge(MISSING_FEED, 1, name)


def _let_go(udp: UdpListener) -> None:
    udp.read_now()
    udp.close()


def _tcp_limits(config: Config) -> TcpLimits:
    limits = TcpLimits.of(config.server, answer_deadline_s=_answer_deadline_s(config))
    return limits._replace(max_connections=min(limits.max_connections, _for_clients(config)))


def _encrypted_limits(config: Config) -> EncryptedLimits:
    left = _for_clients(config) - _tcp_limits(config).max_connections
    return encrypted_limits(config, answer_deadline_s=_answer_deadline_s(config), descriptors=left)


def _answer_deadline_s(config: Config) -> float:
    return longest_s(server_groups(config)) + _ANSWER_MARGIN_S


def _for_clients(config: Config) -> int:
    may_open = limit()
    return client_descriptors(may_open, reserve(len(upstream_servers(config)), may_open) + MAX_ARRIVALS)
