"""Canaries: every upstream is asked, about once a minute, what it must know and what it must not say.

Their answers go neither into the cache nor to clients. The forwarder asks an upstream that lies only while no other one of its
group can be used.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Collection
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING, Final, Protocol

from pdns.config.canary_schema import CanarySection
from pdns.upstream.canary_checks import RANDOM_BYTES, CanaryQuestion, findings_of, questions_of
from pdns.upstream.exchange import UpstreamAnswer, UpstreamFailure
from pdns.upstream.honesty import CanaryKind, CanaryResult, Honesty

if TYPE_CHECKING:
    from pdns.upstream.forwarder import Forwarder
    from pdns.upstream.server import UpstreamServer

FIRST_WITHIN_S: Final = 10.0
AGAIN_AFTER_S: Final = 5.0  # when a finding contradicts what was believed
_JITTER: Final = 0.25  # of an interval, more or less
_LIES: Final = {
    CanaryKind.VALIDATION: "does not validate signatures (DNSSEC)",
    CanaryKind.FILTERING: "does not resolve a name that must resolve",
    CanaryKind.REWRITING: "replaces true answers with its own",
}

_random = SystemRandom()
_log = logging.getLogger(__name__)


class CanaryStats(Protocol):
    """What is counted: gauges `upstream_validates` and `upstream_honest`, counter `upstream_canaries_total`."""

    def add(self, family: str, n: int, *labels: str) -> None: ...
    def gauge(self, family: str, value: int, *labels: str) -> None: ...
    def forget(self, family: str, *labels: str) -> None: ...


class Canaries:
    """Asks the upstreams of one forwarder at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stats: CanaryStats) -> None:
        self._loop = loop
        self._stats = stats
        self._section = CanarySection()
        self._rounds: list[_ServerRounds] = []

    def follow(self, forwarder: Forwarder, section: CanarySection, names: Collection[str]) -> None:
        """From now on, ask those servers of `forwarder` that have these names, as `section` says. What was found out of others,
        or with other questions, is forgotten.
        """
        for rounds in self._rounds:
            rounds.end()
            self._stats.forget("upstream_validates", rounds.server.name)
            self._stats.forget("upstream_honest", rounds.server.name)
        watched = forwarder.servers_of_all_names()
        for server in forwarder.servers:
            if section != self._section or server.name not in names or server not in watched:
                server.honesty = Honesty()
        self._section = section
        self._rounds = [
            _ServerRounds(self._loop, self._stats, forwarder, server, section) for server in watched if server.name in names
        ]
        forwarder.choose_honest()

    def close(self) -> None:
        """Ask nothing more."""
        for rounds in self._rounds:
            rounds.end()


class _ServerRounds:
    """The canaries of one server, a round at a time."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        stats: CanaryStats,
        forwarder: Forwarder,
        server: UpstreamServer,
        section: CanarySection,
    ) -> None:
        self.server = server
        self._loop, self._stats, self._forwarder, self._section = loop, stats, forwarder, section
        self._turn = _random.randrange(3)
        self._waiting = 0
        self._found: dict[str, CanaryResult] = {}
        self._ended = False
        for kind, honest in server.honesty.verdicts.items():
            self._gauge(kind, honest=honest)
        self._timer = loop.call_later(_random.uniform(0, min(FIRST_WITHIN_S, section.interval_s)), self._ask)

    def end(self) -> None:
        self._ended = True
        self._timer.cancel()

    def _ask(self) -> None:
        """A round. An upstream that is down gets none: it has to answer first."""
        server, self._turn = self.server, self._turn + 1
        random = secrets.token_bytes(RANDOM_BYTES)
        questions = list(questions_of(self._section, self._turn, random, validates=server.expects_validation))
        if not questions or not server.health.up:
            self._again()
            return
        self._waiting, self._found = len(questions), {}
        kinds = {canary.kind for canary in questions}
        for canary in questions:
            self._forwarder.ask_canary(server, canary.question, partial(self._done, canary, kinds))

    def _done(self, canary: CanaryQuestion, kinds: set[CanaryKind], outcome: UpstreamAnswer | UpstreamFailure) -> None:
        self._found[canary.role] = canary.check(outcome.message) if isinstance(outcome, UpstreamAnswer) else CanaryResult.NOTHING
        self._waiting -= 1
        if self._waiting or self._ended:
            return
        for kind, finding in findings_of(self._found, kinds).items():
            self._stats.add("upstream_canaries_total", 1, self.server.name, kind, finding)
            if self.server.honesty.found(kind, finding):
                self._tell(kind, honest=finding is CanaryResult.HONEST)
        self._again()

    def _again(self) -> None:
        interval_s = self._section.interval_s * _random.uniform(1 - _JITTER, 1 + _JITTER)
        if self.server.honesty.is_in_doubt:
            interval_s = min(interval_s, AGAIN_AFTER_S)
        self._timer = self._loop.call_later(interval_s, self._ask)

    def _tell(self, kind: CanaryKind, *, honest: bool) -> None:
        """The verdict of `kind` is new."""
        self._gauge(kind, honest=honest)
        if honest:
            _log.info("upstream %s passes the canaries for %s", self.server.name, kind)
        else:
            _log.warning("upstream %s %s", self.server.name, _LIES[kind])
        self._forwarder.choose_honest()

    def _gauge(self, kind: CanaryKind, *, honest: bool) -> None:
        if kind is CanaryKind.VALIDATION:
            self._stats.gauge("upstream_validates", int(honest), self.server.name)
        else:
            self._stats.gauge("upstream_honest", int(honest), self.server.name, kind)
