"""The commands about held updates and names. What they change goes live at once, without a new fetch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from feeds.activation import Activation
from feeds.protected_names import Decided
from feeds.publisher import Publisher
from feeds.refresher import FeedRefresher
from feeds.refusals import RefusedError
from pdns.files.records import LockedError
from pdns.state.feed_status import HeldNames


class QuarantineCommands:
    """As `feeds.commands.CommandedFeeds`."""

    def __init__(self, runners: Callable[[], Mapping[str, FeedRefresher]], publisher: Publisher, activation: Activation) -> None:
        self._runners = runners
        self._publisher = publisher
        self._activation = activation

    def names(self) -> list[str]:
        """The feeds that are configured."""
        return list(self._runners())

    async def hold_back(self, feed: str, name: str, reason: str) -> str:
        """Take `name` out of the feed, or without a name hold back every update of the feed."""
        quarantine = self._runners()[feed].quarantine
        if not name:
            quarantine.freeze(reason)
            return f"feed {feed}: updates are held from now on: {reason}"
        left = _without(quarantine.names, name)
        quarantine.decide(replace(left, out={**left.out, name: f"held: {reason}"}))
        await self._publisher.published()
        return f"feed {feed}: {name} is held: {reason}"

    async def release(self, feed: str, name: str) -> str:
        """Let `name` or the held update go live, and end a `hold` of all updates."""
        runner = self._runners()[feed]
        quarantine = runner.quarantine
        quarantine.require_known()
        if name:
            found = self._activation.live.held.get(feed, HeldNames())
            if (why := found.refused_names.get(name)) is not None:
                raise RefusedError(f"{name} cannot be released ({why}): lower guard.popularity_refuse, or `pdns block {name}`")
            if not self._is_taken_out(feed, name):
                raise RefusedError(f"feed {feed}: {name} is not held; `pdns feeds held` shows what is")
            left = _without(quarantine.names, name)
            quarantine.decide(left if name in quarantine.names.out else replace(left, released=(*left.released, name)))
            await self._publisher.published()
            return f"feed {feed}: {name} is released"
        pending, frozen = quarantine.pending, quarantine.frozen
        if pending is None and not frozen:
            raise RefusedError(f"feed {feed}: no update is held")
        await runner.release()
        await self._publisher.published()
        if pending is None:
            return f"feed {feed}: updates are no longer held"
        return f"feed {feed}: the update is released: {pending.copy.reading.entries:,} names"

    async def release_all(self, feed: str, category: str, kind: str) -> str:
        """Let all held updates and names go live; `feed`, `category` and `kind` limit it to some of them."""
        runners = {
            name: runner
            for name, runner in self._runners().items()
            if feed in ("", name) and category in ("", runner.feed.category)
        }
        unknown = _remove_unknown(runners)
        updates = names = 0
        for runner in runners.values():
            pending = runner.quarantine.pending
            found = pending.finding.kind if pending is not None else "hold" if runner.quarantine.frozen else ""
            if found and kind in ("", found, "order" if found == "hold" else found):
                await runner.release()
                updates += 1
        if updates:
            await self._publisher.published()
        while more := self._release_names(runners, kind):  # a feed's status names at most MAX_HELD_NAMES at a time
            names += more
            await self._publisher.published()
        said = f"released: {updates:,} update{'s' * (updates != 1)}, {names:,} name{'s' * (names != 1)}"
        if unknown:
            raise RefusedError("; ".join((said, *unknown)))
        if not updates and not names:
            raise RefusedError("nothing of that is held; `pdns feeds held` shows what is")
        return said

    def _release_names(self, runners: Mapping[str, FeedRefresher], kind: str) -> int:
        """Release the held names that the status shows; returns how many."""
        count = 0
        for name, runner in runners.items():
            held, decided = self._activation.live.held.get(name, HeldNames()), runner.quarantine.names
            known = {*decided.released, *decided.dropped}
            wanted = [text for text in held.names if kind in ("", held.kinds.get(text, "")) and text not in known]
            if not wanted:
                continue
            out = {text: why for text, why in decided.out.items() if text not in wanted}
            runner.quarantine.decide(replace(decided, released=(*decided.released, *wanted), out=out))
            count += len(wanted)
        return count

    async def drop(self, feed: str, name: str) -> str:
        """Discard the held update or name. The same content is not offered again."""
        quarantine = self._runners()[feed].quarantine
        quarantine.require_known()
        if name:
            if not self._is_taken_out(feed, name):
                raise RefusedError(f"feed {feed}: {name} is not held; `pdns feeds held` shows what is")
            left = _without(quarantine.names, name)
            out = {**left.out, name: quarantine.names.out[name]} if name in quarantine.names.out else left.out
            quarantine.decide(replace(left, dropped=(*left.dropped, name), out=out))
            await self._publisher.published()
            return f"feed {feed}: {name} is dropped: it stays out of this feed"
        if quarantine.pending is None:
            raise RefusedError(f"feed {feed}: no update is held")
        quarantine.drop()
        return f"feed {feed}: the update is dropped; what was in force stays in force"

    def _is_taken_out(self, feed: str, name: str) -> bool:
        """Whether `name` is held or was dropped. Where more are held than the status shows, any name may be one of them."""
        found, decided = self._activation.live.held.get(feed, HeldNames()), self._runners()[feed].quarantine.names
        return name in found.names or name in decided.dropped or name in decided.out or found.held > len(found.names)


def _remove_unknown(runners: dict[str, FeedRefresher]) -> list[str]:
    """Remove the feeds whose quarantine record cannot be read; returns for each why nothing of it is released."""
    unknown = []
    for name, runner in list(runners.items()):
        try:
            runner.quarantine.require_known()
        except LockedError as exc:
            unknown.append(f"feed {name}: nothing is released: {exc}")
            del runners[name]
    return unknown


def _without(decided: Decided, name: str) -> Decided:
    return Decided(
        released=tuple(other for other in decided.released if other != name),
        dropped=tuple(other for other in decided.dropped if other != name),
        out={other: why for other, why in decided.out.items() if other != name},
    )
