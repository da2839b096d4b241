"""What administrators decide about updates and names that were held; what follows goes live at once, without a new fetch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from feeds.activation import Activation
from feeds.commands import RefusedError
from feeds.protected_names import Decided
from feeds.publisher import Publisher
from feeds.refresher import FeedRefresher
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

    async def hold(self, feed: str, name: str, reason: str) -> str:
        """Take `name` out of the feed, or without one hold every update of it."""
        hold = self._runners()[feed].hold
        if not name:
            hold.freeze(reason)
            return f"feed {feed}: updates are held from now on: {reason}"
        hold.decide(replace(_without(hold.names, name), out={**_without(hold.names, name).out, name: f"held: {reason}"}))
        await self._publisher.published()
        return f"feed {feed}: {name} is held: {reason}"

    async def release(self, feed: str, name: str) -> str:
        """Let what was held go live: `name`, or the update that waits; updates are no longer held by order."""
        runner = self._runners()[feed]
        hold = runner.hold
        hold.require_known()
        if name:
            found = self._activation.live.held.get(feed, HeldNames())
            if (why := found.refused_names.get(name)) is not None:
                raise RefusedError(f"{name} cannot be released ({why}): lower guard.popularity_refuse, or `pdns block {name}`")
            if not self._is_taken_out(feed, name):
                raise RefusedError(f"feed {feed}: {name} is not held; `pdns feeds held` shows what is")
            left = _without(hold.names, name)
            hold.decide(left if name in hold.names.out else replace(left, released=(*left.released, name)))
            await self._publisher.published()
            return f"feed {feed}: {name} is released"
        pending, frozen = hold.pending, hold.frozen
        if pending is None and not frozen:
            raise RefusedError(f"feed {feed}: no update is held")
        await runner.release()
        await self._publisher.published()
        if pending is None:
            return f"feed {feed}: updates are no longer held"
        return f"feed {feed}: the update is released: {pending.copy.reading.entries:,} names"

    async def release_all(self, feed: str, category: str, kind: str) -> str:
        """Let everything go live that was held, of one feed or of all, of one category and kind or of all."""
        runners = {
            name: runner
            for name, runner in self._runners().items()
            if feed in ("", name) and category in ("", runner.feed.category)
        }
        unknown = _remove_unknown(runners)
        updates = names = 0
        for runner in runners.values():
            pending = runner.hold.pending
            found = pending.finding.kind if pending is not None else "hold" if runner.hold.frozen else ""
            if found and kind in ("", found, "order" if found == "hold" else found):
                await runner.release()
                updates += 1
        if updates:
            await self._publisher.published()
        while more := self._release_names(runners, kind):  # as many at a time as the record of what is held has room for
            names += more
            await self._publisher.published()
        said = f"released: {updates:,} update{'s' * (updates != 1)}, {names:,} name{'s' * (names != 1)}"
        if unknown:
            raise RefusedError("; ".join((said, *unknown)))
        if not updates and not names:
            raise RefusedError("nothing of that is held; `pdns feeds held` shows what is")
        return said

    def _release_names(self, runners: Mapping[str, FeedRefresher], kind: str) -> int:
        """Note that the names that are known to be held are released; says how many."""
        count = 0
        for name, runner in runners.items():
            held, decided = self._activation.live.held.get(name, HeldNames()), runner.hold.names
            known = {*decided.released, *decided.dropped}
            wanted = [text for text in held.names if kind in ("", held.kinds.get(text, "")) and text not in known]
            if not wanted:
                continue
            out = {text: why for text, why in decided.out.items() if text not in wanted}
            runner.hold.decide(replace(decided, released=(*decided.released, *wanted), out=out))
            count += len(wanted)
        return count

    async def drop(self, feed: str, name: str) -> str:
        """Speak no more of what was held: it stays out. The same content is not offered again."""
        hold = self._runners()[feed].hold
        hold.require_known()
        if name:
            if not self._is_taken_out(feed, name):
                raise RefusedError(f"feed {feed}: {name} is not held; `pdns feeds held` shows what is")
            left = _without(hold.names, name)
            out = {**left.out, name: hold.names.out[name]} if name in hold.names.out else left.out
            hold.decide(replace(left, dropped=(*left.dropped, name), out=out))
            await self._publisher.published()
            return f"feed {feed}: {name} is dropped: it stays out of this feed"
        if hold.pending is None:
            raise RefusedError(f"feed {feed}: no update is held")
        hold.drop()
        return f"feed {feed}: the update is dropped; what was in force stays in force"

    def _is_taken_out(self, feed: str, name: str) -> bool:
        """Also a name that was dropped, and one beyond those that are told."""
        found, decided = self._activation.live.held.get(feed, HeldNames()), self._runners()[feed].hold.names
        return name in found.names or name in decided.dropped or name in decided.out or found.held > len(found.names)


def _remove_unknown(runners: dict[str, FeedRefresher]) -> list[str]:
    """Remove the feeds whose quarantine record cannot be read; says for each why nothing of it is released."""
    unknown = []
    for name, runner in list(runners.items()):
        try:
            runner.hold.require_known()
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
