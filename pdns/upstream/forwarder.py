"""The forwarder: questions in, one call of `done` for each out."""

# kernel: pdns/fast/fast_forward.pyx

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pdns.clock import boottime_s
from pdns.config.groups import DEFAULT, ServerGroup
from pdns.config.value_types import Dnssec
from pdns.core.routes import MOST_LABELS, OTHER
from pdns.errors import PdnsError
from pdns.net.descriptors import limit
from pdns.upstream import selection
from pdns.upstream.answers import SIGN_OF_LIFE, Answers
from pdns.upstream.descriptors import udp_sockets
from pdns.upstream.exchange import Attempt, Done, Exchange, UpstreamAnswer, UpstreamFailure, UpstreamQuestion, UpstreamStats
from pdns.upstream.group import UpstreamGroup
from pdns.upstream.health_monitor import HealthMonitor
from pdns.upstream.kernel import FastForward, SocketSet, UdpKernel
from pdns.upstream.pools import UpstreamPools
from pdns.upstream.randomness import Randomness
from pdns.upstream.rounds import MAX_ROUNDS, NOT_SENT, Rounds, call
from pdns.upstream.server import UpstreamServer
from pdns.upstream.timers import TICK_S, Timers
from pdns.upstream.tls import TlsContexts
from pdns.upstream.udp import UdpSocket
from pdns.wire import protocol as p

PROBE_TIMEOUT_S = 1.5
CANARY_TIMEOUT_S = 5.0  # an upstream that validates tries every server of a bogus name

_ALL = float("inf")
_PROBE = UpstreamQuestion(b"\0", p.NS, p.CLASS_IN, do=False, cd=False)
_log = logging.getLogger(__name__)
_SHUTTING_DOWN = UpstreamFailure(p.EDE_NETWORK_ERROR, "shutting down")


_Settings = tuple[str, bool, str, Dnssec]  # of a server: its configured text, case randomisation, file of authorities, its AD


