"""From a client's message to the reply: what every transport hands its messages to."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from pdns.config.schema import Config
from pdns.core.cache import AnswerCache
from pdns.core.client_identity import packed, views_of
from pdns.core.cookies import SECRET_BYTES
from pdns.core.credentials import NO_CREDENTIAL, Credential
from pdns.core.entry import truncated
from pdns.core.in_flight import REASONS, Flight, Waiter, flight_limits
from pdns.core.outcome import BLOCK_STORED, PLAIN, Answer, Drop, Forward, Outcome, Stored
from pdns.core.resolver import Resolver
from pdns.core.ruleset import RuleSet
from pdns.core.tunnel_rules import tunnel_rules
from pdns.core.tunnels import KEY_BYTES
from pdns.net.edge import Reply
from pdns.state.zone_changes import Primaries
from pdns.telemetry.event_ring import MINUTE_S, EventRing
from pdns.telemetry.stats import Stats
from pdns.telemetry.worker_memory import new_limits
from pdns.upstream.exchange import Done, UpstreamAnswer, UpstreamFailure, UpstreamQuestion
from pdns.upstream.forwarder import Forwarder
from pdns.upstream.kernel import FastForward
from pdns.wire import protocol as p
from pdns.wire.names import to_text
from pdns.wire.transport import Transport
from pdns.worker.block_counts import count_block
from pdns.worker.gauges import ServiceGauges
from pdns.worker.monitor_log import MonitorLog
from pdns.worker.parts import CleanQueries, Datagram, FastPath, Kernels, NotesNames
from pdns.worker.private_log import PrivateAnswerLog

_STALE_AFTER_S = 1.8  # RFC 8767, 5: a client's patience; then the stale answer is better than none
_TCP_BYTES = 65535

_log = logging.getLogger(__name__)


class Service:
    """Performs what the resolver decides: sends, forwards, drops, and counts. Lives in the loop of one worker."""

    def __init__(
        self,
        rules: RuleSet,
        forwarder: Forwarder,
        stats: Stats,
        clock: Callable[[], float],
        kernels: Kernels,
        *,
        arena_fd: int | None = None,
        cookie_secret: bytes = b"",
        limits: memoryview | None = None,
        zone_changed: Callable[[str], object] = lambda _feed: None,
        event_ring: EventRing | None = None,
        client_key: bytes = b"",
    ) -> None:
        """Decides by `rules` until `adopt` brings others.

        `clock` is `pdns.clock.boottime_s`, or runs as fast. Services with the same `cookie_secret` and clock accept each other's
        cookies; without one a secret is drawn. Services with the same `limits`, memory of `pdns.core.rate_limit`, count the
        queries of a client together. `zone_changed` is called with the name of a feed whose primary has sent NOTIFY. Blocked and
        monitored queries are written to `event_ring`, if there is one; `client_key` makes pseudonyms of clients there.
        """
        config = rules.config
        self._zone_changed = zone_changed
        self._clock = clock
        self._stats = stats
        self._asked: NotesNames | None = None
        self._monitor_log = MonitorLog(config.log, clock)
        self._forwarder = forwarder
        self._cache = kernels.cache(config.cache.max_bytes)
        self._events = None if event_ring is None else kernels.event_writer(event_ring, client_key, self._cache)
        self._in_flight = kernels.in_flight(*flight_limits(config))
        self._in_flight.shed = self._shed
        self.tunnels = kernels.tunnels(os.urandom(KEY_BYTES))
        self._resolver = Resolver(rules, self._cache, kernels.blocker, PrivateAnswerLog(stats, clock).saw)
        self.fast_path: FastPath | None = None
        self._fast_forward: FastForward | None = None
        if kernels.fast_path is not None:
            secret = cookie_secret or os.urandom(SECRET_BYTES)
            self.fast_path = kernels.fast_path(
                self._cache, stats, secret, self._monitor_log.saw, new_limits() if limits is None else limits, self._events
            )
        if kernels.fast_forward is not None:
            self._fast_forward = kernels.fast_forward(
                self._cache, self.fast_path, self._in_flight, self.tunnels, stats, self._punted, self._overloaded
            )
        self._awaiting_stale: list[Flight] = []
        self._gauges = ServiceGauges(stats)
        self._configure(rules.config)
        self._adopt_in_kernels(rules)
        if arena_fd is not None:
            self.take_arena(arena_fd)

    def take_arena(self, fd: int) -> None:
        """Remember answers in the memory behind `fd`, which is owned from here on, and no longer in the one before.

        What another worker left in it is taken over.
        """
        self._cache.resize(self.rules.config.cache.max_bytes, fd)
        os.close(fd)

    def let_go_of_arena(self) -> None:
        """Neither read nor write the arena from now on: it is another process's."""
        self._cache.leave()

    def note_in(self, asked: NotesNames | None) -> None:
        """Note the names that are answered and not blocked in `asked`; None: nowhere."""
        self._asked = asked
        if self.fast_path is not None:
            self.fast_path.note_in(asked)

    @property
    def cache(self) -> AnswerCache:
        """The cached answers."""
        return self._cache

    @property
    def rules(self) -> RuleSet:
        """What is decided by."""
        return self._resolver.rules

    def adopt(self, rules: RuleSet, forwarder: Forwarder | None = None) -> None:
        """Decide by `rules` from now on, and ask `forwarder` if one is given. Cached answers stay and are decided again at the
        next query; questions in flight are finished.
        """
        if forwarder is not None:
            self._forwarder = forwarder
        if rules.config is not self.rules.config:
            self._cache.resize(rules.config.cache.max_bytes)
            self._in_flight.limit(*flight_limits(rules.config))
            self._configure(rules.config)
        self._resolver.adopt(rules)
        self._adopt_in_kernels(rules)

    def in_flight(self) -> int:
        """How many questions wait for an upstream."""
        return len(self._in_flight)

    def on_message(
        self, wire: bytes, client: str, port: int, transport: Transport, reply: Reply, credential: Credential = NO_CREDENTIAL
    ) -> bool:
        """Take up one message, as `pdns.net.edge.MessageHandler`. `reply` is called at most once, now or later. Never raises."""
        try:
            return self._serve(wire, client, port, transport, reply, credential)
        except Exception:  # noqa: BLE001 - a bug must cost one query, not the service
            _log.exception("unhandled exception on a %d-byte query", len(wire))
            self._stats.dropped("internal_error")
            return False

    def admits(self, client: str, credential: Credential) -> bool:
        """Whether the token of `credential` is valid, if it has one: HTTP says 404 otherwise. Counts what is refused."""
        return self.fast_path is None or self.fast_path.admits(client, credential)

    def on_queries(self, queries: list[Datagram], clean: CleanQueries) -> None:
        """Decide about each of `queries`, which the fast path could not answer, and ask an upstream about those that are `clean`.
        Never raises.
        """
        now, decide = self._clock(), self._resolver.decide
        plain = clean.datagrams()
        for query in queries:
            try:
                if (outcome := decide(query, query.client, now)) is BLOCK_STORED:
                    query.send_cached("blocked", now)
                elif outcome is PLAIN:
                    plain.append(query)
                else:
                    self._perform(outcome, query.port, _waiter(query), now)
            except Exception:  # noqa: BLE001 - as above
                self._bug(query)
        if plain:
            self._ask_plain(plain, now)

    def on_stream_queries(self, queries: list[Datagram]) -> None:
        """The same for queries that came over encrypted connections."""
        for query in queries:
            try:
                self._decide(query, _waiter(query), query.port, self._clock())
            except Exception:  # noqa: BLE001 - as above
                self._bug(query)

    def finish(self, now: float) -> None:
        """Write what waits to be written: at the end, and when events begin or end to be recorded."""
        if self._events is not None:
            self._events.flush(now + MINUTE_S)

    def tick(self, now: float) -> None:
        """Housekeeping, a few times a second: stale answers for those who waited long enough, and the gauges."""
        waiting = []
        for flight in self._awaiting_stale:
            if flight.waiting and now - flight.started_s >= _STALE_AFTER_S:
                answer = self._resolver.stale_answer(flight.forward, now)
                if answer is not None:
                    flight.stale_given = True
                    self._answer_all(self._in_flight.release(flight), answer, now)
            elif self._in_flight.get(flight.forward.key) is flight:
                waiting.append(flight)
        self._awaiting_stale = waiting
        if self._events is not None:
            self._events.sweep(now)
        self._gauges.set(self._forwarder, self._cache, self._in_flight)

    def _serve(self, wire: bytes, address: str, port: int, transport: Transport, reply: Reply, credential: Credential) -> bool:
        assert self.fast_path is not None
        started_s, now = perf_counter(), self._clock()
        query = self.fast_path.answer(wire, address, transport, now, credential)
        refused = self.fast_path.refused
        if isinstance(query, bytes):
            reply(query)
        elif query is not None:
            self._decide(query, Waiter(query, query.client, address, transport, reply, started_s), port, now)
        return refused

    def _decide(self, query: Any, waiter: Waiter, port: int, now: float) -> None:
        outcome = self._resolver.decide(query, waiter.client, now)
        if not isinstance(outcome, Stored):
            self._perform(outcome, port, waiter, now)
        elif self.fast_path and (
            wire := self.fast_path.send_cached(query, outcome.source, waiter.transport, now, waiter.started_s)
        ):
            waiter.reply(wire)

    def _perform(self, outcome: Outcome, port: int, waiter: Waiter, now: float) -> None:
        if type(outcome) is Answer:
            self._answer(waiter, outcome, now)
            if outcome.refresh is not None and not self._in_flight.is_full and self._in_flight.get(outcome.refresh.key) is None:
                self._ask(outcome.refresh, now)
        elif type(outcome) is Forward:
            self._wait(outcome, port, waiter, now)
        elif type(outcome) is Drop:
            self._stats.dropped(outcome.reason)

    def _wait(self, forward: Forward, port: int, waiter: Waiter, now: float) -> None:
        flight = self._in_flight.get(forward.key)
        if flight is not None:
            if flight.stale_given and (stale := self._resolver.stale_answer(flight.forward, now)) is not None:
                self._answer(waiter, stale, now)
            elif not self._in_flight.join(flight, port, waiter):
                self._stats.dropped("waiters_limit")
            return
        if self._forwarder.is_down(forward.route.group) and (stale := self._resolver.stale_answer(forward, now)) is not None:
            self._answer(waiter, stale, now)
            if not self._in_flight.is_full:
                self._ask(forward, now)  # whether it is back
        elif why := self._in_flight.room(waiter.address, forward.qname, now):
            self._stats.dropped(REASONS[why])
            self._answer(waiter, self._resolver.overloaded(forward, why, now), now)
        else:
            self._ask(forward, now, port, waiter)

    def _ask(self, forward: Forward, now: float, port: int = 0, waiter: Waiter | None = None) -> None:
        flight = self._in_flight.start(forward, now, "" if waiter is None else waiter.address)
        if waiter is not None:
            self._in_flight.join(flight, port, waiter)
            if self.tunnels.on and not forward.route.zone:
                self.tunnels.saw(forward.qname, waiter.client.tenant, packed(waiter.address), now)
            if forward.stale is not None:
                self._awaiting_stale.append(flight)
        self._resolve(flight, forward)

    def _resolve(self, flight: Flight, forward: Forward) -> None:
        if forward.route.zone:
            self._stats.add("zone_forwarded_total", 1, forward.route.zone)
        exchange = self._forwarder.resolve(_question(forward), partial(self._landed, flight), forward.route.group)
        flight.cancel = partial(self._forwarder.cancel, exchange)

    def _shed(self, flight: Flight, why: str) -> None:
        """End `flight`, since others need its place: whoever waits for it gets what there is without it."""
        now = self._clock()
        forward: Forward | None = flight.forward
        if forward is None:
            assert self._fast_forward is not None
            self._fast_forward.shed(flight, why, now)
            return
        if flight.cancel is not None:
            flight.cancel()
            flight.cancel = None
        for waiter in self._in_flight.land(flight):
            self._stats.dropped(REASONS[why])
            self._overloaded(waiter, why, now, forward)

    def _overloaded(self, waiter: Waiter, why: str, now: float, forward: Forward | None = None) -> None:
        try:
            forward = forward or self._resolver.forward_of(waiter.query, waiter.client)
            self._answer(waiter, self._resolver.overloaded(forward, why, now), now)
        except Exception:  # noqa: BLE001 - the others still wait
            _log.exception("an answer could not be given")

    def _ask_plain(self, queries: list[Datagram], now: float) -> None:
        assert self._fast_forward is not None
        try:
            queries = self._forwarder.ask(queries, self._fast_forward)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("%d queries together raised", len(queries))
            self._stats.dropped("internal_error")
            return
        for query in queries:
            try:
                self._wait(self._resolver.forward_of(query, query.client), query.port, _waiter(query), now)
            except Exception:  # noqa: BLE001 - as above
                self._bug(query)

    def _punted(self, flight: Any) -> tuple[UpstreamQuestion, Done]:
        """What `flight`, which the forwarding kernel has no more to do with, asks, and whom to tell its end."""
        forward = flight.forward = self._resolver.forward_of(flight.query, flight.query.client)
        return _question(forward), partial(self._landed, flight)

    def _landed(self, flight: Flight, result: UpstreamAnswer | UpstreamFailure) -> None:
        now = self._clock()
        forward = flight.forward
        flight.cancel = None
        try:
            if isinstance(result, UpstreamAnswer):
                if (further := self._resolver.further(forward, result.message)) is not None:
                    flight.forward = further
                    self._resolve(flight, further)
                    return
                entry = self._resolver.on_answer(forward, result.message, now)
                answer = Answer(entry, entry.source)
            else:
                if (further := self._resolver.further_after_failure(forward, result.message, now)) is not None:
                    flight.forward = further
                    self._resolve(flight, further)
                    return
                answer = self._resolver.on_failure(forward, result.ede_code, result.text, result.message, now)
        except Exception:  # noqa: BLE001 - as above, and somebody waits
            _log.exception("the answer for %s type %d raised", to_text(forward.qname), forward.qtype)
            answer = self._resolver.on_failure(forward._replace(stale=None), p.EDE_OTHER, "internal error", None, now)
        self._answer_all(self._in_flight.land(flight), answer, now)

    def _answer_all(self, waiters: list[Waiter], answer: Answer, now: float) -> None:
        for waiter in waiters:
            try:
                self._answer(waiter, answer, now)
            except Exception:  # noqa: BLE001 - the others still wait
                _log.exception("an answer could not be given")

    def _answer(self, waiter: Waiter, answer: Answer, now: float) -> None:
        entry, query, tenant, source = answer.entry, waiter.query, waiter.client.tenant, answer.source
        if entry.over_tcp is not None and waiter.transport.is_stream:
            entry = entry.over_tcp
            source = entry.source
        stats, verdict = self._stats, entry.verdict
        if entry.monitored or verdict is not None:
            if query.qtype not in p.FOR_RESOLVERS:  # else it takes the verdict, and is no attempt
                count_block(waiter, entry, now, self._stats, self._monitor_log, self._events)
            if entry.silent:
                return
        if self._asked is not None and verdict is None and source != "refused":
            self._asked.note(query.qname, tenant)
        if answer.truncated and not waiter.transport.is_stream:
            wire = truncated(query)
        else:
            max_bytes = _TCP_BYTES if waiter.transport.is_stream else min(query.udp_bytes, self._max_udp_bytes)
            wire = entry.render(query, now, max_bytes, stale_ttl_s=self._stale_ttl_s if answer.stale else -1)
        waiter.reply(wire)
        stats.response(tenant, source, entry.rcode, perf_counter() - waiter.started_s)

    def _bug(self, query: Datagram) -> None:
        _log.exception("a query for %s raised", to_text(query.qname))
        self._stats.dropped("internal_error")

    def _configure(self, config: Config) -> None:
        self._primaries = Primaries(config.feed, self._zone_changed)
        self._monitor_log.configure(config.log)
        self.tunnels.adopt(tunnel_rules(config), self._clock())
        self._max_udp_bytes = config.server.max_udp_answer_bytes
        self._stale_ttl_s = config.cache.stale_ttl_s
        if self._events is not None:
            self._events.configure(views_of(config))

    def _adopt_in_kernels(self, rules: RuleSet) -> None:
        if self.fast_path is not None:
            self.fast_path.adopt(rules, self._primaries, self._resolver.blocker)
        if self._fast_forward is not None:
            self._fast_forward.adopt(rules)
        self._stats.gauge("ready", int(rules.ready))


def _waiter(query: Datagram) -> Waiter:
    return Waiter(query, query.client, query.address, query.transport, query.reply, query.started_s)


def _question(forward: Forward) -> UpstreamQuestion:
    do = forward.do and forward.route.dnssec
    return UpstreamQuestion(forward.asked_name, forward.asked_type, forward.qclass, do, forward.cd)
