"""New connections that wait for their turn, and which of them are too many. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Final, Generic, TypeVar

Connection = TypeVar("Connection", bound=Hashable)


MODEST: Final = 8  # so many of one client are not turned away for others


class Arrivals(Generic[Connection]):
    """New connections by client, within a bound for all. A client that opens many loses those beyond it."""

    def __init__(self, most: int) -> None:
        self._most: Final = most
        self._of: dict[Hashable, dict[Connection, None]] = {}  # by client, in order of arrival
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Connection]:
        """Each that waits, of a copy: they may leave meanwhile."""
        return iter([connection for queue in self._of.values() for connection in queue])

    @property
    def is_full(self) -> bool:
        """Whether the next one must stay in the queue of the kernel: there are as many as may be, of clients with few each."""
        return self._count >= self._most and len(self._of[self._largest()]) < MODEST

    def add(self, connection: Connection, client: Hashable) -> Connection | None:
        """`connection` of `client` waits. Returns the one that must go for it, if any: the newest of the client with the most.

        Not to be called while it `is_full`.
        """
        self._of.setdefault(client, {})[connection] = None
        self._count += 1
        if self._count <= self._most:
            return None
        largest = self._largest()
        newest = next(reversed(self._of[largest]))
        self.discard(newest, largest)
        return newest

    def discard(self, connection: Connection, client: Hashable) -> None:
        """`connection` waits no longer. No effect if it did not."""
        queue = self._of.get(client)
        if queue is None or connection not in queue:
            return
        del queue[connection]
        self._count -= 1
        if not queue:
            del self._of[client]

    def _largest(self) -> Hashable:
        return max(self._of, key=lambda client: len(self._of[client]))
