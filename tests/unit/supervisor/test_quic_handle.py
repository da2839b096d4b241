"""The quic process as the supervisor owns it: real processes, and what each of them is sent."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import cast

import pytest

from pdns.config.schema import Config
from pdns.config.watch import load_version
from pdns.errors import PdnsError
from pdns.ipc.messages import Message, QuicBegin, QuicHandOver, RelayEnded, RelayTo, ServeQuic, TakeRelay
from pdns.supervisor import quic_handle
from pdns.supervisor.certificates import Certificates
from pdns.supervisor.child import Child
from pdns.supervisor.listeners import ListenerSet
from pdns.supervisor.quic_handle import QuicHandle, quic_endpoints
from pdns.supervisor.worker_handle import WorkerHandle
from tests.certificates import issue, write_pair
from tests.fakes.edges import until

PAIR = 'cert_file = "fullchain.pem"\nkey_file = "privkey.pem"\n'


class HeardChild(Child):
    """A real process. What it is sent is kept."""

    messages: list[tuple[int | None, Message]] = []  # noqa: RUF012 (of all processes, in order)

    def send(self, message: Message, fds: Sequence[int] = ()) -> bool:
        self.messages.append((self.pid, message))
        return super().send(message, fds)


class OneWorker:
    """A worker of that process, 0: none is ready. It keeps the ways to quic processes open."""

    count, index, ready = 1, 0, True

    def __init__(self) -> None:
        self.pid: int | None = 0
        self.ways: list[int] = []  # descriptors
        self.child = self

    @property
    def current(self) -> Sequence[WorkerHandle]:
        return cast("Sequence[WorkerHandle]", [self] if self.pid else [])

    def send(self, message: Message, fds: Sequence[int] = ()) -> bool:
        assert isinstance(message, TakeRelay)
        self.ways += map(os.dup, fds)
        return True


class QuicScene:
    """A handle with its certificates."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        write_pair(directory, issue())
        self.live = self.config("quic", "h3")
        self.listeners = ListenerSet()
        self.certificates = Certificates(lambda: self.handle.receivers)
        self.worker = OneWorker()
        self.handle = QuicHandle(lambda: self.live, lambda: self.worker, lambda: self.listeners, lambda: self.certificates)

    def config(self, *transports: str, port: int = 0) -> Config:
        sections = "".join(f'[[listener]]\ntransport = "{one}"\nlisten = ["127.0.0.1:{port}"]\n{PAIR}' for one in transports)
        (self.directory / "pdns.toml").write_text(f'[upstream]\nservers = ["192.0.2.53"]\n{sections}')
        return load_version(self.directory / "pdns.toml").config

    async def serve(self, config: Config) -> None:
        self.handle.bind(config)
        self.certificates.adopt(self.certificates.read(config), config)
        self.live = config
        await self.handle.serve()

    async def replaced(self) -> None:
        """The next process is the process."""
        before = self.handle.pid
        await self.handle.restart()
        await until(lambda: self.handle.pid != before)

    def messages(self, pid: int | None, kind: type[Message]) -> list[Message]:
        return [message for to, message in HeardChild.messages if to == pid and isinstance(message, kind)]


def run(directory: Path, monkeypatch: pytest.MonkeyPatch, story: Callable[[QuicScene], Awaitable[None]]) -> None:
    async def body() -> None:
        scene = QuicScene(directory)
        try:
            await story(scene)
        finally:
            await scene.handle.close()
            scene.certificates.close()
            for fd in scene.worker.ways:
                os.close(fd)

    monkeypatch.setattr(quic_handle, "Child", HeardChild)
    monkeypatch.setattr(HeardChild, "messages", [])
    asyncio.run(body())


def numbers(messages: list[Message]) -> list[int]:
    return [message.process for message in messages if isinstance(message, ServeQuic)]


