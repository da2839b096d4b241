"""Child processes that are restarted when they die. Each has one end of a control channel."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pdns
from pdns.confinement.environment import for_child
from pdns.ipc.channel import Channel
from pdns.ipc.messages import Message
from pdns.net.descriptors import RESERVE
from pdns.supervisor import process_usage as processes

BACKOFF_S: Final = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
HEALTHY_AFTER_S: Final = 60.0
_LEAVE_S: Final = 2.0  # between closing its channel and exiting
_LOOK_EVERY_S: Final = 0.05  # how often to poll a process without a pidfd

_log = logging.getLogger(__name__)


class Backoff:
    """The wait before the next start. It grows each time, and starts again from zero after a minute of health."""

    def __init__(self) -> None:
        self._deaths = 0

    def delay_s(self, lived_s: float) -> float:
        """Seconds to wait after a life of `lived_s`."""
        if lived_s >= HEALTHY_AFTER_S:
            self._deaths = 0
        delay_s = BACKOFF_S[min(self._deaths, len(BACKOFF_S) - 1)]
        self._deaths += 1
        return delay_s


class Child:
    """`python -m MODULE FD`, kept running. All callbacks come from the loop.

    `on_start` is called for each new process, to send it what it needs; `on_exit` after each death, before the replacement.
    A child never outlives the supervisor: it exits when its channel ends.
    """

    def __init__(
        self,
        name: str,
        module: str,
        loop: asyncio.AbstractEventLoop,
        *,
        on_start: Callable[[], None],
        on_message: Callable[[Message], None],
        on_exit: Callable[[], None],
        own_group: bool = False,
    ) -> None:
        """`own_group`: run in a separate process group, so that Ctrl-C does not reach it and its own children end with it."""
        self.name = name
        self.restarts = 0
        self.failed_starts = 0  # no process, or a process that could not be sent its messages
        self.started_s = 0.0  # loop time
        self.waits_s = 0.0  # how long the next start was delayed
        self.variables: frozenset[str] = frozenset()  # environment variables in addition to those of every process
        self._module = module
        self._loop = loop
        self._on_start = on_start
        self._on_message = on_message
        self._on_exit = on_exit
        self._own_group = own_group
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._channel: Channel | None = None
        self._backoff = Backoff()
        self._again: asyncio.TimerHandle | None = None
        self._stopping = False
        self._exited = asyncio.Event()
        self._exited.set()

    @property
    def pid(self) -> int | None:
        """The process, None while there is none."""
        return None if self._process is None else self._process.pid

    @property
    def stopping(self) -> bool:
        """Whether nothing will replace it."""
        return self._stopping

    def start(self) -> None:
        """Start it unless it runs, and restart it whenever it dies, until `stop`."""
        if self._process is not None:
            return
        self._again, self._stopping, self.waits_s = None, False, 0.0
        with RESERVE.lent():
            try:
                self._process, self._channel = self._spawn()
            except Exception as error:  # noqa: BLE001 (any failure may be gone at the next attempt)
                self._not_started(error)
                return
            processes.open_files(self._process.pid)
            self.started_s = self._loop.time()
            self._exited.clear()
            self._await_exit(self._process)
            try:
                self._channel.attach(self._loop, self._heard, self._left)
                self._on_start()
            except Exception as error:  # noqa: BLE001 (as above: it is replaced)
                self.failed_starts += 1
                _log.error("cannot send messages to %s: %s", self.name, _reason(error))
                self.kill()
                return
        _log.debug("%s started as process %d", self.name, self._process.pid)

    def _spawn(self) -> tuple[subprocess.Popen[bytes], Channel]:
        """A process and our end of its channel. Raises `OSError` and other errors of the start."""
        channel, theirs = Channel.pair()
        try:
            with theirs:
                process = subprocess.Popen(  # noqa: S603 (ourselves)
                    [sys.executable, *_interpreter_flags(), "-m", self._module, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env=for_child(self.variables),
                    process_group=0 if self._own_group else None,
                )
        except BaseException:
            channel.close()
            raise
        return process, channel

    def start_now(self) -> None:
        """Start again without further delay: the cause of the last death may be gone."""
        if self._again is not None and not self._stopping:
            self._again.cancel()
            self._backoff = Backoff()
            self.start()

    def send(self, message: Message, fds: Sequence[int] = ()) -> bool:
        """As `Channel.send`; False while there is no process."""
        return self._channel is not None and self._channel.send(message, fds)

    def kill(self) -> None:
        """Kill it at once; it is replaced. No effect without a process."""
        if self._process is not None:
            self._process.kill()

    async def stop(self, message: Message | None, within_s: float) -> bool:
        """End it for good: by `message`, or by closing its channel and SIGTERM; if it takes too long, by SIGKILL.

        False if it had to be killed.
        """
        self.stop_replacing()
        process = self._process
        if process is None:
            return True
        if message is None or not self.send(message):
            if self._channel is not None:
                self._channel.close()
            process.terminate()
        try:
            await asyncio.wait_for(self._exited.wait(), within_s)
        except TimeoutError:
            _log.warning("%s did not exit within %.1f s and was killed", self.name, within_s)
            process.kill()
            await self._exited.wait()
            return False
        return True

    def kill_now(self) -> None:
        """SIGKILL, without waiting and without replacement."""
        self.stop_replacing()
        self.kill()

    async def exited(self) -> None:
        """Wait until there is no process."""
        await self._exited.wait()

    def stop_replacing(self) -> None:
        """Do not replace it when it dies."""
        self._stopping = True
        if self._again is not None:
            self._again.cancel()

    def _heard(self, message: Message, fds: list[int]) -> None:
        for fd in fds:
            os.close(fd)
        self._on_message(message)

    def _left(self) -> None:
        """It closed its channel. If it does not exit, it is killed."""
        process = self._process
        if process is not None:
            self._loop.call_later(_LEAVE_S, lambda: process.kill() if process is self._process else None)

    def _await_exit(self, process: subprocess.Popen[bytes]) -> None:
        try:
            self._pidfd = os.pidfd_open(process.pid)
        except OSError:  # refused by a seccomp profile, or no descriptor is left: poll
            self._pidfd = -1
            self._poll(process)
        else:
            self._loop.add_reader(self._pidfd, self._died)

    def _poll(self, process: subprocess.Popen[bytes]) -> None:
        if process is not self._process:
            return
        if process.poll() is None:
            self._loop.call_later(_LOOK_EVERY_S, self._poll, process)
        else:
            self._died()

    def _died(self) -> None:
        process = self._process
        if process is None or process.poll() is None:
            return
        processes.forget(process.pid)
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        if self._channel is not None:
            self._channel.read()
            self._channel.close()
        if self._own_group:
            _end_group(process.pid)
        self._process = self._channel = None
        self._exited.set()
        if not self._stopping:
            _log.error("%s (process %d) %s", self.name, process.pid, _how(process.returncode))
            self.restarts += 1
            self._start_again(self._loop.time() - self.started_s)
        self._on_exit()

    def _not_started(self, error: Exception) -> None:
        self.failed_starts += 1
        _log.error("%s cannot be started: %s", self.name, _reason(error))
        self._start_again(0.0)

    def _start_again(self, lived_s: float) -> None:
        if not self._stopping:
            self.waits_s = self._backoff.delay_s(lived_s)
            self._again = self._loop.call_later(self.waits_s, self.start)


def _interpreter_flags() -> list[str]:
    """Keep modules in the working directory out of the children, unless this process was started from there."""
    source = Path(pdns.__file__).resolve().parents[1]
    return [] if source == Path.cwd() and not sys.flags.safe_path else ["-P"]


def _end_group(process_group: int) -> None:
    try:
        os.killpg(process_group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"


def _how(returncode: int) -> str:
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"
