"""Turns of connections on an event loop: when the next one is due, and when clients that rest may go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from pdns.net.turns import Turns

Connection = TypeVar("Connection", bound=Hashable)
_REST_S: Final = 0.02


class TurnLoop(Generic[Connection]):
    """Calls `take_turns` in the next turn of `loop` while a connection waits. It takes from `turns` what it has time for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, take_turns: Callable[[], None]) -> None:
        self.turns: Final[Turns[Connection]] = Turns()
        self._loop, self._take_turns = loop, take_turns
        self._is_due = False
        self._rest: asyncio.TimerHandle | None = None

    def wait(self, connection: Connection, client: Hashable) -> None:
        """`connection` of `client` goes on in its turn."""
        self.turns.wait(connection, client)
        self._go_on_later()

    def refused(self, client: Hashable) -> bool:
        """A message of `client` was refused because of who asks, or how much. True when the client is to rest now."""
        self.turns.refused(client)
        if self._rest is None:
            self._rest = self._loop.call_later(_REST_S, self._end_rests)
        return self.turns.rests(client)

    def close(self) -> None:
        """End no rests any more."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _go_on(self) -> None:
        self._is_due = False
        self._take_turns()
        self._go_on_later()

    def _end_rests(self) -> None:
        self._rest = None
        self.turns.end_rests()
        self._go_on_later()

    def _go_on_later(self) -> None:
        if self.turns and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._go_on)
