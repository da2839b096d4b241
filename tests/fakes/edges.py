"""What stands behind and around a listener in tests: a service that does as told, a tally of what is counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from pdns.net.edge import Reply
from pdns.wire.transport import Transport


class Asked(NamedTuple):
    """One message as the service got it."""

    wire: bytes
    client: str
    port: int
    transport: str


class Tally:
    """Counts in memory."""

    def __init__(self) -> None:
        self.drops: Counter[str] = Counter()
        self.gauges: dict[str, int] = {}

    def dropped(self, reason: str) -> None:
        self.drops[reason] += 1

    def gauge(self, family: str, value: int, *labels: str) -> None:
        self.gauges[family] = value


class FakeService:
    """Notes each message, then lets `act` do with it and its reply as it likes."""

    def __init__(self, act: Callable[[bytes, Reply], None]) -> None:
        self.asked: list[Asked] = []
        self.act = act
        self.refuses = False  # whoever asks

    def on_message(self, wire: bytes, client: str, port: int, transport: Transport, reply: Reply) -> bool:
        self.asked.append(Asked(wire, client, port, transport))
        self.act(wire, reply)
        return self.refuses


class Held:
    """Keeps replies until somebody takes them out."""

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
    """What a service must not do."""
    raise RuntimeError("a bug")


def message(number: int, text: bytes = b"") -> bytes:
    """A header with the id `number`, and `text` behind it."""
    return number.to_bytes(2) + bytes(10) + text


async def until(true: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Return when `true()` is. Fails after `timeout_s`."""
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110 (what is waited for knows nothing of this test)
            await asyncio.sleep(0.002)
