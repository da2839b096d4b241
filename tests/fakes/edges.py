"""Fakes of what surrounds a listener: a service whose behaviour the test chooses, and statistics in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from pdns.core.credentials import NO_CREDENTIAL, Credential
from pdns.net.edge import Reply
from pdns.wire.transport import Transport


class ReceivedMessage(NamedTuple):
    """One message as the service received it."""

    wire: bytes
    client: str
    port: int
    transport: str


class FakeStatistics:
    """Counts in memory."""

    def __init__(self) -> None:
        self.drops: Counter[str] = Counter()
        self.gauges: dict[str, int] = {}

    def dropped(self, reason: str) -> None:
        self.drops[reason] += 1

    def gauge(self, family: str, value: int, *labels: str) -> None:
        self.gauges[family] = value


class FakeService:
    """Records each message, then passes it and its reply to `act`."""

    def __init__(self, act: Callable[[bytes, Reply], None]) -> None:
        self.asked: list[ReceivedMessage] = []
        self.act = act
        self.refuses = False  # every client

    def on_message(
        self, wire: bytes, client: str, port: int, transport: Transport, reply: Reply, credential: Credential = NO_CREDENTIAL
    ) -> bool:
        self.asked.append(ReceivedMessage(wire, client, port, transport))
        self.act(wire, reply)
        return self.refuses


class Held:
    """Keeps replies until the test takes them out."""

    def __init__(self) -> None:
        self.replies: list[tuple[bytes, Reply]] = []

    def __call__(self, wire: bytes, reply: Reply) -> None:
        self.replies.append((wire, reply))


def echo(wire: bytes, reply: Reply) -> None:
    """Answer at once, with what was asked."""
    reply(wire)


def drop(wire: bytes, reply: Reply) -> None:
    """Never answer, and keep nothing."""


def fail(wire: bytes, reply: Reply) -> None:
    """Raise, which a service must not do."""
    raise RuntimeError("a bug")


def message(number: int, text: bytes = b"") -> bytes:
    """A header with the id `number`, and `text` behind it."""
    return number.to_bytes(2) + bytes(10) + text


async def until(true: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Return when `true()` is. Fails after `timeout_s`."""
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.002)
