"""How many encrypted connections there may be, how fast they may come, and for how long they stay."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, NamedTuple


class EncryptedLimits(NamedTuple):
    """What one client, and all of them, may take. For IPv6 a client is a /64: whoever has one has all of it."""

    max_connections: int = 4000
    max_per_client: int = 100
    idle_timeout_s: float = 30.0  # since the last whole message; also how long a peer may leave answers unread
    handshake_timeout_s: float = 5.0  # from the first byte that is awaited to the end of the handshake
    max_handshakes: int = 200  # at a time
    new_per_client_per_s: int = 50
    answer_deadline_s: float = 10.0  # after that long nothing asked before will be answered
    max_outstanding: int = 128  # queries of one connection at a time; the next ones wait
    pads: bool = True
    max_streams: int = 100  # of a connection of HTTP/2, at a time


_MOST_CLIENTS: Final = 8192


class NewConnections:
    """How many connections each client began lately. No I/O, no clock.

    A client may begin `per_s` in a second, and as many at once. One that goes on is refused until it has been quiet for as long
    as its excess lasts, a second at most. Clients beyond 8,192 at a time are not counted.
    """

    def __init__(self, per_s: int) -> None:
        self.per_s = per_s
        self._full_s: dict[Hashable, float] = {}  # when a client may again begin as many as ever

    def __len__(self) -> int:
        return len(self._full_s)

    def admits(self, client: Hashable, now_s: float) -> bool:
        """Whether `client` may begin one more. `now_s` is of one monotonic clock."""
        full_s = max(self._full_s.get(client, now_s), now_s)
        if full_s - now_s > 1.0 - 0.5 / self.per_s:
            return False
        if client in self._full_s or len(self._full_s) < _MOST_CLIENTS:
            self._full_s[client] = full_s + 1.0 / self.per_s
        return True

    def forget(self, now_s: float) -> None:
        """Clients that may begin as many as ever are not counted until they come again."""
        for client in [client for client, full_s in self._full_s.items() if full_s <= now_s]:
            del self._full_s[client]
