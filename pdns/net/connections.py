"""Who is connected, how many are too many, and who must make room. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Final, Generic, TypeVar

Connection = TypeVar("Connection", bound=Hashable)
_RESERVED_PART: Final = 8
_SHORTEST_IDLE_S: Final = 0.2  # of a connection while there is no room for another


class _Client(Generic[Connection]):
    __slots__ = ("busy", "idle", "key", "size")

    def __init__(self, key: Hashable) -> None:
        self.key: Final = key
        self.size = 0
        self.busy: dict[Connection, None] = {}  # longest busy first
        self.idle: dict[Connection, None] = {}  # longest idle first


class ConnectionTable(Generic[Connection]):
    """Connections by client, within a bound for all and a bound for each client. An eighth of the room is for clients that have
    none.

    A connection is idle from when it is added until `mark_busy`, and again from each `mark_idle`. The newest idle one
    is the last to make room. Every operation takes the same time however many there are.
    """

    def __init__(self, max_connections: int, max_per_client: int) -> None:
        self.max_connections = max_connections
        self.max_per_client = max_per_client
        self._client_of: dict[Connection, _Client[Connection]] = {}
        self._clients: dict[Hashable, _Client[Connection]] = {}
        self._by_size: dict[int, dict[_Client[Connection], None]] = {}  # clients, by how many connections they have
        self._with_idle: dict[int, dict[_Client[Connection], None]] = {}  # the same, of those with an idle one

    def __len__(self) -> int:
        return len(self._client_of)

    def __iter__(self) -> Iterator[Connection]:
        """Every connection, of a copy: they may leave meanwhile."""
        return iter(tuple(self._client_of))

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._client_of

    def has_room(self, key: Hashable, max_of_client: int | None = None) -> bool:
        """Whether one more connection of client `key` keeps both bounds; `max_of_client` is this client's, if it has its own."""
        client = self._clients.get(key)
        if client is None:
            return len(self._client_of) < self.max_connections
        free = self.max_connections - self.max_connections // _RESERVED_PART - len(self._client_of)
        return free > 0 and client.size < (max_of_client or self.max_per_client)

    def idle_limit_s(self, longest_s: float) -> float:
        """How long a connection may be idle, as full as it is now; `longest_s` while it is at most half full."""
        shortest_s = min(_SHORTEST_IDLE_S, longest_s)
        free = 1.0 - len(self._client_of) / self.max_connections
        return shortest_s + (longest_s - shortest_s) * min(1.0, max(0.0, 2.0 * free))

    def find_room(self, key: Hashable, end: Callable[[Connection], None], max_of_client: int | None = None) -> bool:
        """Whether there is room for one more connection of client `key`, if need be once `end` has ended others."""
        while not self.has_room(key, max_of_client):
            dispensable = self.dispensable(key, max_of_client)
            if dispensable is None:
                return False
            end(dispensable)
        return True

    def is_busy(self, connection: Connection) -> bool:
        """Whether `connection` waits for an answer."""
        return connection in self._client_of[connection].busy

    def dispensable(self, key: Hashable, max_of_client: int | None = None) -> Connection | None:
        """The connection that should make room for one of client `key`; None when that client has no fewer than the others.

        A client at its own bound makes room itself, by an idle one. Else the client with the most connections does, idle ones
        first, so that a client that opens many closes its own. One that is busy is closed when its client has at least two
        more than the new one, and no idle connection is left but of clients with less than half as many.
        """
        client = self._clients.get(key)
        if client is not None and client.size >= (max_of_client or self.max_per_client):
            return next(iter(client.idle), None)
        if not self._by_size:
            return None
        most = max(self._by_size)  # few sizes: n connections have at most sqrt(2n)
        most_with_idle = max(self._with_idle, default=0)
        has = 0 if client is None else client.size
        if most <= has + 1 or most <= 2 * most_with_idle:
            return next(iter(next(iter(self._with_idle[most_with_idle])).idle)) if self._with_idle else None
        largest = next(iter(self._by_size[most]))
        return next(iter(largest.idle or largest.busy))

    def add(self, connection: Connection, key: Hashable) -> None:
        """`connection` of client `key` is there now, and idle. The bounds are the caller's to keep."""
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = _Client(key)
        else:
            self._unrank(client)
        client.size += 1
        client.idle[connection] = None
        self._rank(client)
        self._client_of[connection] = client

    def discard(self, connection: Connection) -> bool:
        """`connection` is gone. Returns whether it was there."""
        client = self._client_of.pop(connection, None)
        if client is None:
            return False
        self._unrank(client)
        client.size -= 1
        client.idle.pop(connection, None)
        client.busy.pop(connection, None)
        if client.size:
            self._rank(client)
        else:
            del self._clients[client.key]
        return True

    def mark_busy(self, connection: Connection) -> None:
        """`connection` waits for an answer as of now: it makes room only where its client has far more than others."""
        client = self._client_of[connection]
        self._unrank(client)
        client.idle.pop(connection, None)
        client.busy.pop(connection, None)
        client.busy[connection] = None
        self._rank(client)

    def mark_idle(self, connection: Connection) -> None:
        """`connection` is idle as of now."""
        client = self._client_of[connection]
        self._unrank(client)
        client.idle.pop(connection, None)
        client.busy.pop(connection, None)
        client.idle[connection] = None
        self._rank(client)

    def _rank(self, client: _Client[Connection]) -> None:
        if client.size:
            self._by_size.setdefault(client.size, {})[client] = None
        if client.idle:
            self._with_idle.setdefault(client.size, {})[client] = None

    def _unrank(self, client: _Client[Connection]) -> None:
        if client.size:
            _take_out(self._by_size, client)
        if client.idle:
            _take_out(self._with_idle, client)


def _take_out(by_size: dict[int, dict[_Client[Connection], None]], client: _Client[Connection]) -> None:
    same_size = by_size[client.size]
    del same_size[client]
    if not same_size:
        del by_size[client.size]
