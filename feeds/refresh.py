"""The feeds process: `python -m feeds.refresh FD`, a child of `pdns serve`, which speaks to it over that descriptor.

It ends, with exit code 0, on SIGTERM and when the channel does. At whatever moment that is, and however it is done, the live
blockset and every last-good copy are whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from feeds.allowance import refused_limits
from feeds.fleet.member import FleetMember
from feeds.notify import NotifyListener
from feeds.publish.publication import Publication
from feeds.scheduler import Scheduler
from pdns.config.schema import Config
from pdns.config.written_paths import fleet_paths
from pdns.confinement.confine import confine_feeds, listens_low, said
from pdns.confinement.priority import step_back
from pdns.ipc.channel import Channel, close_all
from pdns.ipc.config_memfd import read_config
from pdns.ipc.messages import Configure, Distrust, Message, RefuseBundle, Traffic
from pdns.logs import log_to_stderr, open_standard_descriptors, standard_error
from pdns.state.commands import Command, Outcome
from pdns.state.feed_status import FeedsStatus
from pdns.state.zone_changes import SOCKET_FILE, ZoneChangeReceiver

REQUEST_FILE = Path("requests", "update")  # below the state directory; touching it asks for a refresh of everything
REQUEST_POLL_S = 0.2
FILE_POLL_S = 2.0
LEAVE_WITHIN_S = 2.0
_CLOSING_TURNS = 3  # of the event loop, until the sockets of a closed HTTP session are closed too: it may end with us
_log = logging.getLogger(__name__)


async def refresh_once(config: Config, on_event: Callable[[FeedsStatus], None] = lambda _: None) -> FeedsStatus:
    """Fetch every feed of `config` once, compile what there is, publish it; returns how each fared. Raises nothing on purpose.

    For a state directory that no running resolver uses. `on_event` gets the status after each step.
    """
    scheduler = Scheduler(Path(config.state.dir), on_event)
    async with publishing(scheduler):
        await scheduler.configure(config)
        status = await scheduler.refresh_once()
    for _ in range(_CLOSING_TURNS):
        await asyncio.sleep(0)
    return status


async def carry_out_once(config: Config, order: Command) -> Outcome:
    """Do what `order` says and publish what follows, without a question to any network. Never raises.

    For a state directory that no running resolver uses.
    """
    scheduler = Scheduler(Path(config.state.dir))
    async with publishing(scheduler):
        await scheduler.configure(config)
        return await scheduler.carry_out(order)


@contextlib.asynccontextmanager
async def publishing(scheduler: Scheduler) -> AsyncIterator[None]:
    """Run the loop that builds blocksets for `scheduler`, until the block ends."""
    task = asyncio.get_running_loop().create_task(scheduler.publish_changes())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def build_once(config: Config, on_event: Callable[[FeedsStatus], None] = lambda _: None) -> FeedsStatus:
    """`refresh_once` for callers without an event loop."""
    return asyncio.run(refresh_once(config, on_event))


def main() -> None:
    """Run until told to stop."""
    open_standard_descriptors()
    step_back()
    standard_error().threaded = False  # until the process has given up what it does not need
    log_to_stderr("feeds", "info")
    channel = Channel.from_fd(int(sys.argv[1]))
    if (first := _first_config(channel)) is not None:
        config, told = first
        missing = confine_feeds(Path(config.state.dir), fleet_paths(config), low_port=listens_low(config))
        standard_error().threaded = True
        if missing:
            _log.info("not confined in every way: %s", said(missing))
        if unbounded := refused_limits():
            _log.warning("lists are parsed without limits of the kernel, which the system refuses to set: %s", said(unbounded))
        asyncio.run(_run(channel, config, told))
    logging.shutdown()
    os._exit(0)  # a thread that hangs in a dead file system or a look-up must not keep us


def _first_config(channel: Channel) -> tuple[Config, Configure] | None:
    """What to run by, waited for, and the message that brought it; None when the supervisor is gone."""
    while (received := channel.wait()) is not None:
        message, fds = received
        try:
            if isinstance(message, Configure) and fds:
                return read_config(fds[0]), message
        except (OSError, msgspec.DecodeError):
            _log.exception("the configuration cannot be read")
        finally:
            close_all(fds)
    return None


async def _run(channel: Channel, config: Config, told: Configure) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    configurations: asyncio.Queue[tuple[Config, str]] = asyncio.Queue()
    configurations.put_nowait((config, told.bundle))
    of_fleet: asyncio.Queue[Message] = asyncio.Queue()
    distrusted: list[int] = []  # generations that cannot be used, as the supervisor says
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the supervisor, which then tells us

    def heard(message: Message, fds: list[int]) -> None:
        try:
            if isinstance(message, Distrust):
                distrusted.append(message.generation)
            elif isinstance(message, Configure) and fds:
                configurations.put_nowait((read_config(fds[0]), message.bundle))
            elif isinstance(message, RefuseBundle | Traffic):
                of_fleet.put_nowait(message)
        except (OSError, msgspec.DecodeError):
            _log.exception("the new configuration cannot be read; the one before stays in force")
        finally:
            close_all(fds)

    channel.attach(loop, heard, stopping.set)
    async with asyncio.TaskGroup() as tasks:
        inbox = _Inbox(configurations, distrusted, of_fleet)
        work = tasks.create_task(_work(inbox, tasks, channel.send, in_memory=told.blockset))
        await stopping.wait()
        loop.call_later(LEAVE_WITHIN_S, os._exit, 0)
        work.cancel()
    channel.close()
    signal.set_wakeup_fd(-1)  # a SIGTERM while the loop closes has nothing left to tell it, and would complain on stderr


class _Inbox(NamedTuple):
    """What the supervisor says."""

    configurations: asyncio.Queue[tuple[Config, str]]  # with the SHA-256 of the policy bundle
    distrusted: list[int]  # generations that cannot be used
    of_fleet: asyncio.Queue[Message]


async def _work(inbox: _Inbox, tasks: asyncio.TaskGroup, send: Callable[[Message], object], *, in_memory: int) -> None:
    configurations = inbox.configurations
    config, bundle = await configurations.get()
    state_dir = Path(config.state.dir)
    scheduler = Scheduler(state_dir, in_memory=in_memory)
    listener = NotifyListener(scheduler.wake_soon)
    scheduler.notify_refused = listener.refused
    publication = Publication(state_dir, scheduler.publish_inputs, tasks.create_task, scheduler.tell)
    scheduler.published = publication.status
    receiver = _Receiving(state_dir, scheduler)
    member = FleetMember(state_dir, scheduler, tasks.create_task, send)
    request = state_dir / REQUEST_FILE
    answered_ns = _requested_ns(request)
    publishing_changes = tasks.create_task(scheduler.publish_changes())
    watching: list[asyncio.Task[None]] = []
    try:
        while True:
            log_to_stderr("feeds", config.log.level)
            if not watching:  # they begin while the first blockset is made: a kill switch does not wait for that
                jobs = (
                    _poll_commands(scheduler, request, answered_ns),
                    _look_after(scheduler, inbox.distrusted, receiver),
                    _poll_files(scheduler),
                    publication.run(),
                    _forward(member, inbox.of_fleet),
                )
                watching = [tasks.create_task(job) for job in jobs]
            await publication.configure(config)  # first: an earlier version is served while the first blockset is made
            await member.configure(config, bundle)
            await listener.configure(config)
            config, bundle = await configurations.get()
            while not configurations.empty():
                config, bundle = configurations.get_nowait()
            if Path(config.state.dir) != state_dir:
                _log.warning("state.dir stays %s until the next start", state_dir)
    finally:
        listener.close()
        publication.close()
        receiver.close()
        for task in watching:
            task.cancel()
        try:
            await member.close()
            await scheduler.stop()
        finally:
            publishing_changes.cancel()


class _Receiving:
    """The socket that workers write to, made again when something else has taken its place."""

    def __init__(self, state_dir: Path, scheduler: Scheduler) -> None:
        self._state_dir, self._scheduler = state_dir, scheduler
        self._receiver: ZoneChangeReceiver | None = None
        self._failed = False
        self._open()

    def mend(self) -> None:
        if self._receiver is None or self._receiver.lost:
            self.close()
            self._open()

    def close(self) -> None:
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None

    def _open(self) -> None:
        try:
            self._receiver = ZoneChangeReceiver(self._state_dir, asyncio.get_running_loop(), self._scheduler.wake_soon)
        except OSError as exc:
            if not self._failed:
                _log.warning("%s: %s; NOTIFY to server.listen has no effect", self._state_dir / SOCKET_FILE, exc)
            self._failed = True
        else:
            self._failed = False


async def _look_after(scheduler: Scheduler, distrusted: list[int], receiver: _Receiving) -> None:
    while True:
        await asyncio.sleep(REQUEST_POLL_S)
        while distrusted:
            scheduler.distrust(distrusted.pop())
        receiver.mend()
        await scheduler.mend()
        await scheduler.look_after()
        scheduler.expire()


async def _poll_commands(scheduler: Scheduler, request: Path, answered_ns: int) -> None:
    """Carry out quick commands and start requested updates. It waits for no list, so a kill switch acts at once."""
    while True:
        await asyncio.sleep(REQUEST_POLL_S)
        await scheduler.obey()
        if (asked_ns := _requested_ns(request)) != answered_ns:
            answered_ns = asked_ns
            scheduler.wake()


async def _poll_files(scheduler: Scheduler) -> None:
    """Refresh local lists that have changed. A file system that hangs delays only this task."""
    while True:
        await scheduler.poll_files()
        await asyncio.sleep(FILE_POLL_S)


async def _forward(member: FleetMember, messages: asyncio.Queue[Message]) -> None:
    while True:
        member.heard(await messages.get())


def _requested_ns(request: Path) -> int:
    try:
        return request.stat().st_mtime_ns
    except OSError:
        return 0


if __name__ == "__main__":
    main()
