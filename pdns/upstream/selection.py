"""Which upstream to ask next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pdns.upstream.randomness import Randomness

if TYPE_CHECKING:
    from pdns.upstream.exchange import Exchange
    from pdns.upstream.server import UpstreamServer

_SAMPLE = 65536 // 50  # 2 %: how a slow one gets the chance to show that it has become fast
_USELESS_COSTS_S = 2.0
_MOST = float("inf")


def explore(servers: Sequence[UpstreamServer], now: float, *, ordered: bool = False) -> UpstreamServer | None:
    """An upstream that is untried, or has answered badly, when it is time to give it one question.

    If `ordered`, only one that comes before the first that is good.
    """
    if len(servers) == 1:
        return None
    for server in servers:
        if ordered and server.health.up and server.usefulness.useful:
            return None
        if server.usefulness.in_doubt and server.health.up and server.usefulness.take_turn(now):
            return server
    return None


def first(servers: Sequence[UpstreamServer], random: Randomness, now: float, *, ordered: bool = False) -> UpstreamServer:
    """For a new question: the quickest that is useful and up, now and then another; the least bad when none is.

    If `ordered`, the first that is useful and up.
    """
    if len(servers) == 1:
        return servers[0]
    up = [server for server in servers if server.health.up]
    if not up:
        return min(servers, key=lambda server: server.health.failures)
    if ordered:
        return next((server for server in up if server.usefulness.useful), up[0])
    best, least_s = up[0], _MOST
    for server in up:
        cost_s = server.health.cost_s(now)
        if not server.usefulness.useful:
            cost_s += _USELESS_COSTS_S
        if cost_s < least_s:
            best, least_s = server, cost_s
    if not best.usefulness.in_doubt and random.u16() < _SAMPLE:
        clean = [server for server in up if not server.usefulness.in_doubt]
        return clean[random.below(len(clean))]
    return best


def untried(exchange: Exchange, now: float) -> UpstreamServer | None:
    """Of its group the best that is up and was not yet asked; one that is down when none that is up can be relied on."""
    servers, ordered = exchange.group.usable, exchange.group.ordered
    if exchange.pinned is not None or len(servers) == 1:
        return None
    tried = {attempt.server for attempt in exchange.attempts} | set(exchange.unsendable)
    fresh = [server for server in servers if server not in tried]
    up = [server for server in fresh if server.health.up]
    if up and ordered:
        return next((server for server in up if server.usefulness.useful), up[0])
    if up:
        return min(up, key=lambda server: _cost_s(server, now))
    if fresh and not any(server.health.up and not server.usefulness.in_doubt for server in servers):
        return min(fresh, key=lambda server: server.health.failures)
    return None


def again(exchange: Exchange, now: float) -> UpstreamServer | None:
    """For a retransmission: one not yet asked, else the one asked longest ago, unless it has already said that it cannot."""
    if exchange.pinned is not None:
        return None
    if (fresh := untried(exchange, now)) is not None:
        return fresh
    servers = exchange.group.usable
    said_no = {server for server, _result, _message in exchange.bad}
    last_asked = {attempt.server: at for at, attempt in enumerate(exchange.attempts)}
    usable = [server for server in servers if server not in said_no]
    usable = [server for server in usable if server.health.up] or usable
    return min(usable, key=lambda server: last_asked.get(server, -1), default=None)


def _cost_s(server: UpstreamServer, now: float) -> float:
    """To choose by, lowest first."""
    return server.health.cost_s(now) if server.usefulness.useful else server.health.cost_s(now) + _USELESS_COSTS_S
