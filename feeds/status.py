"""What the feeds process tells everyone else: `<state>/feeds.json`, after each event."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from feeds.files import disk_reason
from feeds.live_blockset import LiveBlockset
from feeds.refresher import FeedRefresher
from pdns.config.addresses import without_secrets
from pdns.files.safe_files import appearance, write_whole
from pdns.logs import standard_error
from pdns.state.feed_status import FILE_NAME, FeedsStatus, FeedStatus, HeldNames, LiveUpdate, PublishStatus
from pdns.state.overrides import Overrides

_log = logging.getLogger(__name__)


def snapshot(
    live: LiveBlockset,
    runners: Iterable[FeedRefresher],
    overrides: Overrides,
    doing: str,
    notify_refused: Counter[str],
    published: PublishStatus,
    updates: tuple[LiveUpdate, ...] = (),
) -> FeedsStatus:
    """Everything as it stands now."""
    return FeedsStatus(
        written_s=time.time(),
        generation=live.generation,
        entries=live.entries,
        build_s=round(live.build_s, 3),
        doing=doing,
        feeds={runner.name: _of(runner, live, overrides) for runner in runners},
        indicators=dict(Counter(entry.action for entry in overrides.indicators)),
        log_lines_dropped=standard_error().dropped,
        notify_refused=dict(notify_refused),
        published=published,
        updates=updates,
    )


def _of(runner: FeedRefresher, live: LiveBlockset, overrides: Overrides) -> FeedStatus:
    feed, copy = runner.feed, runner.copy
    status = FeedStatus(
        url=without_secrets(feed.url),
        category=feed.category,
        mode=feed.mode,
        required=feed.required,
        last_attempt_s=runner.last_attempt_s,
        last_result=runner.last_result,
        last_error=runner.last_error,
        moved_to=runner.moved_to,
        results=dict(runner.results),
        held_update=runner.quarantine.status(runner.limits),
        held_names=live.held.get(feed.name, HeldNames()),
        frozen=runner.quarantine.frozen,
        expired=runner.expired,
        lost=runner.lost and feed.name in live.feeds,
    )
    if (disabled := overrides.disabled.get(feed.name)) is not None:
        status = msgspec.structs.replace(status, disabled_until_s=disabled.until_s, disabled_reason=disabled.reason)
    if copy is not None:
        reading = copy.reading
        status = msgspec.structs.replace(
            status,
            format=reading.format,
            odd=reading.odd,
            notes=reading.notes,
            entries=reading.entries,
            addresses=reading.addresses,
            last_success_s=copy.last_success_s,
            last_changed_s=copy.last_changed_s,
        )
    part = live.feeds.get(feed.name)
    if part is not None and live.generation:
        status = msgspec.structs.replace(
            status,
            loaded=part.source == runner.source,
            entries=part.entries,
            unique_entries=part.unique_entries,
            addresses=part.addresses,
            expired_entries=part.expired,
        )
    return status


class StatusWriter:
    """The file. A disk that refuses it is reported once, and is no reason to stop refreshing."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE_NAME
        self._failed = False
        self._looks: tuple[int, ...] = ()

    def changed(self) -> bool:
        """Whether the file is no longer what was written."""
        return self._looks != () and appearance(self._path) != self._looks

    def write(self, status: FeedsStatus) -> None:
        """Replace its content. Never raises."""
        try:
            write_whole(self._path, msgspec.json.encode(status))
            self._looks = appearance(self._path)
        except OSError as exc:
            if not self._failed:
                _log.warning("the feed status cannot be written: %s", disk_reason(exc, self._path.parent))
            self._failed = True
        else:
            self._failed = False