def test_each_process_knows_the_number_of_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connection ids begin with it. A process that was never ready, and a reload meanwhile, change nothing."""

    async def story(scene: QuicScene) -> None:
        await scene.serve(scene.live)
        first = scene.handle.pid
        assert scene.messages(first, QuicBegin) == [QuicBegin()]
        await scene.handle.restart()
        failed = scene.handle._next
        assert failed is not None
        await scene.serve(scene.live)  # a reload
        scene.handle._give_up(failed)
        assert scene.handle.pid == first
        assert scene.handle.failed_starts == 1
        await scene.replaced()
        second = scene.handle.pid
        assert set(numbers(scene.messages(first, ServeQuic))) == {0}
        assert numbers(scene.messages(second, ServeQuic)) == [1]
        assert scene.messages(second, QuicBegin) == [QuicBegin(0)]
        assert scene.messages(first, QuicHandOver) == [QuicHandOver()]
        await scene.replaced()
        assert numbers(scene.messages(scene.handle.pid, ServeQuic)) == [2]
        assert scene.messages(scene.handle.pid, QuicBegin) == [QuicBegin(1)]

    run(tmp_path, monkeypatch, story)


def test_a_process_that_dies_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same sockets and number: clients hear by a stateless reset that their connections are gone."""

    async def story(scene: QuicScene) -> None:
        await scene.serve(scene.live)
        first, endpoints = scene.handle.pid, scene.handle.endpoints
        assert len(endpoints) == 2
        scene.handle._child.kill()
        await until(lambda: scene.handle.pid not in (None, first))
        assert (scene.handle.restarts, scene.handle.endpoints, scene.handle.remarks) == (1, endpoints, [])
        assert numbers(scene.messages(scene.handle.pid, ServeQuic)) == [0]
        assert scene.messages(scene.handle.pid, QuicBegin) == [QuicBegin()]

    run(tmp_path, monkeypatch, story)


def test_a_new_worker_is_shown_to_both_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also to the one before, which still has clients, and at once: only a way between two that both live waits for a second."""

    async def story(scene: QuicScene) -> None:
        await scene.serve(scene.live)
        before = scene.handle._child
        scene.worker.pid = 1001
        await until(lambda: len(scene.worker.ways) == 1)
        await scene.replaced()
        assert len(scene.worker.ways) == 2
        scene.handle._heard(before, RelayEnded(0))
        scene.handle._look()
        assert len(scene.worker.ways) == 2
        scene.worker.pid = 1002
        scene.handle._look()
        assert len(scene.worker.ways) == 4
        assert scene.messages(before.pid, RelayTo) == [RelayTo(0)] * 2
        assert scene.messages(scene.handle.pid, RelayTo) == [RelayTo(0)] * 2

    run(tmp_path, monkeypatch, story)


def test_sockets_follow_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that stays keeps its port; without any there is no process, and it comes again."""

    async def story(scene: QuicScene) -> None:
        await scene.serve(scene.live)
        quic = scene.handle._sockets["quic://127.0.0.1:0"].getsockname()
        await scene.serve(scene.config("quic"))
        assert [tuple(one) for one in scene.handle.endpoints] == [quic]
        await scene.serve(scene.config())
        assert (scene.handle.endpoints, scene.handle.pid, scene.handle.remarks) == ([], None, [])
        await scene.handle.restart()  # of nothing
        await scene.serve(scene.config("h3"))
        assert scene.handle.pid is not None

    run(tmp_path, monkeypatch, story)


def test_an_address_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The section is named, and nothing stays bound."""

    async def story(scene: QuicScene) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            config = scene.config("quic", port=other.getsockname()[1])
            assert list(quic_endpoints(config)) == [f"quic://127.0.0.1:{other.getsockname()[1]}"]
            with pytest.raises(PdnsError, match=r"^listener\[0\]\.listen: "):
                scene.handle.bind(config)
            assert scene.handle._bound == {}

    run(tmp_path, monkeypatch, story)
