"""The course of one exchange in time: choose, send, send again elsewhere, finish.

A round is one query and a time by which something else must be done. A later round does not end an earlier one: every
query stays good for an answer until the exchange is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pdns.upstream import case, selection
from pdns.upstream.exchange import Attempt, Done, Exchange, UpstreamAnswer, UpstreamFailure, UpstreamStats
from pdns.upstream.group import MOST_IN_PARALLEL, UpstreamGroup
from pdns.upstream.health import MAX_RTO_S
from pdns.upstream.health_monitor import HealthMonitor
from pdns.upstream.matching import ReplyQuality
from pdns.upstream.randomness import Randomness
from pdns.upstream.timers import Timers
from pdns.wire import protocol as p

if TYPE_CHECKING:
    from pdns.upstream.pools import UpstreamPools
    from pdns.upstream.server import UpstreamServer

MAX_ROUNDS = 4
MAX_ROUNDS_ALL_DOWN = 2
MAX_WAIT_ALL_DOWN_S = 2.0
MAX_QUERIES = 8  # of any kind, for one question; more when there are more than four upstreams
LOCAL_RETRY_S = 0.25  # when this machine could send to none
STREAM_RTO_S = 1.5  # TCP repeats what is lost by itself

NOT_SENT = UpstreamFailure(p.EDE_NETWORK_ERROR, "not sent")  # what a probe ends with that this machine could not send
_SAID = {  # the most telling first
    ReplyQuality.SERVFAIL.value: (p.EDE_NO_REACHABLE_AUTHORITY, "answered SERVFAIL"),
    ReplyQuality.REFUSED.value: (p.EDE_NETWORK_ERROR, "answered REFUSED"),
    ReplyQuality.NOTIMP.value: (p.EDE_NETWORK_ERROR, "answered NOTIMP"),
    ReplyQuality.FORMERR.value: (p.EDE_NETWORK_ERROR, "answered FORMERR"),
    ReplyQuality.ERROR.value: (p.EDE_NETWORK_ERROR, "answered with an error"),
    "malformed": (p.EDE_NETWORK_ERROR, "answered with a damaged message"),
    "http_error": (p.EDE_NETWORK_ERROR, "answered with an HTTP error"),
    "truncated": (p.EDE_NETWORK_ERROR, "has no whole answer over TCP"),
}

_log = logging.getLogger(__name__)


class Rounds:
    """What happens to exchanges; `finished(exchange)` is told of each end.

    `pools`, with the sockets of each upstream, must be set before the first exchange starts.
    """

    def __init__(
        self, timers: Timers, random: Randomness, stats: UpstreamStats, watch: HealthMonitor, finished: Callable[[Exchange], None]
    ) -> None:
        self.pools: Mapping[UpstreamServer, UpstreamPools] = {}
        self._timers = timers
        self._random = random
        self._stats = stats
        self._watch = watch
        self._finished = finished

    def begin(self, exchange: Exchange, now: float) -> None:
        """The first round. Fewer follow, and sooner, when every upstream is down: trying costs little, waiting a lot."""
        group = exchange.group
        if (server := exchange.pinned) is None:
            servers = group.usable
            server = selection.explore(servers, now, ordered=group.ordered)
            server = server or selection.first(servers, self._random, now, ordered=group.ordered)
            if not server.health.up:
                exchange.max_rounds = MAX_ROUNDS_ALL_DOWN
                exchange.deadline_s = min(exchange.deadline_s, now + MAX_WAIT_ALL_DOWN_S)
            elif group.parallel:
                self._ask_beside(exchange, server, now)
        self._round(exchange, server, now)

    def _ask_beside(self, exchange: Exchange, first: UpstreamServer, now: float) -> None:
        """Ask others than `first` in the same round."""
        others = [server for server in exchange.group.usable if server is not first and server.health.up]
        for server in others[: MOST_IN_PARALLEL - 1]:
            self._ask(exchange, server, now)

    def adopt(self, exchange: Exchange, attempt: Attempt) -> None:
        """Go on with an exchange whose first round was begun elsewhere, by sending `attempt`."""
        exchange.rounds = exchange.sent = 1
        exchange.attempts.append(attempt)
        self._schedule(exchange, attempt, attempt.sent_s)

    def hurry(self, exchange: Exchange, now: float) -> None:
        """Wait no longer than for a question that is asked when every upstream is down: this is now the case."""
        end_s = max(now, exchange.started_s + MAX_WAIT_ALL_DOWN_S)
        if end_s < exchange.deadline_s:
            exchange.deadline_s = end_s
            exchange.due_s = min(exchange.due_s, end_s)
            self._timers.at(exchange.due_s, self._due, exchange)

    def said_no(self, exchange: Exchange, now: float) -> None:
        """An upstream has no answer to `exchange`: that is believed when no other one has a better one."""
        exchange.max_rounds += 1  # what costs no waiting is no round
        if not self.elsewhere(exchange, now) and not self._may_be_answered(exchange):
            self.fail(exchange, now)

    def went_down(self, exchange: Exchange, now: float) -> None:
        """An upstream went down. Do not wait long for it, when others have already said that they have no answer."""
        if exchange.bad and not self._may_be_answered(exchange) and selection.untried(exchange, now) is None:
            self.hurry(exchange, now)

    def elsewhere(self, exchange: Exchange, now: float) -> bool:
        """Bring the next round forward, if there is another upstream that was not asked yet."""
        if exchange.finished or _is_spent(exchange):
            return False
        server = selection.untried(exchange, now)
        if server is None:
            return False
        if not server.health.up:
            self.hurry(exchange, now)
        self._stats.upstream(server.name, "retransmit", None)
        self._round(exchange, server, now)
        return True

    def ask_again(self, attempt: Attempt, now: float, purpose: str, *, stream: bool, edns: bool = True) -> bool:
        """The same upstream in another way, within the same round. False when the question has cost enough."""
        exchange = attempt.exchange
        if exchange is None or exchange.sent >= _max_queries(exchange):
            return False
        again = self._ask(exchange, attempt.server, now, stream=stream, edns=edns, purpose=purpose)
        if again is None:
            self._try_later(exchange, now)
        else:
            self._schedule(exchange, again, now)
        return True

    def send_again(self, attempt: Attempt, now: float) -> bool:
        """The same query on a new connection, once. False when it has had that, or the question has cost enough."""
        exchange = attempt.exchange
        if exchange is None or exchange.sent >= _max_queries(exchange) or attempt.resent:
            return False
        attempt.resent = True
        exchange.sent += 1
        self.pools[attempt.server].stream.send(attempt, now)
        return True

    def give_up(self, exchange: Exchange, now: float) -> None:
        """One query came to nothing: on to another upstream now, or else when the next round is due."""
        if exchange.pinned is not None:
            self.fail(exchange, now)
        elif not self.elsewhere(exchange, now) and _is_spent(exchange):
            self._schedule(exchange, exchange.attempts[-1], now)

    def not_sent(self, attempt: Attempt, reason: str, now: float) -> None:
        """No upstream is to blame that `attempt` could not be sent: another one is asked at once, or the same one soon."""
        exchange = attempt.exchange
        if exchange is None:
            return
        self._take_back(exchange, attempt, reason)
        self._round(exchange, selection.untried(exchange, now), now)

    def blame(self, exchange: Exchange, attempt: Attempt, now: float, *, silent: bool) -> None:
        """Its upstream left `attempt` without an answer: one failure at most for one question, however often it was asked.

        `silent`: that may be due to the name. Else the upstream could not be reached.
        """
        if exchange.pinned is None and attempt.server not in exchange.blamed:
            exchange.blamed.append(attempt.server)
            if not self.pools[attempt.server].has_moved(now):
                self._watch.failed(attempt.server, attempt.sent_s, now, qname=exchange.question.qname if silent else b"")

    def finish(self, exchange: Exchange, outcome: UpstreamAnswer | UpstreamFailure) -> None:
        """The end, once."""
        answered = isinstance(outcome, UpstreamAnswer)
        if exchange.pinned is None:
            self._judge(exchange, answered=answered)
        self.end(exchange, answered=answered)
        call(exchange.done, outcome)

    def end(self, exchange: Exchange, *, answered: bool = False) -> None:
        """The same without reporting an outcome."""
        exchange.finished = True
        for attempt in exchange.attempts:
            attempt.exchange = None
            attempt.beaten = answered
            if not attempt.settled and attempt.channel is not None:
                attempt.channel.release(attempt)
        exchange.attempts.clear()  # timers hold the exchange a little longer; it need not hold more
        exchange.bad.clear()
        self._finished(exchange)

    def fail(self, exchange: Exchange, now: float) -> None:
        """No answer: on to the fallback, or the end with what each upstream said, the most telling first, or nothing."""
        if exchange.group.fallback is not None and exchange.pinned is None:
            self._fall_back(exchange, exchange.group.fallback, now)
            return
        code, told, parts = p.EDE_NO_REACHABLE_AUTHORITY, None, []
        ordered = sorted(exchange.bad, key=lambda one: list(_SAID).index(one[1]))
        if ordered:
            code = _SAID[ordered[0][1]][0]
            told = next((message for _server, kind, message in ordered if message is not None), None)
            parts = [f"{server.name} {_SAID[kind][1]}" for server, kind, _message in ordered]
        said = {server for server, _kind, _message in ordered}
        parts += [
            f"{server.name} did not answer"
            for server in dict.fromkeys(one.server for one in exchange.attempts)
            if server not in said
        ]
        if exchange.local_error:
            parts.append(f"this resolver could not send: {exchange.local_error}")
            if not exchange.attempts:
                code = p.EDE_NETWORK_ERROR
        self.finish(exchange, UpstreamFailure(code, "; ".join(parts), told))

    def _fall_back(self, exchange: Exchange, group: UpstreamGroup, now: float) -> None:
        """Begin again with `group`. What was sent to the group before stays good for an answer."""
        self._stats.fell_back(exchange.group.name)
        exchange.group = group.in_charge()
        exchange.rounds = exchange.sent = 0
        exchange.max_rounds = MAX_ROUNDS
        exchange.started_s, exchange.deadline_s = now, now + exchange.group.patience_s
        self.begin(exchange, now)

    def _judge(self, exchange: Exchange, *, answered: bool) -> None:
        """Let each upstream's standing show what it had to say, or that it was silent where another one knew."""
        qname = exchange.question.qname
        for server, kind, _message in exchange.bad:
            self._watch.bad(server, kind, qname, proven=answered)
        if answered and exchange.blamed:
            silent = {attempt.server for attempt in exchange.attempts if not attempt.settled}
            for server in silent.intersection(exchange.blamed):
                self._watch.bad(server, "timeout", qname, proven=True)
        if answered and exchange.group.parallel:
            for attempt in exchange.attempts:
                if not attempt.settled and attempt.server not in exchange.blamed:
                    self._timers.at(attempt.sent_s + MAX_RTO_S, self._is_late, attempt)

    def _is_late(self, attempt: Attempt, now: float) -> None:
        """The time is up that an upstream should have taken to answer what another one beside it has answered."""
        server = attempt.server
        if attempt.settled or attempt.over_stream is server.takes_datagrams or self.pools[server].has_moved(now):
            return
        self._stats.upstream(server.name, "timeout", None)
        self._watch.failed(server, attempt.sent_s, now, qname=attempt.question[:-4].lower())

    def _may_be_answered(self, exchange: Exchange) -> bool:
        said_no = {server for server, _kind, _message in exchange.bad}
        return any(not one.settled and one.server.health.up and one.server not in said_no for one in exchange.attempts)

    def _round(self, exchange: Exchange, server: UpstreamServer | None, now: float) -> None:
        while server is not None:
            attempt = self._next(exchange, server, now)
            if attempt is not None:
                self._schedule(exchange, attempt, now)
                return
            server = selection.untried(exchange, now)
        self._try_later(exchange, now)

    def _try_later(self, exchange: Exchange, now: float) -> None:
        """Nothing could be sent: soon again, though not for long unless something that was sent may still be answered."""
        if exchange.pinned is not None:
            self.finish(exchange, NOT_SENT)
            return
        if all(attempt.settled for attempt in exchange.attempts):
            self.hurry(exchange, now)
        exchange.unsendable.clear()
        exchange.due_s = min(now + LOCAL_RETRY_S, exchange.deadline_s)
        self._timers.at(exchange.due_s, self._due, exchange)

    def _take_back(self, exchange: Exchange, attempt: Attempt, reason: str) -> None:
        attempt.settled = True
        self._stats.upstream(attempt.server.name, "local_error", None)
        exchange.attempts.remove(attempt)
        exchange.unsendable.append(attempt.server)
        exchange.local_error = reason
        exchange.sent -= 1
        exchange.rounds = max(exchange.rounds - 1, 0)

    def _next(self, exchange: Exchange, server: UpstreamServer, now: float) -> Attempt | None:
        exchange.rounds += 1
        if exchange.rounds == MAX_ROUNDS and server.edns.may_be_dropped(now) and _was_asked_with_edns(exchange, server):
            return self._ask(exchange, server, now, edns=False, purpose="edns dropped")
        edns = exchange.pinned is None or exchange.is_canary
        return self._ask(exchange, server, now, stream=server in exchange.needs_tcp, edns=edns)

    def _ask(
        self,
        exchange: Exchange,
        server: UpstreamServer,
        now: float,
        *,
        stream: bool = False,
        edns: bool = True,
        purpose: str = "",
    ) -> Attempt | None:
        """Send one query. None when this machine would not send it."""
        section = exchange.section
        exact = server.case.is_on(now)
        if exact:
            qname = exchange.question.qname
            section = case.mix(qname, self._random.data(len(qname))) + section[-4:]
        attempt = Attempt(exchange, server, section, now, purpose, edns=edns and server.edns.is_on(now), exact=exact)
        exchange.sent += 1
        exchange.attempts.append(attempt)
        pools = self.pools[server]
        if stream or pools.udp is None:
            pools.stream.send(attempt, now)
        elif not pools.udp.send(attempt, now):
            self._take_back(exchange, attempt, pools.udp.last_error)
            return None
        return attempt

    def _schedule(self, exchange: Exchange, attempt: Attempt, now: float) -> None:
        if _is_spent(exchange):
            due_s = now if all(one.settled for one in exchange.attempts) else exchange.deadline_s
        elif attempt.over_stream:
            due_s = now + STREAM_RTO_S
        else:
            backoff = 1 << max(exchange.rounds - 1, 0) // len(exchange.group.servers)
            due_s = now + min(attempt.server.health.rto_s * backoff, MAX_RTO_S)
        exchange.due_s = due_s = min(due_s, exchange.deadline_s)
        self._timers.at(due_s, self._due, exchange)

    def _due(self, exchange: Exchange, now: float) -> None:
        """The time is up that the last query should have taken, or all the time there is."""
        if exchange.finished or now < exchange.due_s:
            return
        attempt = exchange.attempts[-1] if exchange.attempts else None
        if attempt is not None and exchange.group.parallel and exchange.rounds == 1:
            for beside in [one for one in exchange.attempts if one is not attempt and not one.settled]:
                self._is_overdue(exchange, beside, now)
        if attempt is not None and not attempt.settled:
            self._is_overdue(exchange, attempt, now)
            if exchange.finished or now < exchange.due_s:
                return  # it was sent from an address that is gone, and has just been sent again
            if attempt.purpose == "case":
                exchange.no_tcp.append(attempt.server)
                attempt.server.case.lost_without_tcp(now)
        over = now >= exchange.deadline_s or _is_spent(exchange)
        server = None if over else selection.again(exchange, now)
        if server is None:
            self.fail(exchange, now)
            return
        if attempt is not None:
            self._stats.upstream(server.name, "retransmit", None)
        self._round(exchange, server, now)

    def _is_overdue(self, exchange: Exchange, attempt: Attempt, now: float) -> None:
        assert attempt.channel is not None
        self._stats.upstream(attempt.server.name, "timeout", None)
        attempt.channel.overdue(attempt)
        self.blame(exchange, attempt, now, silent=True)


def _max_queries(exchange: Exchange) -> int:
    return max(MAX_QUERIES, 2 * len(exchange.group.servers))


def _is_spent(exchange: Exchange) -> bool:
    """Nothing more may be sent; what was sent may still be answered."""
    return exchange.rounds >= exchange.max_rounds or exchange.sent >= _max_queries(exchange)


def call(done: Done, outcome: UpstreamAnswer | UpstreamFailure) -> None:
    """Hand `outcome` on. An error there is logged: it is not the other questions' fault."""
    try:
        done(outcome)
    except Exception:  # noqa: BLE001  # see above
        _log.exception("error while an answer was handed on")


def _was_asked_with_edns(exchange: Exchange, server: UpstreamServer) -> bool:
    return any(attempt.server is server and attempt.edns for attempt in exchange.attempts)
