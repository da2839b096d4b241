"""Whether a release does harm here: what a node meets with it, compared with its own last hour. Numbers and times are arguments.

Only blocks of names that the release before did not list count, and only of names that several clients asked for. So more queries
of names that were listed before, or of one infected machine, never end a release. Decision 66 says what this misses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

HISTORY_S: Final = 3600.0
SAMPLE_S: Final = 60.0
WATCH_S: Final = 600.0  # a release that did no harm for so long stays
SERVFAIL_WATCH_S: Final = 120.0  # later ones are not of the release
LEAST_BEFORE: Final = 0.005  # the share of blocked queries that a network without blocks is taken to have had
MOST_BEFORE: Final = 0.01  # more does not count: where much is blocked, a bad list has no more room
CLIENTS: Final = 2  # that must have met a new name for it to count


class GateLimits(NamedTuple):
    """As in `[fleet]`."""

    queries: int
    blocked_times: float
    servfail_share: float


class TrafficTotals(NamedTuple):
    """Of all workers, since the service started."""

    queries: int = 0
    blocked: int = 0
    servfail: int = 0

    def since(self, before: TrafficTotals) -> TrafficTotals:
        """What came after `before`; all of it when the service has started anew since."""
        if self.queries < before.queries:
            return self
        return TrafficTotals(
            self.queries - before.queries, max(0, self.blocked - before.blocked), max(0, self.servfail - before.servfail)
        )


class BlockedName(NamedTuple):
    """A listed name that was met since the release is in force."""

    listed: bytes  # wire form
    queries: int
    clients: int  # different ones, as far as they are distinguished; 0: they are not


class Gate:
    """One for each node."""

    def __init__(self, limits: GateLimits) -> None:
        self.limits = limits
        self.now = TrafficTotals()
        self._history: deque[tuple[float, TrafficTotals]] = deque()
        self._began_s: float | None = None
        self._start = TrafficTotals()
        self._before = TrafficTotals()
        self._policy_changed = False

    @property
    def watching(self) -> bool:
        """Whether a release is being judged."""
        return self._began_s is not None

    @property
    def since_release(self) -> TrafficTotals:
        """What was met since the last release is in force."""
        return self.now.since(self._start)

    def saw(self, totals: TrafficTotals, now_s: float) -> None:
        """Take the latest numbers. `now_s` is of a clock that cannot jump, as in all methods."""
        if totals.queries < self.now.queries:
            self._history.clear()
            self._start = TrafficTotals()
        self.now = totals
        if not self._history or now_s - self._history[-1][0] >= SAMPLE_S:
            self._history.append((now_s, totals))
        while len(self._history) > 1 and now_s - self._history[1][0] >= HISTORY_S:
            self._history.popleft()

    def begin(self, now_s: float, *, policy_changed: bool = False) -> None:
        """A release is in force from now on. `policy_changed`: so is another policy, which may block names for the first time."""
        before = self._history[0][1] if self._history else self.now
        self._before, self._start, self._began_s = self.now.since(before), self.now, now_s
        self._policy_changed = policy_changed

    def end(self) -> None:
        """Stop judging."""
        self._began_s = None

    def judge(self, names: Iterable[BlockedName], is_new: Callable[[bytes], bool], now_s: float) -> str:
        """Why the release does harm; "" while it does none, or too little is known. `is_new`: the release before did not list it.

        After `WATCH_S` without harm it stops watching.
        """
        if self._began_s is None:
            return ""
        queries, blocked, servfail = self.since_release
        reason = ""
        if queries >= max(1, self.limits.queries):
            new = [name for name in names if name.clients != 1 and is_new(name.listed)]
            reason = self._blocks(queries, blocked, new) or self._failures(queries, servfail, now_s - self._began_s)
        if not reason and now_s - self._began_s >= WATCH_S:
            self._began_s = None
        return reason

    def _blocks(self, queries: int, blocked: int, new: list[BlockedName]) -> str:
        known = self._before.queries >= max(1, self.limits.queries)
        before = self._before.blocked / self._before.queries if known else 0.0
        most = (self.limits.blocked_times - 1) * min(max(before, LEAST_BEFORE), MOST_BEFORE)
        count = min(blocked, sum(name.queries for name in new))
        if count > most * queries:
            worst = max(new, key=lambda name: name.queries)
            return (
                f"{count / queries:.1%} of {queries:,} queries blocked by names that were not listed before "
                f"(all blocks before: {before:.1%}), most by {_shown(worst.listed)}"
            )
        if self._policy_changed and known and blocked / queries - before > most:
            return f"{blocked / queries:.1%} of {queries:,} queries blocked with its policy (before: {before:.1%})"
        return ""

    def _failures(self, queries: int, servfail: int, age_s: float) -> str:
        before = self._before.servfail / self._before.queries if self._before.queries else 0.0
        if age_s <= SERVFAIL_WATCH_S and servfail > self.limits.servfail_share * queries and before <= self.limits.servfail_share:
            return f"{servfail / queries:.1%} of {queries:,} answers are SERVFAIL (before: {before:.1%})"
        return ""


def _shown(name: bytes) -> str:
    labels, at = [], 0
    while at < len(name) and (length := name[at]):
        labels.append(name[at + 1 : at + 1 + length].decode("ascii", "backslashreplace"))
        at += 1 + length
    return ".".join(labels) or "."
