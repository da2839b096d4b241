"""The forwarder: questions in, one call of `done` for each out."""

# kernel: pdns/fast/fast_forward.pyx

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from pdns.clock import boottime_s
from pdns.config.schema import Upstream
from pdns.errors import ConfigError
from pdns.net.descriptors import limit
from pdns.upstream import selection
from pdns.upstream.answers import SIGN_OF_LIFE, Answers
from pdns.upstream.descriptors import udp_sockets
from pdns.upstream.exchange import Attempt, Done, Exchange, UpstreamAnswer, UpstreamFailure, UpstreamQuestion, UpstreamStats
from pdns.upstream.health_monitor import HealthMonitor
from pdns.upstream.kernel import FastForward, SocketSet, UdpKernel
from pdns.upstream.pools import UpstreamPools, tls_context
from pdns.upstream.randomness import Randomness
from pdns.upstream.rounds import MAX_ROUNDS, NOT_SENT, Rounds, call
from pdns.upstream.server import UpstreamServer
from pdns.upstream.timers import TICK_S, Timers
from pdns.upstream.udp import UdpSocket
from pdns.wire import protocol as p

PROBE_TIMEOUT_S = 1.5

_ALL = float("inf")
_PROBE = UpstreamQuestion(b"\0", p.NS, p.CLASS_IN, do=False, cd=False)
_SHUTTING_DOWN = UpstreamFailure(p.EDE_NETWORK_ERROR, "shutting down")


