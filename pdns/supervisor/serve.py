"""The main process of `pdns serve`: it owns configuration, sockets and children, and answers no DNS itself.

Order of start; the banner is printed once clients are answered:
  configuration - lock of the state directory - every socket - the workers' memory - workers, pages - feeds - banner.

Order of shutdown (SIGTERM, SIGINT), so that no accepted query is lost; at most `drain_s` and ten seconds:
  our copies of the sockets - the workers, after they have answered queries in flight - feeds - pages - events - lock.
  A second SIGINT ends everything at once.

SIGHUP, or a change of the file, loads a new configuration as a whole or not at all. If the terminal that started the server was
closed, SIGHUP acts as SIGTERM. SIGUSR2 replaces the children one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from pdns.config.addresses import Endpoint
from pdns.config.per_worker import worker_count
from pdns.config.schema import Config
from pdns.config.watch import Loaded, load_version
from pdns.config.written_paths import fleet_paths, written_paths
from pdns.confinement.confine import MEASURES, Missing, confine_supervisor
from pdns.errors import PdnsError
from pdns.ipc.messages import Configure
from pdns.logs import log_to_stderr, standard_error
from pdns.net.descriptors import RESERVE
from pdns.state import live_config
from pdns.state.client_key import client_key
from pdns.state.lock import StateDirectory
from pdns.supervisor import systemd
from pdns.supervisor.announcement import announce_start
from pdns.supervisor.cache_commands import CacheCommands
from pdns.supervisor.certificates import Certificates
from pdns.supervisor.config_changes import ConfigChanges
from pdns.supervisor.config_watch import ConfigWatch
from pdns.supervisor.encrypted_endpoints import encrypted_endpoints
from pdns.supervisor.events_handle import EventsHandle
from pdns.supervisor.feeds_handle import FeedsHandle
from pdns.supervisor.fleet_node import FleetNode
from pdns.supervisor.http import servers
from pdns.supervisor.http.status import StatusReader
from pdns.supervisor.inherited_sockets import InheritedSockets
from pdns.supervisor.listen_addresses import ListenAddresses
from pdns.supervisor.listeners import ListenerSet
from pdns.supervisor.other_processes import OtherProcesses
from pdns.supervisor.process_one import reap_orphans
from pdns.supervisor.quic_handle import QuicHandle
from pdns.supervisor.readiness import Readiness
from pdns.supervisor.reload_requests import ReloadRequests, answer, log_each
from pdns.supervisor.restart_needed import until_restart
from pdns.supervisor.start_checks import prepare_process, required_feeds, warn_at_start
from pdns.supervisor.system_servers import SystemServers
from pdns.supervisor.terminal import Terminal
from pdns.supervisor.upgrade import Upgrade, compile_first
from pdns.supervisor.worker_handle import AdoptedConfig
from pdns.supervisor.worker_pool import WorkerPool
from pdns.telemetry.blocked_domains import BlockedDomains
from pdns.telemetry.counters import Counters

_LOOK_AT_FILE_S: Final = 1.0
_END_MARGIN_S: Final = 10.0  # beyond drain_s: then processes that still hang are killed

_log = logging.getLogger(__name__)


class Supervisor:
    """One per `pdns serve`. The pages and the banner show its public attributes."""

    def __init__(
        self, path: Path, announce: Callable[[Supervisor], None], loading: Callable[[str], None] = lambda _: None
    ) -> None:
        """Reads the file at `path`. `announce` is called once, when clients are answered. `loading` is called with the progress
        of the feeds until they are loaded, and with "" at the end. Raises `ConfigErrors`.
        """
        self.config_path = path
        self._announce = announce
        self._loading = loading
        self._terminal = Terminal()
        self.certificates = Certificates(lambda: (*(one.child for one in self.workers.writers), *self._quic.receivers))
        self._files, self._system = ConfigWatch(path, lambda: self.certificates.held), SystemServers()
        self._live = load_version(path)
        self._generation = 1  # of what is live
        self._loop = asyncio.get_running_loop()
        self._stop, self._announced = asyncio.Event(), asyncio.Event()
        self._told = asyncio.Event()  # to reload or to roll
        self._reload_wanted = False
        self._reloads = ReloadRequests(self._told.set)
        self.reload = self._reloads.wanted
        self.changes = ConfigChanges(path, Path(self.config.state.dir), self.reload, lambda: self.certificates.held)
        self.cached = CacheCommands(lambda: self.workers.current)
        self._inherited = InheritedSockets.from_environment()
        self.listeners = ListenerSet(worker_count(self.config.server.workers), inherited=self._inherited)
        self.status = StatusReader(Path(self.config.state.dir))
        self._http = servers.HttpServers(self, self.status, str(path), self._inherited)
        self.listen_addresses = ListenAddresses(lambda: [*self.listeners.endpoints, *self._http.endpoints, *self._quic.endpoints])
        self.reload_successful, self.reload_success_s = True, time.time()
        self._workers: WorkerPool | None = None
        self._missing: Missing = {}
        self._feeds = FeedsHandle(lambda: self.config, self._configure_feeds)
        self._fleet = FleetNode(lambda: self.config, lambda: self.workers, self._feeds, self._told.set)
        self._events = EventsHandle(lambda: self.config, lambda: self.workers)
        self._quic: QuicHandle = QuicHandle(
            lambda: self.config, lambda: self.workers, lambda: self.listeners, lambda: self.certificates
        )
        self._others = OtherProcesses(self._feeds, {"page": self._http.page, "events": self._events, "quic": self._quic})
        self._upgrade = Upgrade(self._others.restart)

    @property
    def config(self) -> Config:
        """The live configuration."""
        return self._live.config

    @property
    def live(self) -> Loaded:
        return self._live

    @property
    def config_sha256(self) -> str:
        return self._live.sha256

    @property
    def metrics_endpoint(self) -> Endpoint:
        return self._http.metrics_endpoint

    @property
    def http_dropped(self) -> dict[str, int]:
        return self._http.dropped

    @property
    def workers(self) -> WorkerPool:
        """Not before `run` has bound the sockets."""
        assert self._workers is not None
        return self._workers

    @property
    def counters(self) -> list[Counters]:
        return self.workers.counters

    @property
    def child_counters(self) -> list[Counters]:
        return self._others.counters

    @property
    def past_counters(self) -> list[Counters]:
        return self.workers.past_counters

    @property
    def restarts(self) -> dict[str, int]:
        return {"worker": self.workers.restarts, **self._others.restarts}

    @property
    def failed_starts(self) -> dict[str, int]:
        return {"worker": self.workers.failed_starts, **self._others.failed_starts}

    @property
    def confinement(self) -> dict[str, bool]:
        return {**{measure: measure not in self._missing for measure in MEASURES}, "user": os.geteuid() != 0}

    @property
    def workers_up(self) -> dict[str, bool]:
        return self.workers.up

    @property
    def blocked(self) -> BlockedDomains:
        """Includes everything that the workers have reported so far."""
        self.workers.take_notes()
        return self.workers.blocked

    @property
    def blocks_missed(self) -> int:
        return self.workers.blocks_missed

    @property
    def processes(self) -> dict[str, int]:
        return {"supervisor": os.getpid(), **self.workers.pids, **self._others.pids}

    def unhealthy(self) -> list[str]:
        """Why no worker answers at the moment; [] while one does."""
        return self.workers.unhealthy()

    def not_ready(self) -> list[str]:
        """Why clients should not be sent here, one line for each reason; [] when ready."""
        if self._stop.is_set():
            return ["shutting down"]
        if lines := self.workers.unanswered():
            return lines
        missing = self.workers.missing_feeds()
        if missing is None:
            return self._fleet.not_ready() or self.workers.unprotected()
        return required_feeds(missing, self.status.read()) or ["workers: not ready"]

    def remarks(self) -> list[str]:
        """Problems that clients do not notice."""
        own = [*self.listen_addresses.absent, *self.workers.remarks(), *self.status.remarks(), *self.certificates.remarks]
        return [*own, *self._fleet.remarks(), *self._upgrade.remarks, *self._quic.remarks]

    async def run(self) -> None:
        """Serve until stopped. Raises `PdnsError` when the start fails."""
        prepare_process(self.config_path, self.config)
        server, state = self.config.server, StateDirectory(Path(self.config.state.dir), str(self.config_path))
        try:
            self._inherited.require_all_used(self.config)
            self.listeners = self.listeners.changed_to(server.listen, encrypted_endpoints(self.config))
            self.listeners.steer(proxied=bool(server.proxy_protocol_from))
            bound = self._http.bind(self.config)
            self._quic.bind(self.config)
            self._missing = confine_supervisor(state.path, (*written_paths(self.config), *fleet_paths(self.config)))
            standard_error().threaded = True
            warn_at_start(self.config_path, self.config, self._missing)
            self.certificates.adopt(self.certificates.read(self.config), self.config)
            live = AdoptedConfig(
                self.config, self.listeners, str(self.config_path), client_key(state.path).hex(), self.certificates.live
            )
            self._workers = WorkerPool(self.listeners.workers, live, self._loop, self._distrust, self._events.bury)
            self._handle_signals()
            live_config.keep(self.config_path, self.config)
            self._files.follow(self.config)
            await compile_first(self._workers.blockset, self._feeds.start, self._stop.is_set)
            await self._workers.start()
            self._system.warn(self._live)
            await self._http.serve(bound)
            await self._quic.serve()
            await self._until_stopped()
        finally:
            await self._end()
            state.close()

    async def _until_stopped(self) -> None:
        ready = Readiness(self.not_ready, self._announced)
        watchdog = systemd.ping_watchdog(self.unhealthy)
        reporting = watchdog, self._fleet.report(), reap_orphans()
        jobs = (
            *reporting,
            self.listen_addresses.run(),
            self._begin(),
            ready.run(),
            self._obey(),
            self.certificates.run(),
            *self.workers.jobs(),
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
            await self._stop.wait()
            for task in tasks:
                task.cancel()
        if (failure := self.workers.failed()) is not None:
            raise failure

    async def _end(self) -> None:
        self._loop.call_later(self.config.server.drain_s + _END_MARGIN_S, self._end_at_once)
        self._reloads.refuse()
        systemd.notify("STOPPING=1")
        self.listeners.close_but(ListenerSet())
        await self._quic.close()  # it needs the workers for its last answers
        if self._workers is not None:
            await self._workers.stop()
            self._workers.write_books()
        await self._feeds.stop()
        await self._http.close()
        if self._workers is not None:
            await self._events.close()
            self._workers.close()
        self.certificates.close()
        self._terminal.close()
        RESERVE.release()

    # Signals.

    def _handle_signals(self) -> None:
        told = {signal.SIGHUP: self._told_to_reload, signal.SIGUSR2: self._told_to_roll, signal.SIGTERM: self._told_to_stop}
        for number, callback in {**told, signal.SIGINT: self._interrupted}.items():
            self._loop.add_signal_handler(number, callback)

    def _told_to_reload(self) -> None:
        if self._terminal.is_gone():
            self._told_to_stop()
        else:
            self._reload_wanted = True
            self._told.set()

    def _told_to_roll(self) -> None:
        self._upgrade.want()
        self._told.set()

    def _told_to_stop(self) -> None:
        if not self._stop.is_set():
            _log.info("stopping: no more queries are accepted; those in flight are answered")
            self._stop.set()

    def _interrupted(self) -> None:
        if self._stop.is_set():
            self._end_at_once()
        self._told_to_stop()

    def _end_at_once(self) -> NoReturn:
        if self._workers is not None:
            self._workers.kill_now()
        self._others.kill_now()
        os._exit(128 + signal.SIGINT)

    async def _begin(self) -> None:
        """Print the banner once the workers answer, with the first blockset if that does not take long."""
        try:
            await self.workers.first_answer()
        except PdnsError:
            self._stop.set()
            return
        self._feeds.start()  # start last: its start-up competes with the workers for CPU
        self._events.start()
        await announce_start(self, lambda: self._announce(self), self._loading, self._announced)

    def _distrust(self, generation: int, whole: bool) -> None:
        if whole:
            self._upgrade.unread(generation)
            self._told.set()
        else:
            self._feeds.distrust(generation)

    # The configuration.

    async def _obey(self) -> None:
        """Handle signals and changes of the file, one after the other."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AT_FILE_S):  # wait_for of Python 3.11 may lose the cancellation
                    await self._told.wait()
            self._told.clear()
            if self._reload_wanted or self._reloads or self._files.changed() or self.certificates.take_renamed():
                self._reload_wanted, waiting = False, self._reloads.take()
                self._files.seen()
                answer(waiting, await self._reload())
            if self._fleet.take_offer():
                await self._fleet.settle(self._files, lambda loaded: self._go_live(self._system.kept(loaded, self._live)))
            followed = self._system.followed(self._live)
            if followed is not None or self.listeners.interface_came():
                await self._reload(followed or self._live)
            await self._upgrade.go_on(self.workers)

    async def _reload(self, loaded: Loaded | None = None) -> PdnsError | None:
        """Returns why the configuration could not go live, if so."""
        try:
            with systemd.reloading(started=self._announced.is_set()):
                await self._go_live(loaded or self._system.kept(await self._files.load(), self._live))
        except PdnsError as error:
            why = error
            log_each(error)
        except Exception:  # noqa: BLE001 (the live configuration continues)
            why = PdnsError("internal error, see the log")
            _log.exception("the new configuration could not be applied")
        else:
            _log.info("%s is live (sha256 %s)", self.config_path, self._live.sha256)
            self.reload_successful, self.reload_success_s = True, time.time()
            return None
        self._files.follow_broken()
        _log.error("%s has errors: the previous configuration stays live", self.config_path)
        self.reload_successful = False
        return why

    async def _go_live(self, loaded: Loaded) -> None:
        """Make `loaded` live. Raises with everything unchanged."""
        config = until_restart(loaded.config, self.config, self.config_path, self.workers.count)
        self._inherited.require_all_used(config)
        listeners = self.listeners.changed_to(config.server.listen, encrypted_endpoints(config))
        bound = servers.Bound()
        try:
            secrets = self.certificates.read(config)
            bound = self._http.bind(config, self.config)
            self._quic.bind(config)
            await self.workers.go_live(config, listeners, secrets)
        except BaseException:
            listeners.close_but(self.listeners)
            servers.close(bound)
            self.certificates.discard()
            self._quic.discard()
            raise
        self.certificates.adopt(secrets, config)
        listened, self.listeners = self.listeners, listeners
        listened.close_but(listeners)
        listeners.steer(proxied=bool(config.server.proxy_protocol_from))
        before = self.config
        self._live, self._generation = loaded._replace(config=config), self._generation + 1
        live_config.keep(self.config_path, self.config)
        log_to_stderr("supervisor", config.log.level)
        self._files.follow(config)
        await self._feeds.follow(before)
        await self._events.follow(before)
        await self._http.serve(bound)
        await self._quic.serve()

    def _configure_feeds(self) -> Configure:
        return Configure(self._generation, str(self.config_path), self.workers.blockset.in_use, self._live.parts.bundle_sha256)
