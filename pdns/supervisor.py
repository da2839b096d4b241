"""The process that `pdns serve` is: it owns configuration, sockets and children, and answers no DNS itself.

Order of start, so that nothing is promised before it can be kept:
  configuration - lock of the state directory - every socket - counter memory - feeds, worker - pages - word of it, once clients
  are answered.

Order of the end (SIGTERM, SIGINT), so that nothing accepted is lost; `drain_s` and two seconds at most:
  our copies of the sockets - the worker, when it has answered what is in flight - feeds - pages - lock.
  A second SIGINT ends all at once.

SIGHUP, or a change of the file, brings a new configuration to life, whole or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
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
from pdns.children import Child
from pdns.config import Config
from pdns.configwatch import FileWatch, Loaded, load_version
from pdns.control import Apply, Configure, Drain, Drained, Message, Ready, Refused, share_config
from pdns.counters import Counters
from pdns.errors import ConfigError, ConfigErrors, PdnsError
from pdns.listeners import ListenerSet
from pdns.logs import log_to_stderr
from pdns.net.sockets import bind_tcp
from pdns.statedir import StateDirectory
from pdns.stats import HEARTBEAT, MISSING_FEED

if TYPE_CHECKING:
    from pdns.admin.http import AdminPages

HUNG_AFTER_S: Final = 10.0
_STARTING_S: Final = 30.0  # until its first sign of life: a busy machine may take that long
_UNHEALTHY_AFTER_S: Final = 3.0
_LOOK_AT_WORKER_S: Final = 0.5
_LOOK_AT_FILE_S: Final = 1.0
_APPLY_S: Final = 10.0
_FIRST_STARTS: Final = 3  # of a worker that never answered: after so many the fault is not of the moment
_FIRST_COMPILE_S: Final = 5.0
_EXIT_S: Final = 0.5
_DESCRIPTORS: Final = 65536
_FEEDS_EXIT_S: Final = 1.0

_log = logging.getLogger(__name__)


class Supervisor:
    """One per `pdns serve`. Its public attributes are what the pages and the banner speak of."""

    def __init__(self, path: Path, announce: Callable[[Supervisor], None]) -> None:
        """Reads the file at `path`; `announce` is called once, when clients are answered. Raises `ConfigErrors`."""
        self._path = path
        self._announce = announce
        self._file = FileWatch(path)
        self._live = load_version(path)
        self._generation = self._last_tried = 1
        self._trying: tuple[int, asyncio.Future[None]] | None = None
        self._loop = asyncio.get_running_loop()
        self._first_answer: asyncio.Future[None] = self._loop.create_future()
        self._stop = asyncio.Event()
        self._hangup = asyncio.Event()
        self._pages: AdminPages | None = None
        self._worker_ready = False
        self._silent_s = 0.0
        self._seen_alive = False
        self.listeners = ListenerSet()
        self.metrics_endpoint = Endpoint("", 0)
        self.counters: tuple[Counters, ...] = ()
        self.status = StatusFile(Path(self.config.state.dir))
        self.reload_successful = True
        self.reload_success_s = time.time()
        self._worker = Child(
            "worker",
            "pdns.worker",
            self._loop,
            on_start=self._worker_started,
            on_message=self._worker_said,
            on_exit=self._worker_died,
        )
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
    def restarts(self) -> dict[str, int]:
        return {child.name: child.restarts for child in (self._worker, self._feeds)}

    @property
    def processes(self) -> dict[str, int]:
        children = {child.name: child.pid for child in (self._worker, self._feeds)}
        return {"supervisor": os.getpid()} | {name: pid for name, pid in children.items() if pid is not None}

    def unhealthy(self) -> str:
        """Why nobody answers at the moment; "" when all is well."""
        if self._worker.pid is None:
            return "worker: not running"
        if self._silent_s > _UNHEALTHY_AFTER_S:
            return f"worker: no sign of life for {self._silent_s:.0f} s"
        return ""

    def not_ready(self) -> list[str]:
        """What is missing before clients should be sent here, a line for each thing; [] when nothing is."""
        if self._stop.is_set():
            return ["shutting down"]
        if reason := self.unhealthy():
            return [reason]
        if not self._worker_ready:
            return ["worker: starting"]
        (counters,) = self.counters
        if counters.value("ready"):
            return []
        feeds = self.status.read().feeds
        missing = [feed.name for feed in self.config.feed if counters.value(MISSING_FEED, feed.name)]
        errors = {name: feeds[name].last_error if name in feeds else "" for name in missing}
        return [f"feed {name}: required, not loaded{error and ': '}{error}" for name, error in errors.items()] or [
            "worker: not ready"
        ]

    async def run(self) -> None:
        """Serve until told to stop. Raises `PdnsError` when that cannot even begin."""
        log_to_stderr("supervisor", self.config.log.level)
        _raise_descriptor_limit()
        state = StateDirectory(Path(self.config.state.dir), str(self._path))
        try:
            self.listeners = self.listeners.changed_to(self.config.server.listen)
            metrics_socket = self._bind_metrics(self.config)
            self.counters = (Counters.create(),)
            self._handle_signals()
            self._feeds.start()
            self._worker.start()
            await self._serve_pages(metrics_socket)
            await self._until_stopped()
        finally:
            await self._end()
            state.close()

    async def _until_stopped(self) -> None:
        jobs = (self._begin(), self._look_after_worker(), self._look_after_config())
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
            await self._stop.wait()
            for task in tasks:
                task.cancel()
        if self._first_answer.done() and (failure := self._first_answer.exception()) is not None:
            raise failure

    async def _end(self) -> None:
        systemd.notify("STOPPING=1")
        self.listeners.close_but(ListenerSet())
        await self._worker.stop(Drain(), self.config.server.drain_s + _EXIT_S)
        await self._feeds.stop(None, _FEEDS_EXIT_S)
        if self._pages is not None:
            await self._pages.close()
        for counters in self.counters:
            counters.close()

    # Signals.

    def _handle_signals(self) -> None:
        self._loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
        self._loop.add_signal_handler(signal.SIGTERM, self._told_to_stop)
        self._loop.add_signal_handler(signal.SIGINT, self._interrupted)

    def _told_to_stop(self) -> None:
        if not self._stop.is_set():
            _log.info("stopping: no more queries are accepted, those in flight are answered")
            self._stop.set()

    def _interrupted(self) -> None:
        if self._stop.is_set():
            self._end_at_once()
        self._told_to_stop()

    def _end_at_once(self) -> NoReturn:
        for child in (self._worker, self._feeds):
            child.kill_now()
        os._exit(128 + signal.SIGINT)

    # The worker.

    async def _begin(self) -> None:
        """Tell the world once the worker answers, with the first blockset if that does not take long."""
        try:
            await self._first_answer
        except PdnsError:
            self._stop.set()
            return
        deadline_s = self._loop.time() + _FIRST_COMPILE_S
        while not self._feeds_settled() and self._loop.time() < deadline_s:  # noqa: ASYNC110 (a file and a memory tell of no event)
            await asyncio.sleep(0.02)
        self._announce(self)
        systemd.notify("READY=1")

    def _feeds_settled(self) -> bool:
        """Whether every feed was tried, and the worker has what came of it."""
        status = self.status.read()
        known = (status.feeds.get(feed.name) for feed in self.config.feed)
        tried = all(feed is not None and (feed.loaded or feed.last_attempt_s > 0) for feed in known)
        return tried and (self.counters[0].value("blockset_generation") or 0) >= status.generation

    def _worker_started(self) -> None:
        self._silent_s, self._seen_alive = 0.0, False
        self._send_apply(self._generation, self.config, self.listeners)

    def _send_apply(self, generation: int, config: Config, listeners: ListenerSet) -> bool:
        told, fds = listeners.listeners()
        config_fd = share_config(config)
        try:
            return self._worker.send(Apply(generation, told, str(self._path)), [config_fd, self.counters[0].fd, *fds])
        finally:
            os.close(config_fd)

    def _worker_said(self, message: Message) -> None:
        tried, answered = self._trying or (0, None)
        match message:
            case Ready(generation) if answered is not None and generation == tried:
                self._worker_ready = True
                if not answered.done():
                    answered.set_result(None)
            case Refused(generation, reason) if answered is not None and generation == tried:
                if not answered.done():
                    answered.set_exception(PdnsError(reason))
            case Ready(generation) if generation == self._generation:
                self._worker_ready = True
                if not self._first_answer.done():
                    self._first_answer.set_result(None)
            case Refused(generation, reason) if generation == self._generation:
                if not self._first_answer.done():
                    self._first_answer.set_exception(PdnsError(reason))
                else:  # what it needs, such as a certificate file, is gone: tried again until it is back
                    _log.error("the worker cannot run: %s", reason)
                    self._worker.kill()
            case Drained(unanswered) if unanswered:
                _log.warning("%d queries were given up after drain_s = %g", unanswered, self.config.server.drain_s)

    def _worker_died(self) -> None:
        self._worker_ready = False
        if self._trying is not None and not self._trying[1].done():
            self._trying[1].set_exception(PdnsError("the worker died of it"))
        if self._worker.restarts >= _FIRST_STARTS and not self._first_answer.done():
            self._first_answer.set_exception(PdnsError("the worker does not start; what it said is above"))

    async def _look_after_worker(self) -> None:
        """Replace a worker that gives no sign of life. Time in which this process did not run itself does not count."""
        last_beat: int | None = None
        while True:
            await asyncio.sleep(_LOOK_AT_WORKER_S)
            beat = self.counters[0].value(HEARTBEAT)
            if beat != last_beat or self._worker.pid is None:
                self._seen_alive = beat != last_beat
                last_beat, self._silent_s = beat, 0.0
                continue
            self._silent_s += _LOOK_AT_WORKER_S
            if self._silent_s >= (HUNG_AFTER_S if self._seen_alive else _STARTING_S):
                _log.error("the worker has given no sign of life for %.0f s: it is replaced", self._silent_s)
                self._silent_s = 0.0
                self._worker.kill()

    # The configuration.

    async def _look_after_config(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hangup.wait(), _LOOK_AT_FILE_S)
            if self._hangup.is_set() or self._file.changed():
                self._hangup.clear()
                await self._reload()

    async def _reload(self) -> None:
        self._file.seen()
        try:
            await self._go_live(load_version(self._path))
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
        metrics_socket: socket.socket | None = None
        listeners = self.listeners.changed_to(config.server.listen)
        try:
            if config.metrics.listen != self.config.metrics.listen:
                metrics_socket = self._bind_metrics(config)
            await self._try(config, listeners)
        except BaseException:
            listeners.close_but(self.listeners)
            if metrics_socket is not None:
                metrics_socket.close()
            raise
        before, self.listeners = self.listeners, listeners
        before.close_but(listeners)
        self._live, self._generation = Loaded(config, loaded.sha256), self._last_tried
        log_to_stderr("supervisor", config.log.level)
        self._worker.start_now()
        self._configure_feeds()
        if metrics_socket is not None:
            await self._serve_pages(metrics_socket)

    async def _try(self, config: Config, listeners: ListenerSet) -> None:
        """Have the worker run by `config`. Without a worker at the moment, its replacement will. Raises `PdnsError`."""
        self._last_tried += 1
        answered: asyncio.Future[None] = self._loop.create_future()
        self._trying = self._last_tried, answered
        try:
            if self._send_apply(self._last_tried, config, listeners):
                await asyncio.wait_for(answered, _APPLY_S)
            elif self._worker.pid is not None:
                raise PdnsError("the worker does not listen")
        except TimeoutError:
            self._worker.kill()  # nobody knows which one it runs by now
            raise PdnsError(f"the worker did not take it over within {_APPLY_S:.0f} s") from None
        finally:
            self._trying = None

    def _configure_feeds(self) -> None:
        config_fd = share_config(self.config)
        try:
            self._feeds.send(Configure(self._generation, str(self._path)), [config_fd])
        finally:
            os.close(config_fd)

    # The pages.

    def _bind_metrics(self, config: Config) -> socket.socket:
        try:
            return bind_tcp(parse_endpoint(config.metrics.listen))
        except PdnsError as error:
            raise ConfigError(str(self._path), "metrics.listen", str(error)) from None

    async def _serve_pages(self, metrics_socket: socket.socket) -> None:
        if self._pages is None:
            from pdns.admin.http import AdminPages  # noqa: PLC0415 (takes as long as the children need to start: meanwhile)

            self._pages = AdminPages(self, self.status)
        self.metrics_endpoint = Endpoint(*metrics_socket.getsockname()[:2])
        await self._pages.serve(metrics_socket)


def _raise_descriptor_limit() -> None:
    """As many as we may have and could need: each TCP client takes one, each query on its way to an upstream may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
