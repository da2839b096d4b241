"""What an update must not do unless somebody has looked at it: shrink, grow, turn over, or list popular names. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import msgspec

from pdns.blockset.annotations import DAY_S
from pdns.config.schema import Config, Feed
from pdns.config.value_types import GUARD_KINDS
from pdns.state.feed_status import HoldReason

MAX_EXAMPLES: Final = 5
ROOM: Final = 4  # times the square root of the entries: chance moves small lists by large shares
SEVERE_SHRINK: Final = 0.8  # a hold for more than this share lasts SEVERE_TIMES as long
SEVERE_GROWTH: Final = 4.0  # likewise
SEVERE_TIMES: Final = 7
TURNOVER_TIMES: Final = 3  # other names altogether need more proof than more or fewer
POPULAR_ALWAYS: Final = 10  # newly listed popular names that are fine whatever the share
USUAL_DAYS: Final = 30
USUAL_KEPT: Final = 12  # periods of USUAL_DAYS
END_BY_THEMSELVES: Final = frozenset(("shrink", "growth", "turnover"))
# What feeds of these list on purpose what too much hangs on elsewhere: dynamic DNS, public resolvers, advertisers.
PURPOSE: Final = frozenset(("provider", "giant", "popular", "upstream", "resolver", "shared"))


class Usual(msgspec.Struct, frozen=True, kw_only=True):
    """What was in force within one period: entries, and the share that one update replaced."""

    low: int
    high: int
    turnover: float = 0.0


class UpdateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How far one feed may move between two updates. Shares: 1 for no limit (growth: infinity)."""

    max_shrink: float = 1.0  # share of the entries before
    max_growth: float = float("inf")  # likewise
    max_turnover: float = 1.0  # share of the names that is replaced
    max_popular: float = 1.0  # share of popular names among those that are new
    max_popular_first: float = 1.0  # likewise of a list that had no copy before
    small_change: int = 0  # entries; a difference of at most so many is always fine
    min_entries: int = 1
    skip: frozenset[str] = frozenset()  # kinds of findings that are let through
    usual: Usual | None = None  # what was fine before is fine again
    release_after_s: float = 0.0  # 0: a hold never ends by itself
    release_after_refreshes: int = 1


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """How a list differs from the last-good copy. `before` None: there is none."""

    entries: int
    before: int | None = None
    fresh: int = 0  # names that this feed did not list within the last year or so
    removed: int = 0  # names that only the copy before lists
    added: int = 0  # names and networks that the copy before does not list
    popular: int = 0  # popular ones among the fresh
    popular_before: int = 0  # popular ones in the copy before

    @property
    def turnover(self) -> float:
        """The share that is replaced: 1 for a list of which no name is left."""
        if not self.before or not self.entries:
            return 0.0
        return min(1.0, self.fresh / self.entries, self.removed / self.before)


def skipped_kinds(config: Config, feed: Feed) -> frozenset[str]:
    """The kinds of findings (`pdns.config.schema.GUARD_KINDS`) that go through in `feed`, by its category and its own keys."""
    level = feed.guard
    if level == "auto":
        level = "policy" if feed.category in config.guard.policy_categories else "threat"
    kinds = {"off": frozenset(GUARD_KINDS), "policy": PURPOSE, "threat": frozenset[str]()}[level]
    return kinds | frozenset(config.guard.skip) | frozenset(feed.guard_skip)


def is_policy(config: Config, feed: Feed) -> bool:
    """Whether `feed` is about what an organisation does not want, not about what is dangerous."""
    return feed.guard == "policy" or (feed.guard == "auto" and feed.category in config.guard.policy_categories)


def limits_of(config: Config, feed: Feed) -> UpdateLimits:
    """What `[guard]` and the feed's own keys come to."""
    guard = config.guard
    return UpdateLimits(
        max_shrink=guard.max_shrink if feed.max_shrink < 0 else feed.max_shrink,
        max_growth=guard.max_growth if feed.max_growth < 0 else feed.max_growth,
        max_turnover=guard.max_turnover if feed.max_turnover < 0 else feed.max_turnover,
        max_popular=guard.max_popular if not is_policy(config, feed) else max(guard.max_popular, 0.5),
        max_popular_first=guard.max_popular_first if not is_policy(config, feed) else 1.0,
        small_change=guard.small_change,
        min_entries=feed.min_entries,
        skip=skipped_kinds(config, feed),
        release_after_s=guard.release_after_s,
        release_after_refreshes=guard.release_after_refreshes,
    )


def judge(change: Change, limits: UpdateLimits) -> HoldReason | None:
    """Why a list may not take the place of the copy before by itself; None when it may. The gravest reason first."""
    found = (_popular(change, limits), _too_few(change, limits), _size(change, limits), _turnover(change, limits))
    return next((finding for finding in found if finding is not None and finding.kind not in limits.skip), None)


def same_level(entries: int, before: int, limits: UpdateLimits) -> bool:
    """Whether a list of `entries` says what one of `before` said, as far as the size tells."""
    return _size(Change(entries=entries, before=before), msgspec.structs.replace(limits, usual=None)) is None


