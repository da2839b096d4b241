"""What comes back, and what to make of it.

What could be forged more easily than a right answer ends no wait: garbage, wrong questions and ICMP errors are counted, and
at most bring the next query forward, once each. What matches its query in id, port, question and letter case comes from the
upstream; when it is of no use, that upstream is not waited for any longer.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pdns.clock import boottime_s
from pdns.core.extended_errors import is_blocked
from pdns.upstream.exchange import Attempt, Exchange, UpstreamAnswer, UpstreamChannel, UpstreamFailure, UpstreamStats
from pdns.upstream.health_monitor import HealthMonitor
from pdns.upstream.matching import MAX_UDP_BYTES, Mismatch, ReplyQuality, match, quality_of, refuses_edns
from pdns.upstream.rounds import Rounds
from pdns.wire import protocol as p
from pdns.wire.framing import MAX_MESSAGE_BYTES
from pdns.wire.message import Message

if TYPE_CHECKING:
    from pdns.upstream.server import UpstreamServer

SIGN_OF_LIFE = UpstreamFailure(p.EDE_OTHER, "truncated")  # what a probe ends with that was answered by TC=1

_log = logging.getLogger(__name__)


class Answers:
    """The `Events` of all channels."""

    def __init__(self, rounds: Rounds, stats: UpstreamStats, watch: HealthMonitor) -> None:
        self._rounds = rounds
        self._stats = stats
        self._watch = watch

    def arrived(self, channel: UpstreamChannel, wire: bytes) -> None:
        try:
            self._arrived(channel, wire)
        except Exception:  # noqa: BLE001  # no packet may stop a callback of the loop; the log has the traceback
            _log.exception("error while handling an answer of %s", channel.server.name)

    def unreachable(self, attempts: list[Attempt]) -> None:
        now = boottime_s()
        fresh = [attempt for attempt in attempts if not attempt.unreached]
        for attempt in fresh:
            attempt.unreached = True
        if fresh:
            self._stats.upstream(fresh[0].server.name, "error", None)
        for attempt in fresh:
            if (exchange := attempt.exchange) is not None:
                self._rounds.blame(exchange, attempt, now, silent=False)
                self._rounds.elsewhere(exchange, now)

    def abandoned(self, attempts: list[Attempt]) -> None:
        now = boottime_s()
        for attempt in attempts:
            attempt.settled = True
            if (exchange := attempt.exchange) is None:
                continue
            self._stats.upstream(attempt.server.name, "local_error", None)
            if not self._rounds.ask_again(attempt, now, attempt.purpose, stream=False, edns=attempt.edns):
                self._rounds.give_up(exchange, now)

    def encrypted(self, server: UpstreamServer, *, resumed: bool) -> None:
        self._stats.upstream_handshake(server.name, "resumed" if resumed else "new")

    def unanswered(self, attempt: Attempt, reason: str, kind: str = "malformed") -> None:
        server, now = attempt.server, boottime_s()
        server.stream_error = reason
        _settle(attempt)
        self._watch.alive(server, now)
        self._stats.upstream(server.name, kind, None)
        if attempt.exchange is None:
            if attempt.beaten:
                self._watch.bad(server, kind, attempt.question[:-4].lower(), proven=True)
        elif not attempt.hinted:  # else it was asked again without EDNS
            self._no_answer_there(attempt, kind, None, now)

    def lost(self, attempt: Attempt, *, was_open: bool, local: str = "") -> None:
        exchange, server, now = attempt.exchange, attempt.server, boottime_s()
        if exchange is None:
            return
        if local:
            if not (was_open and self._rounds.send_again(attempt, now)):
                self._rounds.not_sent(attempt, local, now)
            return
        self._stats.upstream(server.name, "error", None)
        if was_open and self._rounds.send_again(attempt, now):
            return
        attempt.settled = True
        exchange.no_tcp.append(server)
        if not server.takes_datagrams:
            self._rounds.blame(exchange, attempt, now, silent=was_open)
        if attempt.purpose == "case":
            server.case.lost_without_tcp(now)
            if self._rounds.ask_again(attempt, now, "", stream=False):
                return
        if attempt.purpose in ("truncated", "unusable"):
            self._no_answer_there(attempt, "truncated" if attempt.purpose == "truncated" else "malformed", None, now)
        else:
            self._rounds.give_up(exchange, now)

    def _arrived(self, channel: UpstreamChannel, wire: bytes) -> None:
        server = channel.server
        if len(wire) < p.HEADER_BYTES:
            self._stats.upstream(server.name, "malformed", None)
            return
        attempt = channel.find(wire[0] << 8 | wire[1])
        if attempt is None:
            self._stats.upstream(server.name, "unmatched", None)
            return
        max_bytes = MAX_MESSAGE_BYTES if attempt.over_stream else MAX_UDP_BYTES
        matched = match(wire, attempt.query_id, attempt.question, exact=attempt.case_exact, max_bytes=max_bytes)
        now = boottime_s()
        if isinstance(matched, Message):
            if attempt.case_exact:
                server.case.kept()
            self._answered(attempt, matched, now)
        elif matched is Mismatch.TRUNCATED:
            self._truncated(attempt, now)
        elif matched is Mismatch.OTHER_CASE:
            self._other_case(attempt, wire, now)
        elif matched is Mismatch.UNUSABLE:
            self._unusable(attempt, now)
        elif matched is Mismatch.NO_QUESTION or (matched is Mismatch.BARE and (attempt.hinted or not attempt.edns)):
            self._no_question(attempt, now)
        else:
            self._stats.upstream(server.name, "malformed" if matched is Mismatch.MALFORMED else "unmatched", None)
            if matched is Mismatch.BARE and attempt.edns and not attempt.hinted:
                # cannot be matched, so it is a hint and no more: the wait goes on
                attempt.hinted = True
                self._rounds.ask_again(attempt, now, "no edns", stream=attempt.over_stream, edns=False)

    def _answered(self, attempt: Attempt, message: Message, now: float) -> None:
        """The answer to `attempt`: of its question, sound, and from whom it was asked."""
        server, exchange = attempt.server, attempt.exchange
        _settle(attempt)
        self._watch.alive(server, now)
        duration_s = now - attempt.sent_s
        quality = quality_of(message)
        if exchange is None or not exchange.is_canary:
            self._stats.upstream(server.name, quality.value, duration_s)
        if quality is ReplyQuality.OK:
            if exchange is None or exchange.pinned is None:
                self._watch.good(server)
        elif attempt.beaten:
            self._watch.bad(server, quality.value, attempt.question[:-4].lower(), proven=True)
        if quality is ReplyQuality.OK and attempt.over_stream is not server.takes_datagrams:
            server.health.sampled(duration_s)
        if message.edns:
            server.edns.saw_opt(now)
        elif quality is ReplyQuality.OK and attempt.purpose == "no edns":
            server.edns.refused(now)
        elif quality is ReplyQuality.OK and attempt.purpose == "edns dropped":
            server.edns.answered_only_without(now)
        if exchange is None:
            return  # late: only good to know that it lives
        if message.options and exchange.pinned is None and is_blocked(message):
            self._stats.upstream_blocked(server.name)
        if quality is ReplyQuality.OK or exchange.pinned is not None:
            if exchange.bad or exchange.blamed:
                _avoid_who_did_not_know(exchange, server, now)
            if exchange.pinned is None and not server.trusts_ad and message.flags & p.AD:
                message = message._replace(flags=message.flags & ~p.AD)
            self._rounds.finish(exchange, UpstreamAnswer(message, server.name))
        elif attempt.edns and refuses_edns(message):
            if not self._rounds.ask_again(attempt, now, "no edns", stream=attempt.over_stream, edns=False):
                self._rounds.give_up(exchange, now)
        else:
            self._no_answer_there(attempt, quality.value, message, now)

    def _no_answer_there(self, attempt: Attempt, kind: str, message: Message | None, now: float) -> None:
        """Its upstream has no answer, and needs not be asked again."""
        exchange, server = attempt.exchange, attempt.server
        assert exchange is not None
        if exchange.pinned is not None:
            self._rounds.finish(exchange, SIGN_OF_LIFE)
            return
        if all(server is not other for other, _kind, _message in exchange.bad):
            exchange.bad.append((server, kind, message))
        self._rounds.said_no(exchange, now)

    def _unusable(self, attempt: Attempt, now: float) -> None:
        """From the upstream, of this question, and damaged: the same over TCP, where less goes wrong on the way."""
        server, exchange = attempt.server, attempt.exchange
        _settle(attempt)
        self._watch.alive(server, now)
        self._stats.upstream(server.name, "malformed", None)
        if exchange is None:
            if attempt.beaten:
                self._watch.bad(server, "malformed", attempt.question[:-4].lower(), proven=True)
            return
        if exchange.pinned is None and not attempt.over_stream and server not in exchange.no_tcp:
            exchange.needs_tcp.append(server)
            if self._rounds.ask_again(attempt, now, "unusable", stream=True, edns=attempt.edns):
                return
        self._no_answer_there(attempt, "malformed", None, now)

    def _no_question(self, attempt: Attempt, now: float) -> None:
        """Right in id and port alone. TCP, which is hard to forge, tells whether the upstream answers like that."""
        server, exchange = attempt.server, attempt.exchange
        if attempt.over_stream:
            self._unusable(attempt, now)
            return
        self._stats.upstream(server.name, "unmatched", None)
        if exchange is None or exchange.pinned is not None or attempt.case_seen or server in exchange.no_tcp:
            return
        attempt.case_seen = True
        self._rounds.ask_again(attempt, now, "unusable", stream=True, edns=attempt.edns)

    def _truncated(self, attempt: Attempt, now: float) -> None:
        """TC=1: the same upstream over TCP (RFC 7766, 5)."""
        server, exchange = attempt.server, attempt.exchange
        _settle(attempt)
        self._watch.alive(server, now)
        self._stats.upstream(server.name, "error" if attempt.over_stream else "truncated", now - attempt.sent_s)
        if exchange is None:
            return
        if exchange.pinned is not None and not exchange.is_canary:
            self._rounds.finish(exchange, SIGN_OF_LIFE)
            return
        if not attempt.over_stream and server not in exchange.no_tcp:
            exchange.needs_tcp.append(server)
            if self._rounds.ask_again(attempt, now, "truncated", stream=True):
                return
        self._no_answer_there(attempt, "truncated", None, now)

    def _other_case(self, attempt: Attempt, wire: bytes, now: float) -> None:
        """Right in all but the case: a forgery, or an upstream that does not keep it. TCP, hard to forge, tells which."""
        server, exchange = attempt.server, attempt.exchange
        if attempt.over_stream:
            server.case.lost_over_tcp(now)
            matched = match(wire, attempt.query_id, attempt.question, exact=False, max_bytes=MAX_MESSAGE_BYTES)
            if isinstance(matched, Message):
                self._answered(attempt, matched, now)
            else:
                self._truncated(attempt, now)
            return
        self._stats.upstream(server.name, "unmatched", None)
        if exchange is None or attempt.case_seen:
            return
        attempt.case_seen = True
        if server in exchange.no_tcp:
            server.case.lost_without_tcp(now)
            self._rounds.ask_again(attempt, now, "", stream=False)
        else:
            self._rounds.ask_again(attempt, now, "case", stream=True)


def _avoid_who_did_not_know(exchange: Exchange, server: UpstreamServer, now: float) -> None:
    """`server` has answered what others could not: for a while it, and its like, come first."""
    for other, _quality, _message in exchange.bad:
        other.health.avoid(now)
    for attempt in exchange.attempts:
        if not attempt.settled and attempt.server is not server and attempt.server in exchange.blamed:
            attempt.server.health.avoid(now)


def _settle(attempt: Attempt) -> None:
    attempt.settled = True
    channel = attempt.channel
    assert channel is not None
    channel.settle(attempt)
