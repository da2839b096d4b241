"""Which upstream to ask next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pdns.upstream.randomness import Randomness

if TYPE_CHECKING:
    from pdns.upstream.exchange import Exchange
    from pdns.upstream.server import Server

_EXPLORE = 65536 // 50  # 2 %: how a slow one gets the chance to show that it has become fast


def first(servers: Sequence[Server], random: Randomness, now: float) -> Server:
    """For a new question: the quickest that is up, now and then another; the least bad when none is up."""
    if len(servers) == 1:
        return servers[0]
    up = [server for server in servers if server.health.up]
    if not up:
        return min(servers, key=lambda server: server.health.failures)
    best = min(up, key=lambda server: server.health.cost_s(now))
    if best.health.srtt_s is not None and random.u16() < _EXPLORE:
        return up[random.below(len(up))]
    return best


def untried(servers: Sequence[Server], exchange: Exchange, now: float) -> Server | None:
    """The quickest that is up and was not yet asked this question."""
    if exchange.pinned is not None or len(servers) == 1:
        return None
    tried = {attempt.server for attempt in exchange.attempts}
    fresh = [server for server in servers if server.health.up and server not in tried]
    return min(fresh, key=lambda server: server.health.cost_s(now)) if fresh else None


def again(servers: Sequence[Server], exchange: Exchange, now: float) -> Server | None:
    """For a retransmission: one not yet asked, else the one asked longest ago, unless it has already said that it cannot."""
    if exchange.pinned is not None:
        return None
    if (fresh := untried(servers, exchange, now)) is not None:
        return fresh
    said_no = {server for server, _result, _message in exchange.bad}
    last_asked = {attempt.server: at for at, attempt in enumerate(exchange.attempts)}
    usable = [server for server in servers if server not in said_no]
    usable = [server for server in usable if server.health.up] or usable
    return min(usable, key=lambda server: last_asked.get(server, -1), default=None)
