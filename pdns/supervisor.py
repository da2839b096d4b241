"""The process that `pdns serve` is: it owns configuration, sockets and children, and answers no DNS itself.

Order of start, so that nothing is promised before it can be kept:
  configuration - lock of the state directory - every socket - the workers' memory - workers, pages - feeds - word of it, once
  clients are answered.

Order of the end (SIGTERM, SIGINT), so that nothing accepted is lost; `drain_s` and two seconds at most:
  our copies of the sockets - the workers, when they have answered what is in flight - feeds - pages - lock.
  A second SIGINT ends all at once.

SIGHUP, or a change of the file, brings a new configuration to life, whole or not at all. SIGUSR2 replaces the children, one after
the other, by new processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from pdns import systemd
from pdns.addresses import Endpoint, parse_endpoint
from pdns.admin.status import StatusFile
from pdns.blockeddomains import BlockedDomains
from pdns.children import Child
from pdns.config import Config
from pdns.configwatch import FileWatch, Loaded, load_version
from pdns.control import Configure, Distrust, share_config
from pdns.counters import Counters
from pdns.descriptors import raise_descriptor_limit
from pdns.errors import ConfigError, ConfigErrors, PdnsError
from pdns.listenaddresses import ListenAddresses
from pdns.listeners import ListenerSet
from pdns.logs import log_to_stderr
from pdns.net.sockets import bind_tcp
from pdns.share import worker_count
from pdns.statedir import StateDirectory
from pdns.systemcalls import require_system_calls
from pdns.systemservers import SystemServers
from pdns.workerprocess import Live
from pdns.workers import Workers

if TYPE_CHECKING:
    from pdns.admin.api import AdminApi
    from pdns.admin.http import AdminPages

_LOOK_AT_FILE_S: Final = 1.0
_FIRST_COMPILE_S: Final = 5.0
_PROGRESS_S: Final = 0.5
_FEEDS_EXIT_S: Final = 1.0
_END_MARGIN_S: Final = 10.0  # beyond drain_s: whatever still hangs then is killed

_log = logging.getLogger(__name__)


class Supervisor:
    """One per `pdns serve`. Its public attributes are what the pages and the banner speak of."""

    def __init__(
        self, path: Path, announce: Callable[[Supervisor], None], loading: Callable[[str], None] = lambda _: None
    ) -> None:
        """Reads the file at `path`; `announce` is called once, when clients are answered; `loading` is told how far the feeds are
        as long as they are not, and "" in the end. Raises `ConfigErrors`.
        """
        self._path = path
        self._announce = announce
        self._loading = loading
        self._file, self._system = FileWatch(path), SystemServers()
        self._live = load_version(path)
        self._generation = 1  # of what is live
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._told = asyncio.Event()  # one of the two below
        self._reload_wanted = self._roll_wanted = False
        self._pages: AdminPages | None = None
        self._api: AdminApi | None = None
        self.listeners = ListenerSet(worker_count(self.config.server.workers))
        self.metrics_endpoint = Endpoint("", 0)
        self.listen_addresses = ListenAddresses(lambda: [*(group.endpoint for group in self.listeners), self.metrics_endpoint])
        self.status = StatusFile(Path(self.config.state.dir))
        self.reload_successful = True
        self.reload_success_s = time.time()
        self._workers: Workers | None = None
        self._feeds = Child(
            "feeds",
            "feeds.refresh",
            self._loop,
            on_start=self._configure_feeds,
            on_message=lambda _: None,
            on_exit=lambda: None,
            own_group=True,
        )

    @property
    def config(self) -> Config:
        """What is live."""
        return self._live.config

    @property
    def config_sha256(self) -> str:
        return self._live.sha256

    @property
    def config_path(self) -> Path:
        return self._path

    @property
    def workers(self) -> Workers:
        """Not before `run` has bound the sockets."""
        assert self._workers is not None
        return self._workers

    @property
    def counters(self) -> list[Counters]:
        return self.workers.counters

    @property
    def past_counters(self) -> list[Counters]:
        return self.workers.past_counters

    @property
    def restarts(self) -> dict[str, int]:
        return {"worker": self.workers.restarts, "feeds": self._feeds.restarts}

    @property
    def workers_up(self) -> dict[str, bool]:
        return self.workers.up

    @property
    def blocked(self) -> BlockedDomains:
        """With all that the workers have told by now."""
        self.workers.take_notes()
        return self.workers.blocked

    @property
    def sightings_lost(self) -> int:
        return self.workers.sightings_lost

    @property
    def processes(self) -> dict[str, int]:
        feeds = {} if self._feeds.pid is None else {"feeds": self._feeds.pid}
        return {"supervisor": os.getpid(), **self.workers.pids, **feeds}

    def unhealthy(self) -> list[str]:
        """Why nobody answers at the moment; [] while somebody does."""
        return self.workers.unhealthy()

    def not_ready(self) -> list[str]:
        """What is missing before clients should be sent here, a line for each thing; [] when nothing is."""
        if self._stop.is_set():
            return ["shutting down"]
        if lines := self.workers.unanswered():
            return lines
        missing = self.workers.missing_feeds()
        if missing is None:
            return self.workers.unprotected()
        feeds = self.status.read().feeds
        errors = {name: feeds[name].last_error if name in feeds else "" for name in missing}
        return [f"feed {name}: required, not loaded{error and ': '}{error}" for name, error in errors.items()] or [
            "workers: not ready"
        ]

    def remarks(self) -> list[str]:
        """What is not as it should be, though clients do not notice."""
        return [*self.listen_addresses.absent, *self.workers.remarks()]

    async def run(self) -> None:
        """Serve until told to stop. Raises `PdnsError` when that cannot even begin."""
        log_to_stderr("supervisor", self.config.log.level)
        require_system_calls()
        raise_descriptor_limit()
        state = StateDirectory(Path(self.config.state.dir), str(self._path))
        try:
            self.listeners = self.listeners.changed_to(self.config.server.listen)
            metrics_socket = self._bind("metrics.listen", self.config.metrics.listen)
            admin_socket = self._bind_admin(self.config)
            live = Live(self.config, self.listeners, str(self._path))
            self._workers = Workers(self.listeners.workers, live, self._loop, lambda number: self._feeds.send(Distrust(number)))
            self._handle_signals()
            await self._workers.start()
            self._system.warn(self._live)
            await self._serve_pages(metrics_socket)
            await self._serve_api(admin_socket)
            await self._until_stopped()
        finally:
            await self._end()
            state.close()

    async def _until_stopped(self) -> None:
        jobs = (self.listen_addresses.watch(), self._begin(), self._obey(), *self.workers.jobs())
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
            await self._stop.wait()
            for task in tasks:
                task.cancel()
        if (failure := self.workers.failed()) is not None:
            raise failure

    async def _end(self) -> None:
        self._loop.call_later(self.config.server.drain_s + _END_MARGIN_S, self._end_at_once)
        systemd.notify("STOPPING=1")
        self.listeners.close_but(ListenerSet())
        if self._workers is not None:
            await self._workers.stop()
            self._workers.write_hits()
        await self._feeds.stop(None, _FEEDS_EXIT_S)
        for server in (self._pages, self._api):
            if server is not None:
                await server.close()
        if self._workers is not None:
            self._workers.close()

    # Signals.

    def _handle_signals(self) -> None:
        self._loop.add_signal_handler(signal.SIGHUP, self._told_to_reload)
        self._loop.add_signal_handler(signal.SIGUSR2, self._told_to_roll)
        self._loop.add_signal_handler(signal.SIGTERM, self._told_to_stop)
        self._loop.add_signal_handler(signal.SIGINT, self._interrupted)

    def _told_to_reload(self) -> None:
        self._reload_wanted = True
        self._told.set()

    def _told_to_roll(self) -> None:
        self._roll_wanted = True
        self._told.set()

    def _told_to_stop(self) -> None:
        if not self._stop.is_set():
            _log.info("stopping: no more queries are accepted, those in flight are answered")
            self._stop.set()

    def _interrupted(self) -> None:
        if self._stop.is_set():
            self._end_at_once()
        self._told_to_stop()

    def _end_at_once(self) -> NoReturn:
        if self._workers is not None:
            self._workers.kill_now()
        self._feeds.kill_now()
        os._exit(128 + signal.SIGINT)

    # Children.

    async def _begin(self) -> None:
        """Tell the world once the workers answer, with the first blockset if that does not take long."""
        try:
            await self.workers.first_answer()
        except PdnsError:
            self._stop.set()
            return
        self._feeds.start()  # what it needs to start would keep those waiting who answer
        deadline_s = self._loop.time() + _FIRST_COMPILE_S
        while not self._feeds_settled() and self._loop.time() < deadline_s:  # noqa: ASYNC110 (a file and a memory tell of no event)
            await asyncio.sleep(0.02)
        self._announce(self)
        systemd.notify("READY=1")
        while not self._feeds_settled():
            self._loading(self.status.read().doing or "waiting for feeds")
            await asyncio.sleep(_PROGRESS_S)
        self._loading("")

    def _feeds_settled(self) -> bool:
        """Whether every feed was tried, and the workers have what came of it."""
        status = self.status.read()
        known = (status.feeds.get(feed.name) for feed in self.config.feed)
        tried = all(feed is not None and (feed.loaded or feed.last_attempt_s > 0) for feed in known)
        return tried and self.workers.least("blockset_generation") >= status.generation

    async def _roll(self) -> None:
        _log.info("the workers and feeds are replaced by new processes, one after the other")
        try:
            await self.workers.roll()
        except PdnsError as error:
            _log.error("%s", error)
        except Exception:  # noqa: BLE001 (who is there goes on)
            _log.exception("the workers could not be replaced")
        else:
            await self._feeds.stop(None, _FEEDS_EXIT_S)
            self._feeds.start()
            _log.info("the workers and feeds are new processes")

    # The configuration.

    async def _obey(self) -> None:
        """Do what signals and the file ask for, one thing after the other."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), _LOOK_AT_FILE_S)
            self._told.clear()
            if self._reload_wanted or self._file.changed():
                self._reload_wanted = False
                self._file.seen()
                await self._reload()
            if (followed := self._system.followed(self._live)) is not None:
                await self._reload(followed)
            if self._roll_wanted:
                self._roll_wanted = False
                await self._roll()

    async def _reload(self, loaded: Loaded | None = None) -> None:
        try:
            await self._go_live(loaded or self._system.kept(load_version(self._path), self._live))
        except PdnsError as error:
            for one in error.errors if isinstance(error, ConfigErrors) else [error]:
                _log.error("%s", one)
        except Exception:  # noqa: BLE001 (what is live goes on)
            _log.exception("the new configuration could not be brought to life")
        else:
            _log.info("%s is live (sha256 %s)", self._path, self._live.sha256)
            self.reload_successful, self.reload_success_s = True, time.time()
            return
        _log.error("%s is not used: the configuration before it stays live", self._path)
        self.reload_successful = False

    async def _go_live(self, loaded: Loaded) -> None:
        """Live by `loaded` from now on. Raises with everything as it was."""
        config = loaded.config
        if config.state != self.config.state:
            _log.warning("%s: state.dir: needs a restart; %s stays in use until then", self._path, self.config.state.dir)
            config = msgspec.structs.replace(config, state=self.config.state)
        if worker_count(config.server.workers) != self.workers.count:
            _log.warning("%s: server.workers: needs a restart; %d answer until then", self._path, self.workers.count)
        metrics_socket: socket.socket | None = None
        admin_socket: socket.socket | None = None
        admin_moves = _admin_endpoint(config) != _admin_endpoint(self.config)
        listeners = self.listeners.changed_to(config.server.listen)
        try:
            if config.metrics.listen != self.config.metrics.listen:
                metrics_socket = self._bind("metrics.listen", config.metrics.listen)
            if admin_moves:
                admin_socket = self._bind_admin(config)
            await self.workers.go_live(config, listeners)
        except BaseException:
            listeners.close_but(self.listeners)
            for sock in (metrics_socket, admin_socket):
                if sock is not None:
                    sock.close()
            raise
        before, self.listeners = self.listeners, listeners
        before.close_but(listeners)
        self._live, self._generation = loaded._replace(config=config), self._generation + 1
        log_to_stderr("supervisor", config.log.level)
        self._configure_feeds()
        if metrics_socket is not None:
            await self._serve_pages(metrics_socket)
        if admin_moves:
            await self._serve_api(admin_socket)

    def _configure_feeds(self) -> None:
        config_fd = share_config(self.config)
        try:
            self._feeds.send(Configure(self._generation, str(self._path)), [config_fd])
        finally:
            os.close(config_fd)

    # The pages.

    def _bind(self, key: str, listen: str) -> socket.socket:
        try:
            return bind_tcp(parse_endpoint(listen))
        except PdnsError as error:
            raise ConfigError(str(self._path), key, str(error)) from None

    def _bind_admin(self, config: Config) -> socket.socket | None:
        listen = _admin_endpoint(config)
        return self._bind("admin.listen", listen) if listen else None

    async def _serve_pages(self, metrics_socket: socket.socket) -> None:
        if self._pages is None:
            from pdns.admin.http import AdminPages  # noqa: PLC0415 (takes as long as the children need to start: meanwhile)

            self._pages = AdminPages(self, self.status)
        self.metrics_endpoint = Endpoint(*metrics_socket.getsockname()[:2])
        await self._pages.serve(metrics_socket)

    async def _serve_api(self, admin_socket: socket.socket | None) -> None:
        if self._api is None and admin_socket is not None:
            from pdns.admin.api import AdminApi  # noqa: PLC0415 (as above)

            self._api = AdminApi(self, self.status)
        if self._api is not None:
            await self._api.serve(admin_socket)


def _admin_endpoint(config: Config) -> str:
    """Where the admin API is; "" when there is no token for it, and so no API."""
    return config.admin.listen if config.admin.token_file else ""
