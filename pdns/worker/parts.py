"""What a service is made of. `kernels.py` has the compiled parts; `pdns/reference` has what they are tested against."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from pdns.core.blocking import NewBlocker
from pdns.core.cache import AnswerCache
from pdns.core.client_identity import Views
from pdns.core.credentials import Credential
from pdns.core.in_flight import InFlight
from pdns.core.ruleset import RuleSet
from pdns.core.tunnels import TunnelReport, TunnelRules
from pdns.net.edge import EdgeStats, MessageHandler
from pdns.state.zone_changes import Primaries
from pdns.telemetry.event_ring import EventRing
from pdns.telemetry.ring import Ring
from pdns.upstream.kernel import FastForward, UdpKernel
from pdns.wire.transport import Transport


class FastPath(Protocol):
    """Answers what needs no decision: broken packets, strangers, floods, and what is in the cache. Counts what it answers."""

    refused: bool  # the last message, because its client may not ask, or not as much

    def adopt(self, rules: RuleSet, primaries: Primaries, blocker: Any) -> None:
        """Answer by `rules` from now on; `primaries` answers messages that are no queries, `blocker` is that of the resolver."""
        ...

    def admits(self, address: str, credential: Credential) -> bool:
        """As `pdns.worker.service.Service.admits`."""
        ...

    def answer(self, wire: bytes, address: str, transport: Transport, now: float, credential: Credential = ...) -> Any:
        """The answer as `bytes`, None for silence, or a query that is to be decided, with its `client`."""
        ...

    def note_in(self, asked: Any) -> None:
        """Note the names that it answers and does not block in `asked`, a `NotesNames`; None: nowhere."""
        ...

    def copy_in(self, tap: Any) -> None:
        """Copy queries in `tap`, a `CopiesQueries`; None: nowhere."""
        ...

    def send_cached(self, asked: Any, source: str, transport: Transport, now: float, began_s: float) -> bytes | None:
        """The answer to `asked` that is in the cache now, counted under `source`; None for silence."""
        ...


Datagram = Any
"""A query that the fast path did not answer: a `Query` with `client`, `address`, `port`, `transport`, `started_s`, `reply(wire)`
and, over UDP, `send_cached(source, now)`.
"""


class CleanQueries(Protocol):
    """Queries of one batch whose names no feed lists, good until the next batch is read."""

    def __len__(self) -> int: ...
    def datagrams(self) -> list[Datagram]: ...


class NotesNames(Protocol):
    """Notes names that were answered and not blocked: `pdns.telemetry.asked_names`."""

    def turn(self, day: int) -> None: ...
    def note(self, qname: bytes, tenant: str) -> None: ...


class CopiesQueries(Protocol):
    """Copies queries for taps: `pdns.reference.query_tap`."""

    def configure(self, views: Views, tapped: frozenset[str], every: int, first: int) -> None: ...


class EventWriter(Protocol):
    """Writes events of blocked and monitored queries to a ring: `pdns.reference.event_writer`."""

    def configure(self, views: Views) -> None: ...
    def note(
        self, key: bytes, tenant: str, address: str, transport: Transport, qname: bytes, qtype: int, listed: bytes, text: bytes,
        slots: tuple[int, ...], now: float,
    ) -> None: ...  # fmt: skip
    def sweep(self, now: float) -> None: ...
    def flush(self, now: float) -> None: ...


class UdpListener(Protocol):
    """Hands every datagram of a socket to a service."""

    def resume(self) -> None: ...
    def pause(self) -> None: ...
    def read_now(self) -> None: ...
    def trust(self, networks: Sequence[str]) -> None: ...
    def close(self) -> None: ...


NewUdpListener = Callable[[socket.socket, MessageHandler, asyncio.AbstractEventLoop, EdgeStats, Any], UdpListener]


class TunnelKernel(Protocol):
    """As `pdns.core.tunnels.TunnelMeter`."""

    @property
    def on(self) -> bool: ...
    def adopt(self, rules: TunnelRules, now: float) -> None: ...
    def saw(self, qname: bytes, tenant: str, client: bytes, now: float) -> None: ...
    def take(self, now: float) -> list[TunnelReport]: ...


class Kernels(NamedTuple):
    """How each part is made. The reference has no `fast_path` and no `fast_forward`: `ReferenceService` does their work."""

    cache: Callable[[int], AnswerCache]
    in_flight: Callable[[int, int, float, tuple[int, int]], InFlight]
    blocker: NewBlocker
    tunnels: Callable[[bytes], TunnelKernel]
    udp_listener: NewUdpListener
    upstream: UdpKernel
    fast_path: Callable[..., FastPath] | None
    fast_forward: Callable[..., FastForward] | None
    asked_names: Callable[..., NotesNames]
    event_writer: Callable[[EventRing, bytes, Any], EventWriter]
    query_tap: Callable[[Ring, bytes, Callable[[str], int]], CopiesQueries]
