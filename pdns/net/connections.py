"""Who is connected, how many are too many, and who must make room. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Final, Generic, TypeVar

Connection = TypeVar("Connection", bound=Hashable)


class _Client(Generic[Connection]):
    __slots__ = ("idle", "key", "size")

    def __init__(self, key: Hashable) -> None:
        self.key: Final = key
        self.size = 0
        self.idle: dict[Connection, None] = {}  # longest idle first


class ConnectionTable(Generic[Connection]):
    """Connections by client, within a bound for all and a bound for each client.

    A connection is idle from when it is added until `mark_busy`, and again from each `mark_idle`. The newest idle one
    is the last to make room. Every operation takes the same time however many there are.
    """

    def __init__(self, max_connections: int, max_per_client: int) -> None:
        self.max_connections = max_connections
        self.max_per_client = max_per_client
        self._client_of: dict[Connection, _Client[Connection]] = {}
        self._clients: dict[Hashable, _Client[Connection]] = {}
        self._by_size: dict[int, dict[_Client[Connection], None]] = {}  # clients with an idle connection, by how many they have

    def __len__(self) -> int:
        return len(self._client_of)

    def __iter__(self) -> Iterator[Connection]:
        """Every connection, of a copy: they may leave meanwhile."""
        return iter(tuple(self._client_of))

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._client_of

    def has_room(self, key: Hashable) -> bool:
        """Whether one more connection of client `key` keeps both bounds."""
        client = self._clients.get(key)
        return len(self._client_of) < self.max_connections and (client is None or client.size < self.max_per_client)

    def dispensable(self, key: Hashable) -> Connection | None:
        """The connection that should make room for one of client `key`, None when nobody who could is idle.

        A client at its own bound makes room itself; else the client that has the most connections does, so
        that who opens many displaces nobody but itself.
        """
        client = self._clients.get(key)
        if client is None or client.size < self.max_per_client:
            if not self._by_size:
                return None
            client = next(iter(self._by_size[max(self._by_size)]))  # few sizes: n connections have at most sqrt(2n)
        return next(iter(client.idle), None)

    def add(self, connection: Connection, key: Hashable) -> None:
        """`connection` of client `key` is there now, and idle. The bounds are the caller's to keep."""
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = _Client(key)
        self._unrank(client)
        client.size += 1
        client.idle[connection] = None
        self._rank(client)
        self._client_of[connection] = client

    def discard(self, connection: Connection) -> None:
        """`connection` is gone. No matter if it never was there."""
        client = self._client_of.pop(connection, None)
        if client is None:
            return
        self._unrank(client)
        client.size -= 1
        client.idle.pop(connection, None)
        self._rank(client)
        if not client.size:
            del self._clients[client.key]

    def mark_busy(self, connection: Connection) -> None:
        """`connection` waits for an answer: it makes room for nobody."""
        client = self._client_of[connection]
        self._unrank(client)
        client.idle.pop(connection, None)
        self._rank(client)

    def mark_idle(self, connection: Connection) -> None:
        """`connection` is idle as of now."""
        client = self._client_of[connection]
        self._unrank(client)
        client.idle.pop(connection, None)
        client.idle[connection] = None
        self._rank(client)

    def _rank(self, client: _Client[Connection]) -> None:
        if client.idle:
            self._by_size.setdefault(client.size, {})[client] = None

    def _unrank(self, client: _Client[Connection]) -> None:
        if client.idle:
            same_size = self._by_size[client.size]
            del same_size[client]
            if not same_size:
                del self._by_size[client.size]