class Forwarder:
    """All groups of upstreams of one configuration.

    `resolve` takes no task and awaits nothing. Each call is one exchange: the caller merges identical questions and bounds how
    many are in flight.
    Raises `ConfigError` when `ca_file` cannot be used, and `PdnsError` when the system gives no more descriptors.
    """

    def __init__(
        self,
        groups: Mapping[str, ServerGroup],
        loop: asyncio.AbstractEventLoop,
        stats: UpstreamStats,
        kernel: UdpKernel,
    ) -> None:
        """`groups` as `pdns.config.groups.server_groups` has them."""
        self._loop = loop
        self._in_flight: set[Exchange] = set()
        self._probes: set[Exchange] = set()
        self._drained: asyncio.Event | None = None
        self._closed = False
        self._timers = Timers(loop)
        self._socket_sets: list[SocketSet] = []
        random = Randomness()
        watch = HealthMonitor(self._timers, stats, self._probe, self._went_down)
        self._watch = watch
        self._stats = stats
        self._random = random
        self._rounds = Rounds(self._timers, random, stats, watch, self._finished)
        answers = Answers(self._rounds, stats, watch)
        self._groups, authorities, self._servers = upstream_groups(groups)
        self._default = self._groups[DEFAULT]
        keys = {group.ca_file: "upstream.ca_file" if name == DEFAULT else f"{name}.ca_file" for name, group in groups.items()}
        contexts = TlsContexts(keys)
        most = udp_sockets(len(authorities), limit())
        self._pools: dict[UpstreamServer, UpstreamPools] = {}
        try:
            for server, file in authorities.items():
                self._pools[server] = UpstreamPools(
                    server,
                    loop,
                    self._timers,
                    random,
                    answers,
                    tls=contexts.of(server.address, file),
                    ca_file=file,
                    kernel=kernel,
                    max_udp_sockets=most,
                )
        except PdnsError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise PdnsError(f"cannot ask {len(authorities)} upstreams: {error.strerror}") from error
        self._rounds.pools = self._pools
        udp_pools = [pools.udp for pools in self._pools.values() if pools.udp is not None]
        self._socket_sets += [udp.socket_set for udp in udp_pools if udp.socket_set is not None]
        for server in self._pools:
            stats.upstream_up(server.name, True)  # innocent until three failures
            stats.upstream_useful(server.name, True)

    def learn_from(self, before: Forwarder) -> None:
        """Know what `before` has found out about the servers that both have, so that no client's question finds it out anew.

        From now on `before` announces nothing of its servers.
        """
        before._watch.retire()
        for settings, server in self._servers.items():
            if (known := before._servers.get(settings)) is not None:
                server.remember(known)
                self._watch.take_up(server)

    @property
    def servers(self) -> Iterable[UpstreamServer]:
        """Every server of every group, once."""
        return self._servers.values()

    def servers_of_all_names(self) -> set[UpstreamServer]:
        """The servers that the questions of no zone may go to: those of the default group and of its fallbacks."""
        found: set[UpstreamServer] = set()
        group: UpstreamGroup | None = self._default
        while group is not None:
            found.update(group.servers)
            group = group.fallback
        return found

    def choose_honest(self) -> None:
        """Stop asking servers that canaries have found to lie. A group in which every server lies keeps them all."""
        for name, group in self._groups.items():
            if group.choose_honest():
                _log.warning("every upstream of the group %s lies: they stay in use, as there is no other", name)

    def ask_canary(self, server: UpstreamServer, question: UpstreamQuestion, done: Done) -> None:
        """Ask one server, once. `done` is called once, within `CANARY_TIMEOUT_S` and a tick; AD is as the server said it."""
        self._ask_pinned(server, question, done, CANARY_TIMEOUT_S, is_canary=True)

    def is_down(self, group: str = DEFAULT) -> bool:
        """Whether no upstream of the group or its fallbacks is thought to answer. Questions are still tried, less patiently."""
        return self._groups[group].in_charge().is_down

    def groups_up(self) -> Iterator[tuple[str, bool]]:
        """Each group, and whether some upstream of it is thought to answer."""
        return ((name, not group.is_down) for name, group in self._groups.items())

    @property
    def in_flight(self) -> int:
        """Questions without an answer yet."""
        return len(self._in_flight) + sum(socket_set.in_fast_forward for socket_set in self._socket_sets)

    def resolve(self, question: UpstreamQuestion, done: Done, group: str = DEFAULT) -> Exchange | None:
        """Ask a group. `done` is called once, from the loop and never from here, at most `timeout_s` of the group, 2 s for each
        group that it falls back from, and a tick (25 ms) later, unless what this gives is cancelled before.
        """
        if self._closed:
            self._loop.call_soon(call, done, _SHUTTING_DOWN)
            return None
        now = boottime_s()
        asked = self._groups[group]
        if (in_charge := asked.in_charge()) is not asked:
            self._stats.fell_back(asked.name)
        exchange = Exchange(question, done, in_charge, now, now + in_charge.patience_s, MAX_ROUNDS)
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
        group = self._default
        if self._closed or group.parallel or (group.fallback is not None and group.is_down):
            return queries
        left, servers = [], group.usable
        while queries and (server := selection.explore(servers, now, ordered=group.ordered)) is not None:
            left += self._ask_one(server, queries[:1], fast_forward, now)
            queries = queries[1:]
        if queries:
            server = selection.first(servers, self._random, now, ordered=group.ordered)
            left += self._ask_one(server, queries, fast_forward, now)
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
        exchange = Exchange(question, done, self._default, sent_s, sent_s + self._default.patience_s, MAX_ROUNDS)
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
        if self._default.is_down:
            self._punt_all()
        for exchange in self._in_flight:
            if exchange.group.is_down:
                self._rounds.hurry(exchange, now)
            else:
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

        self._ask_pinned(server, _PROBE, done, PROBE_TIMEOUT_S)

    def _ask_pinned(
        self, server: UpstreamServer, question: UpstreamQuestion, done: Done, within_s: float, *, is_canary: bool = False
    ) -> None:
        now = boottime_s()
        exchange = Exchange(question, done, self._default, now, now + within_s, 1)
        exchange.pinned, exchange.is_canary = server, is_canary
        self._probes.add(exchange)
        self._rounds.begin(exchange, now)


def upstream_groups(
    groups: Mapping[str, ServerGroup],
) -> tuple[dict[str, UpstreamGroup], dict[UpstreamServer, str], dict[_Settings, UpstreamServer]]:
    """The groups; the file with the authorities of each of their servers; the servers by name and settings. Groups that name a
    server alike share it.
    """
    servers: dict[_Settings, UpstreamServer] = {}
    made = {}
    for number, (name, group) in enumerate(groups.items()):
        own = []
        for text in group.servers:
            key = text, group.case_randomisation, group.ca_file, group.dnssec
            if key not in servers:
                servers[key] = UpstreamServer(text, case_randomisation=group.case_randomisation, dnssec=group.dnssec)
            own.append(servers[key])
        label = name if number < MOST_LABELS else OTHER
        made[name] = UpstreamGroup(label, own, group.strategy, group.timeout_s)
    for name, group in groups.items():
        made[name].fallback = made.get(group.fallback)
    return made, {server: file for (_name, _case, file, _dnssec), server in servers.items()}, servers