def ends_by_itself(finding: HoldReason, change: Change) -> bool:
    """Whether a hold may end when its source persists: nothing but the number, or the set, of its names is odd."""
    return finding.kind in END_BY_THEMSELVES and change.popular <= POPULAR_ALWAYS // 2


def hold_s(finding: HoldReason, change: Change, limits: UpdateLimits) -> float:
    """For how long a source must persist in `change` for a hold to end by itself, in seconds; 0: it never does."""
    before = change.before or 0
    shrunk, grown = before - change.entries > SEVERE_SHRINK * before, change.entries - before > SEVERE_GROWTH * before
    if before and (shrunk or grown):
        return SEVERE_TIMES * limits.release_after_s
    return limits.release_after_s * (TURNOVER_TIMES if finding.kind == "turnover" else 1)


def period(now_s: float) -> int:
    """The number of the period that `now_s` is in."""
    return int(now_s // (USUAL_DAYS * DAY_S))


def with_usual(known: dict[int, Usual], change: Change, now_s: float, *, proven: bool = False) -> dict[int, Usual]:
    """`known` by period, with an update that is in force now; what is older than a year is forgotten.

    `proven`: it was held, and its source persisted. Who changed a list that much for good may do the like again.
    """
    number = period(now_s)
    kept = {at: usual for at, usual in known.items() if number - USUAL_KEPT < at <= number}
    # A copy that nearly emptied the list is in force, but no size to be taken for granted from now on.
    lows = [change.entries, *([change.before] if change.before else [])]
    low = max(min(lows), int((1 - SEVERE_SHRINK) * max(lows)))
    high, turnover = max(lows), change.turnover
    if proven:
        low, high, turnover = min(low, change.entries // 2), max(high, 3 * change.entries), 1.0
    if (usual := kept.get(number)) is not None:
        low, turnover = min(low, usual.low), max(turnover, usual.turnover)
    kept[number] = Usual(low=low, high=max(high, usual.high if usual is not None else 0), turnover=turnover)
    return kept


def usual_of(known: Iterable[Usual]) -> Usual | None:
    """All periods together."""
    known = list(known)
    if not known:
        return None
    return Usual(
        low=min(usual.low for usual in known),
        high=max(usual.high for usual in known),
        turnover=max(usual.turnover for usual in known),
    )


def _room(entries: int) -> float:
    return ROOM * math.sqrt(entries)


def _popular(change: Change, limits: UpdateLimits) -> HoldReason | None:
    share = limits.max_popular_first
    if change.before:
        usually = change.popular_before / change.before  # a list of popular names may go on to be one
        share = max(limits.max_popular, 3 * usually)
    most = POPULAR_ALWAYS + share * change.fresh
    if share >= 1 or change.popular <= most:
        return None
    return HoldReason(
        "popularity", f"{change.popular:,} of {change.fresh:,} names that are new are popular ones, at most {int(most):,} may be"
    )


def _too_few(change: Change, limits: UpdateLimits) -> HoldReason | None:
    if change.entries >= limits.min_entries:
        return None
    return HoldReason("minimum", f"{change.entries:,} entries, min_entries is {limits.min_entries:,}")


def _size(change: Change, limits: UpdateLimits) -> HoldReason | None:
    entries, before, usual = change.entries, change.before, limits.usual
    if before is None or abs(entries - before) <= limits.small_change:
        return None
    if entries < before:
        least = before * (1 - limits.max_shrink) - _room(before)
        if usual is not None and 0 < usual.low < before:
            least = min(least, 0.9 * usual.low - _room(usual.low))
        if limits.max_shrink >= 1 or entries >= least:
            return None
        gone = _percent(before - entries, before)
        return HoldReason("shrink", f"{entries:,} entries instead of {before:,}: {gone} gone, {_may(limits.max_shrink)}")
    most = before * (1 + limits.max_growth) + _room(before)
    if usual is not None and usual.high > before:
        most = max(most, 1.1 * usual.high + _room(usual.high))
    if entries <= most:
        return None
    more = _percent(entries - before, before)
    return HoldReason("growth", f"{entries:,} entries instead of {before:,}: {more} more, {_may(limits.max_growth)}")


def _turnover(change: Change, limits: UpdateLimits) -> HoldReason | None:
    most = limits.max_turnover if limits.usual is None else max(limits.max_turnover, limits.usual.turnover + 0.05)
    if most >= 1 or not change.before or min(change.fresh, change.removed) <= limits.small_change:
        return None
    if change.fresh <= most * change.entries + _room(change.entries):
        return None
    if change.removed <= most * change.before + _room(change.before):
        return None
    return HoldReason(
        "turnover",
        f"{_percent(change.removed, change.before)} of {change.before:,} names gone, {_percent(change.fresh, change.entries)} of"
        f" {change.entries:,} new, {_may(most)}",
    )


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "all"


def _may(limit: float) -> str:
    return f"{limit:.0%} may be"