class Forwarder:
    """All upstreams of one configuration.

    `resolve` takes no task and awaits nothing. Each call is one exchange: the caller merges identical questions and bounds how
    many are in flight.
    Raises `ConfigError` when `ca_file` cannot be used.
    """

    def __init__(self, config: Upstream, loop: asyncio.AbstractEventLoop, stats: UpstreamStats, kernel: UdpKernel) -> None:
        self._loop = loop
        self._timeout_s = config.timeout_s
        self._in_flight: set[Exchange] = set()
        self._probes: set[Exchange] = set()
        self._drained: asyncio.Event | None = None
        self._closed = False
        self._timers = Timers(loop)
        random = Randomness()
        watch = HealthMonitor(self._timers, stats, self._probe, self._went_down)
        self._watch = watch
        self._random = random
        self._rounds = Rounds(self._timers, random, stats, watch, self._finished)
        answers = Answers(self._rounds, stats, watch)
        tls = None
        if any(name.startswith("tls://") for name in config.servers):
            try:
                tls = tls_context(config.ca_file)
            except OSError as error:
                raise ConfigError("", "upstream.ca_file", str(error)) from error
        most = udp_sockets(len(config.servers), limit())
        self._servers = [UpstreamServer(name, case_randomisation=config.case_randomisation) for name in config.servers]
        self._pools = {
            server: UpstreamPools(server, loop, self._timers, random, answers, tls=tls, kernel=kernel, max_udp_sockets=most)
            for server in self._servers
        }
        self._rounds.servers, self._rounds.pools = self._servers, self._pools
        udp_pools = [pools.udp for pools in self._pools.values() if pools.udp is not None]
        self._socket_sets = [udp.socket_set for udp in udp_pools if udp.socket_set is not None]
        for server in self._servers:
            stats.upstream_up(server.name, True)  # innocent until three failures
            stats.upstream_useful(server.name, True)

    @property
    def all_down(self) -> bool:
        """Whether no upstream is thought to answer. Questions are still tried, less patiently."""
        return not any(server.health.up for server in self._servers)

    @property
    def in_flight(self) -> int:
        """Questions without an answer yet."""
        return len(self._in_flight) + sum(socket_set.in_fast_forward for socket_set in self._socket_sets)

    def resolve(self, question: UpstreamQuestion, done: Done) -> Exchange | None:
        """Ask. `done` is called once, from the loop and never from here, at most `timeout_s` and a tick (25 ms) later, unless
        what this gives is cancelled before.
        """
        if self._closed:
            self._loop.call_soon(call, done, _SHUTTING_DOWN)
            return None
        now = boottime_s()
        exchange = Exchange(question, done, now + self._timeout_s, MAX_ROUNDS)
        self._in_flight.add(exchange)
        self._rounds.begin(exchange, now)
        return exchange

    def cancel(self, exchange: Exchange | None) -> None:
        """Stop asking, without an outcome. A late answer still counts for the upstream."""
        if exchange is not None and not exchange.finished:
            self._rounds.end(exchange)

    def ask(self, queries: list[Any], fast_forward: FastForward) -> list[Any]:
        """Let `fast_forward` ask what it can: gives those that are left, to be asked by `resolve`."""
        now = boottime_s()
        if self._closed:
            return queries
        left = []
        while queries and (server := selection.explore(self._servers, now)) is not None:
            left += self._ask_one(server, queries[:1], fast_forward, now)
            queries = queries[1:]
        if queries:
            left += self._ask_one(selection.first(self._servers, self._random, now), queries, fast_forward, now)
        return left

    def _ask_one(self, server: UpstreamServer, queries: list[Any], fast_forward: FastForward, now: float) -> list[Any]:
        udp = self._pools[server].udp
        socket_set = udp.socket_set if udp is not None else None
        if udp is None or socket_set is None or not server.health.up or not server.edns.is_on(now):
            return queries
        due_s = now + server.health.rto_s
        if socket_set.tick != (tick := int(due_s / TICK_S)):
            socket_set.tick = tick
            self._timers.at(due_s, self._overdue, socket_set)
        return fast_forward.ask(queries, udp, self, server.case.is_on(now), now, due_s)

    def adopt(
        self,
        question: UpstreamQuestion,
        done: Done,
        channel: UdpSocket,
        query_id: int,
        section: bytes,
        sent_s: float,
        *,
        exact: bool,
    ) -> Attempt:
        """Go on with a question that the kernel has sent, as if `resolve` had sent it: what answers are to be matched with."""
        exchange = Exchange(question, done, sent_s + self._timeout_s, MAX_ROUNDS)
        attempt = Attempt(exchange, channel.server, section, sent_s, "", edns=True, exact=exact)
        attempt.query_id, attempt.channel = query_id, channel
        self._in_flight.add(exchange)
        self._rounds.adopt(exchange, attempt)
        return attempt

    def heard(self, server: UpstreamServer, count: int, took_s: float, now: float, *, case_kept: bool, saw_opt: bool) -> None:
        """So many plain answers came, which took `took_s` on average: in the case of their questions, with OPT, or not."""
        self._watch.alive(server, now)
        self._watch.good(server, count)
        server.health.sampled(took_s)
        if case_kept:
            server.case.kept()
        if saw_opt:
            server.edns.saw_opt(now)

    async def drain(self, within_s: float) -> None:
        """Return when no question is out, at the latest after `within_s`."""
        self._punt_all()
        if self._in_flight:
            self._drained = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._drained.wait()

    def close(self) -> None:
        """End everything. Questions that are out fail with "shutting down"."""
        self._closed = True
        self._punt_all()
        self._timers.close()
        for exchange in (*self._in_flight, *self._probes):
            self._rounds.finish(exchange, _SHUTTING_DOWN)
        for pools in self._pools.values():
            pools.close()

    def _finished(self, exchange: Exchange) -> None:
        if exchange.pinned is not None:
            self._probes.discard(exchange)
            return
        self._in_flight.discard(exchange)
        if self._drained is not None and not self._in_flight:
            self._drained.set()

    def _went_down(self, now: float) -> None:
        if self.all_down:
            self._punt_all()
            for exchange in self._in_flight:
                self._rounds.hurry(exchange, now)
        else:
            for exchange in self._in_flight:
                self._rounds.went_down(exchange, now)

    def _punt_all(self) -> None:
        for socket_set in self._socket_sets:
            socket_set.punt(_ALL)

    def _overdue(self, socket_set: SocketSet, now: float) -> None:
        socket_set.punt(now)

    def _probe(self, server: UpstreamServer, now: float) -> None:
        def done(outcome: UpstreamAnswer | UpstreamFailure) -> None:
            if not self._closed:
                answered = None if outcome is NOT_SENT else isinstance(outcome, UpstreamAnswer) or outcome is SIGN_OF_LIFE
                self._watch.probed(server, now, boottime_s(), answered=answered)

        exchange = Exchange(_PROBE, done, now + PROBE_TIMEOUT_S, 1)
        exchange.pinned = server
        self._probes.add(exchange)
        self._rounds.begin(exchange, now)
