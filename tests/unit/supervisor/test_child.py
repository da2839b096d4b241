"""Child processes that are replaced when they die."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from pdns.ipc.channel import Channel
from pdns.ipc.messages import Drain, Drained, Message, Ready
from pdns.supervisor.child import BACKOFF_S, HEALTHY_AFTER_S, Backoff, Child
from tests.integration.running_pdns import is_running

CHILD = """
import signal, subprocess, sys, time
from pdns.ipc.channel import *; from pdns.ipc.messages import *; from pdns.ipc.config_memfd import *
channel = Channel.from_fd(int(sys.argv[1]))
class Loop:
    def add_reader(self, fd, callback): self.callback = callback
    def remove_reader(self, fd): pass
loop = Loop()
def heard(message, fds):
    MESSAGE
channel.attach(loop, heard, lambda: sys.exit(0))
START
channel.send(Ready(1))
import select
while True:
    select.select([channel._sock], [], [])
    loop.callback()
"""


class Scene:
    """A child whose module is written by the test, and what it and its keeper said."""

    def __init__(self, directory: Path, message: str, start: str, *, own_group: bool = False) -> None:
        (directory / "odd_child.py").write_text(CHILD.replace("MESSAGE", message).replace("START", start))
        self.messages: list[Message] = []
        self.starts = 0
        self.exits = 0
        self.child = Child(
            "odd",
            "odd_child",
            asyncio.get_running_loop(),
            on_start=self._started,
            on_message=self.messages.append,
            on_exit=self._exited,
            own_group=own_group,
        )

    def _started(self) -> None:
        self.starts += 1

    def _exited(self) -> None:
        self.exits += 1

    def has(self, *, messages: int = 0, exits: int = 0) -> bool:
        return len(self.messages) >= messages and self.exits >= exits

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 (processes tell of no event)
                await asyncio.sleep(0.01)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Awaitable[None]]], None]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])]))
    return lambda story: asyncio.run(story())  # type: ignore[arg-type]


def test_backoff_grows_and_is_forgotten_after_health() -> None:
    """At once, then ever later up to 5 s; a minute of health starts it anew."""
    backoff = Backoff()
    assert [backoff.delay_s(1.0) for _ in range(8)] == [*BACKOFF_S, 5.0, 5.0]
    assert backoff.delay_s(HEALTHY_AFTER_S) == 0.0
    assert backoff.delay_s(0.0) == 0.1


def test_it_ends_when_told(tmp_path: Path, run: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
    """A child that understands the message leaves by itself; its last words are heard; it is not replaced."""

    async def story() -> None:
        scene = Scene(tmp_path, "channel.send(Drained(3)); sys.exit(0)", "")
        scene.child.start()
        await scene.until(lambda: Ready(1) in scene.messages)
        assert await scene.child.stop(Drain(), 5)
        assert Drained(3) in scene.messages
        assert (scene.starts, scene.exits, scene.child.restarts, scene.child.pid) == (1, 1, 0, None)
        assert not scene.child.send(Drain())
        assert await scene.child.stop(Drain(), 5)

    run(story)


def test_one_that_will_not_end_is_killed(tmp_path: Path, run: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
    """A child that ignores everything is gone after the time it was given."""

    async def story() -> None:
        scene = Scene(tmp_path, "pass", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
        scene.child.start()
        await scene.until(lambda: scene.messages)
        pid = scene.child.pid
        assert pid is not None
        assert not await scene.child.stop(Drain(), 0.1)
        assert not is_running(pid)

    run(story)


def test_one_that_dies_is_replaced(tmp_path: Path, run: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
    """After each death there is another, told anew what it needs; `start_now` does not wait for the backoff."""

    async def story() -> None:
        scene = Scene(tmp_path, "pass", "")
        scene.child.start()
        for n in range(1, 4):
            await scene.until(partial(scene.has, messages=n))
            scene.child.kill()
            await scene.until(partial(scene.has, exits=n))
            if n == 3:
                scene.child.start_now()
                assert scene.starts == 4
        assert scene.child.restarts == 3
        await scene.until(lambda: len(scene.messages) == 4)
        scene.child.kill_now()
        await scene.until(lambda: scene.exits == 4)
        await asyncio.sleep(0.02)
        assert scene.starts == 4

    run(story)


def test_one_that_closes_its_channel_and_stays_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[[Callable[[], Awaitable[None]]], None]
) -> None:
    """Without its channel a child is of no use: it has a moment to leave, then it is made to, and is replaced."""
    monkeypatch.setattr("pdns.supervisor.child._LEAVE_S", 0.1)

    async def story() -> None:
        scene = Scene(tmp_path, "channel.close(); time.sleep(60)", "")
        scene.child.start()
        await scene.until(lambda: scene.messages)
        first = scene.child.pid
        scene.child.send(Drain())
        await scene.until(lambda: scene.starts == 2)
        assert scene.child.pid != first
        await scene.until(lambda: len(scene.messages) == 2)
        await scene.child.stop(None, 5)

    run(story)


def test_what_a_child_started_ends_with_it(tmp_path: Path, run: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
    """With a group of its own, the children of a killed child are killed too."""

    async def story() -> None:
        start = (
            "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, file=open(PATH, 'w'), flush=True)"
        )
        scene = Scene(tmp_path, "pass", start.replace("PATH", repr(str(tmp_path / "pid"))), own_group=True)
        scene.child.start()
        await scene.until(lambda: scene.messages)
        grandchild = int((tmp_path / "pid").read_text())
        assert is_running(grandchild)
        scene.child.kill_now()
        await scene.until(lambda: not is_running(grandchild))

    run(story)


def test_modules_in_the_working_directory_do_not_get_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[[Callable[[], Awaitable[None]]], None]
) -> None:
    """A file named like a module of ours, in the directory that the server was started in, is not imported by a child."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "msgspec.py").write_text("raise SystemExit(99)\n")
    monkeypatch.chdir(elsewhere)

    async def story() -> None:
        scene = Scene(tmp_path, "sys.exit(0)", "")
        scene.child.start()
        await scene.until(lambda: scene.messages or scene.exits)
        assert scene.messages
        await scene.child.stop(Drain(), 5)

    run(story)


@pytest.mark.parametrize(("end", "words"), [("sys.exit(7)", "exit code 7"), ("signal.raise_signal(signal.SIGABRT)", "SIGABRT")])
def test_how_it_died_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, run: Callable[[Callable[[], Awaitable[None]]], None], end: str, words: str
) -> None:
    """The log names the process, and the exit code or the signal."""

    async def story() -> None:
        scene = Scene(tmp_path, end, "")
        scene.child.start()
        await scene.until(lambda: scene.messages)
        scene.child.send(Drain())
        await scene.until(lambda: scene.exits)
        await scene.child.stop(None, 5)

    run(story)
    assert any("odd (process" in text and words in text for text in caplog.messages)


def test_whatever_keeps_it_from_starting_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[[Callable[[], Awaitable[None]]], None]
) -> None:
    """A start that fails, for a reason that no list of errors has, is said and counted, and the next one is made."""
    reasons = [RuntimeError("odd"), OSError(24, "Too many open files"), MemoryError()]
    pair = Channel.pair

    def failing() -> object:
        if reasons:
            raise reasons.pop(0)
        return pair()

    monkeypatch.setattr(Channel, "pair", failing)

    async def story() -> None:
        scene = Scene(tmp_path, "sys.exit(0)", "")
        scene.child.start()
        await scene.until(lambda: scene.messages)
        assert (scene.child.failed_starts, scene.starts) == (3, 1)
        await scene.child.stop(Drain(), 5)

    run(story)
