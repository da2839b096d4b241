"""Which connection goes on next, when there is more to do than one turn of the event loop may take. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

Connection = TypeVar("Connection", bound=Hashable)
MAX_REFUSALS: Final = 16  # of one client, from one `end_rests` to the next


class Turns(Generic[Connection]):
    """Connections that wait for their turn: clients go on one after the other, and so do the connections of a client.

    A client that was refused too often rests until `end_rests`. Every operation takes the same time however many wait.
    """

    def __init__(self) -> None:
        self._waiting: dict[Hashable, dict[Connection, None]] = {}  # by client; the next one first
        self._resting: dict[Hashable, dict[Connection, None]] = {}
        self._refusals: dict[Hashable, int] = {}

    def __bool__(self) -> bool:
        """Whether `take` has one to give."""
        return bool(self._waiting)

    def rests(self, client: Hashable) -> bool:
        """Whether no connection of `client` may go on now."""
        return client in self._resting

    def wait(self, connection: Connection, client: Hashable) -> None:
        """`connection` of `client` waits from now on. One that waits already keeps its place."""
        queue = self._resting.get(client)
        if queue is None:
            queue = self._waiting.setdefault(client, {})
        queue.setdefault(connection)

    def take(self) -> Connection | None:
        """The next one, which no longer waits; its client goes to the end of the queue."""
        for client, queue in self._waiting.items():
            connection = next(iter(queue))
            del queue[connection]
            del self._waiting[client]
            if queue:
                self._waiting[client] = queue
            return connection
        return None

    def leave(self, connection: Connection, client: Hashable) -> None:
        """`connection` waits no longer. No matter if it did not."""
        if not (self._waiting or self._resting):
            return
        for queues in (self._waiting, self._resting):
            queue = queues.get(client)
            if queue is not None:
                queue.pop(connection, None)
                if not queue and queues is self._waiting:
                    del queues[client]

    def refused(self, client: Hashable) -> None:
        """A message of `client` was refused because of who asks, or how much: after some of those it rests."""
        count = self._refusals[client] = self._refusals.get(client, 0) + 1
        if count >= MAX_REFUSALS and client not in self._resting:
            self._resting[client] = self._waiting.pop(client, {})

    def end_rests(self) -> None:
        """Whoever rests may go on, and may be refused as often again."""
        self._refusals.clear()
        self._waiting.update((client, queue) for client, queue in self._resting.items() if queue)
        self._resting.clear()
