"""What a compiled kernel does for the forwarder, and how its sockets are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from pdns.core.ruleset import RuleSet


class SocketSet(Protocol):
    """The sockets of one upstream, read together."""

    in_fast_forward: int  # questions that the kernel has asked and that have no answer yet
    tick: int  # of the timer that is set for the earliest of them

    def punt(self, now: float) -> None:
        """Hand every question that is overdue at `now` to the forwarder."""
        ...

    def close(self) -> None: ...


class FastForward(Protocol):
    """Forwards plain questions, and gives their plain answers to whoever waits. Everything else it punts to the forwarder."""

    def adopt(self, rules: RuleSet) -> None:
        """Check what answers lead to by `rules` from now on."""
        ...

    def ask(self, queries: list[Any], pool: Any, forwarder: Any, exact: bool, now: float, due_s: float) -> list[Any]:
        """Ask the upstream of `pool`, in a case that answers must keep if `exact`. Returns the queries that are left."""
        ...

    def shed(self, flight: Any, why: str, now: float) -> None:
        """End a question of its own, since others need its place."""
        ...


class UdpKernel(NamedTuple):
    """How the UDP sockets of an upstream are made. Without `socket_set` each reads for itself."""

    socket: Callable[[Any, Any, float], Any]
    socket_set: Callable[[Any, Any, Any], SocketSet] | None = None
