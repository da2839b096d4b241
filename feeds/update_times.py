"""When the fetcher first saw what an update adds, and in which generation it went live.

Times are of `pdns.clock.boottime_s`, which all processes of a machine share. `docs/metrics.md` defines what is measured.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from pdns.clock import boottime_s, steady_s
from pdns.state.feed_status import LiveUpdate

MOST_KNOWN: Final = 256  # updates that `feeds.json` shows; the supervisor reads it several times a second
_MOST_KEPT: Final = 16


class UpdateTimes:
    """Of one feed: the updates that are kept and not live yet. An update that adds nothing is not among them."""

    def __init__(self) -> None:
        self._noticed_s: float | None = None  # what says that there is a change, before an attempt to get it
        self._began_s: float | None = None  # the attempt that is under way, or what it was noticed by
        self._attempt_s: float | None = None  # the attempt that is under way
        self._kept: list[tuple[str, float]] = []  # content and time, the oldest first

    def noticed(self, now_s: float, *, earlier_counts: bool) -> None:
        """A primary or a file says that there is a change. `earlier_counts`: not if that was known before."""
        if self._noticed_s is None or not earlier_counts:
            self._noticed_s = now_s

    def begins(self, now_s: float) -> None:
        """An attempt begins."""
        self._attempt_s, self._began_s = now_s, now_s if self._noticed_s is None else min(self._noticed_s, now_s)
        self._noticed_s = None

    def failed(self) -> None:
        """The attempt brought nothing. What was noticed before it counts for the next one."""
        if self._noticed_s is None and self._began_s != self._attempt_s:
            self._noticed_s = self._began_s

    def keep(self, sha256: str, seen_s: float | None = None) -> None:
        """Content that adds names is the last-good copy now. `seen_s`: not since the attempt, but since then."""
        if seen_s is None:
            seen_s = self._began_s
        if seen_s is None:
            return
        self._kept.append((sha256, seen_s))
        if len(self._kept) > _MOST_KEPT:  # no blockset can be made: the newest content has what the others add
            (_, first_s), (sha256, second_s) = self._kept[:2]
            self._kept[:2] = [(sha256, min(first_s, second_s))]

    def live(self, sha256: str) -> float | None:
        """A blockset of this content is live: since when its oldest addition is known; None if it adds nothing."""
        found = next((index for index, (kept, _) in enumerate(self._kept) if kept == sha256), None)
        if found is None:
            return None
        seen_s = min(seen_s for _, seen_s in self._kept[: found + 1])
        del self._kept[: found + 1]
        return seen_s


class LiveUpdates:
    """Of all feeds: the updates that have gone live since the process started, the latest `MOST_KNOWN`."""

    def __init__(self) -> None:
        self._updates: deque[LiveUpdate] = deque(maxlen=MOST_KNOWN)

    @property
    def latest(self) -> tuple[LiveUpdate, ...]:
        """The oldest first."""
        return tuple(self._updates)

    def add(self, generation: int, feed: str, seen_boot_s: float) -> None:
        """An update of `feed` is live in `generation`."""
        self._updates.append(LiveUpdate(feed=feed, generation=generation, seen_boot_s=seen_boot_s))

    def add_published(self, generation: int, seen_s: Mapping[str, float]) -> None:
        """On a node of a fleet: `generation` has what the publisher's fetcher first saw at `seen_s`, by feed.

        `seen_s` is in seconds since the epoch by the clock of the publisher; if that is ahead of ours, the time until now is 0.
        """
        now_s, now_boot_s = steady_s(), boottime_s()
        for feed, first_s in seen_s.items():
            self.add(generation, feed, now_boot_s - max(0.0, now_s - first_s))

    def seen_s(self, above: int, up_to: int) -> dict[str, float]:
        """For the publisher of a fleet: when the fetcher first saw what went live in the generations above `above`, up to and
        with `up_to`: seconds since the epoch, by feed. Argument of `add_published` on the nodes.
        """
        offset_s = steady_s() - boottime_s()
        found: dict[str, float] = {}
        for one in self._updates:
            if above < one.generation <= up_to:
                found[one.feed] = min(found.get(one.feed, one.seen_boot_s + offset_s), one.seen_boot_s + offset_s)
        return found
