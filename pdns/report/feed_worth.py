"""What each feed did in a period, beside its size, age and state."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from pdns.config.schema import Config
from pdns.event_store.queries import FeedWorth
from pdns.state.feed_status import FeedsStatus, FeedStatus


class FeedRow(Struct, frozen=True, kw_only=True):
    """One feed. `state`: "current", or what is wrong with it."""

    feed: str
    category: str
    mode: str
    n: int  # queries that it decided, or would have
    only: int  # of these, for names that no other feed lists
    domains: int
    clients: int
    entries: int
    last_success_s: float  # 0: never
    state: str


def feed_rows(config: Config, status: FeedsStatus | None, worth: Iterable[FeedWorth], *, only_met: bool) -> tuple[FeedRow, ...]:
    """Every feed, those with the most queries first. `only_met`: without those that no query met."""
    met = {one.feed: one for one in worth}
    known = status.feeds if status is not None else {}
    configured = {feed.name: feed for feed in config.feed}
    rows = []
    for name in dict.fromkeys([*met, *(() if only_met else configured)]):
        one, feed, was = met.get(name), configured.get(name), known.get(name)
        rows.append(
            FeedRow(
                feed=name,
                category=feed.category if feed else was.category if was else "",
                mode=feed.mode if feed else "",
                n=one.n if one else 0,
                only=one.only if one else 0,
                domains=one.domains if one else 0,
                clients=one.clients if one else 0,
                entries=was.entries + was.addresses if was else 0,
                last_success_s=was.last_success_s if was else 0.0,
                state=_state(was) if feed else "",
            )
        )
    return tuple(sorted(rows, key=lambda row: (-row.n, row.feed)))


def _state(was: FeedStatus | None) -> str:
    if was is None or (not was.loaded and not was.last_success_s):
        return "never loaded"
    if was.expired:
        return "expired"
    if was.lost:
        return "files lost"
    if was.disabled_until_s or was.disabled_reason:
        return "disabled"
    if was.frozen:
        return "frozen"
    if was.held_update is not None:
        return "update held"
    return "source fails" if was.last_error else "current"
