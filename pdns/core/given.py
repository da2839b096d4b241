"""The answers that feeds themselves give: which of them are honoured, and how far an exception of such a feed reaches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pdns.config.schema import Config
from pdns.core.listing import LOCAL_DATA, PASSTHRU, TCP_ONLY, ListedAction, Listings
from pdns.wire import protocol as p
from pdns.wire.names import MAX_NAME_BYTES

EVERY_FEED: Final = 1 << 30  # higher than the place of any feed
_WILDCARD: Final = b"\1*"


class GivenActions:
    """What `rpz_action` of each feed makes of its listings."""

    def __init__(self, config: Config) -> None:
        self._places = {feed.name: place for place, feed in enumerate(config.feed)}
        self._honoured = {feed.name for feed in config.feed if feed.rpz_action == "given"}
        self._instead = {
            feed.name: ListedAction(feed.rpz_action) for feed in config.feed if feed.rpz_action not in ("policy", "given")
        }

    def __bool__(self) -> bool:
        """Whether a feed's own actions are honoured."""
        return bool(self._honoured)

    def action(self, listings: Listings, feed: str, number: int) -> ListedAction | None:
        """The action for a listing of `feed`; None: as the policy says."""
        if number and feed in self._honoured:
            return listings.actions[number]
        return self._instead.get(feed)

    def stops_at(self, listings: Listings, said: Iterable[tuple[str, int]]) -> int:
        """The place of the first feed that excepts a name or address from what the feeds behind it list; EVERY_FEED when there is
        none. `said`: feeds that block, and the numbers of their actions.
        """
        if not self._honoured:
            return EVERY_FEED
        return min((self._places[feed] for feed, number in said if self._is_passthru(listings, feed, number)), default=EVERY_FEED)

    def place(self, feed: str) -> int:
        """The place of a feed in the configuration."""
        return self._places.get(feed, EVERY_FEED)

    def _is_passthru(self, listings: Listings, feed: str, number: int) -> bool:
        action = listings.actions[number] if number and feed in self._honoured else None
        return action is not None and action.kind == PASSTHRU


def is_exception(listings: Listings, number: int) -> bool:
    """Whether the action with that number excepts what it is listed for."""
    action = listings.actions[number]
    return action is not None and action.kind == PASSTHRU


def has_local_data(actions: Iterable[ListedAction | None]) -> bool:
    """Whether any of `actions` has data of its own."""
    return any(action is not None and action.kind == LOCAL_DATA for action in actions)


def is_redirect(action: ListedAction) -> bool:
    """Whether it leads to another name, whose records are asked for."""
    return action.kind == LOCAL_DATA and bool(action.rdatas(p.CNAME))


def is_tcp_only(action: ListedAction | None) -> bool:
    return action is not None and action.kind == TCP_ONLY


def target_of(action: ListedAction, name: bytes) -> bytes | None:
    """Where a redirect leads `name`, which takes the place of `*`. None when that would be too long for a name."""
    target = action.rdatas(p.CNAME)[0]
    if target.startswith(_WILDCARD):
        target = name[:-1] + target[len(_WILDCARD) :]
    return target if len(target) <= MAX_NAME_BYTES else None
