"""Keeps the history: what workers have noted goes into filters, in memory for today, and from there into files."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from pdns.errors import PdnsError
from pdns.files.safe_files import make_directory, remove
from pdns.history.days import ALL, ALL_PREFIX, DayFiles, DayRecord, date_of, days_in, history_directory
from pdns.history.filters import NameFilter
from pdns.telemetry.asked_names import DAY_S

WRITE_S: Final = 300.0  # what a kill loses at most
MOST_OF_A_TENANT: Final = 2_000_000  # digests a day: 5.8 MB
MOST_OF_ALL: Final = 20_000_000
_LATE_S: Final = 600.0  # after midnight, in which digests of the day before may still come
_ROOM: Final = 1.25  # for a day that has more digests than the one before
_ADD_AT: Final = 4096  # digests of one tenant that wait
_log = logging.getLogger(__name__)


class AskedDigest(NamedTuple):
    """A digest that was noted for a tenant."""

    tenant: str
    digest: bytes
    day: int


class _DayBeingWritten:
    """The filters of one day that is not over."""

    def __init__(self, files: DayFiles, before: DayFiles, now_s: float) -> None:
        self._files, self._before = files, before
        self._filters: dict[str, NameFilter] = {}
        self._waiting: defaultdict[str, list[bytes]] = defaultdict(list)
        self._changed: set[str] = set()
        found = files.known()
        self._since_s, self._lost = found.since_s or now_s, found.lost

    def add(self, tenant: str, digest: bytes) -> None:
        waiting = self._waiting[tenant]
        waiting.append(digest)
        if len(waiting) >= _ADD_AT:
            self.settle()

    def lose(self, count: int) -> None:
        self._lost += count

    def settle(self) -> None:
        """Put what waits into the filters."""
        waiting, self._waiting = self._waiting, defaultdict(list)
        for tenant, digests in waiting.items():
            if self.filter_of(tenant).add(digests):
                self._changed.add(tenant)
        if self.filter_of(ALL).add(digest for digests in waiting.values() for digest in digests):
            self._changed.add(ALL)

    def filter_of(self, tenant: str) -> NameFilter:
        if (found := self._filters.get(tenant)) is None:
            most = MOST_OF_ALL if tenant == ALL else MOST_OF_A_TENANT
            try:
                found = self._files.read(tenant, most=most)
            except (OSError, PdnsError) as exc:
                if not isinstance(exc, FileNotFoundError):
                    _log.warning(
                        "%s, %s: begun anew, the file cannot be used: %s", self._files.directory, tenant or "all tenants", exc
                    )
                found = NameFilter(ALL_PREFIX if tenant == ALL else "", capacity=self._expected(tenant), most=most)
            self._filters[tenant] = found
        return found

    def _expected(self, tenant: str) -> int:
        try:
            return int(len(self._before.read(tenant)) * _ROOM)
        except (OSError, PdnsError):
            return 0

    def write(self, now_s: float) -> None:
        """Write what has changed. Raises `OSError`."""
        self.settle()
        if not self._changed:
            return
        self._files.make()
        for tenant in sorted(self._changed):
            self._files.write(tenant, self._filters[tenant])
            self._changed.discard(tenant)
        left_out = self.filter_of(ALL).left_out
        self._files.write_record(DayRecord(since_s=self._since_s, until_s=now_s, lost=self._lost, left_out=left_out))


class NameHistory:
    """The only writer of the history. `now_s` is of `pdns.clock.steady_s` everywhere."""

    def __init__(self, state_dir: Path, key: bytes, days: int, max_bytes: int, now_s: float) -> None:
        self._state_dir, self._key = state_dir, key
        self.days, self.max_bytes = days, max_bytes
        self._directory = history_directory(state_dir)
        self._being_written: dict[int, _DayBeingWritten] = {}
        self._now_s = now_s
        self._write_s = now_s + WRITE_S
        self._failed = False

    def add(self, tenant: str, digest: bytes, day: int) -> None:
        """A worker has noted `digest` for `tenant` on that day since the epoch."""
        if (being_written := self._day(day)) is not None:
            being_written.add(tenant, digest)

    def add_all(self, asked: Iterable[AskedDigest]) -> None:
        """As `add`, for each."""
        for tenant, digest, day in asked:
            self.add(tenant, digest, day)

    def lose(self, count: int) -> None:
        """Digests of today were overwritten before they were read."""
        if (today := self._day(int(self._now_s // DAY_S))) is not None:
            today.lose(count)

    def tick(self, now_s: float) -> None:
        """Once a second: put digests into filters, write files when it is time, remove old ones. Never raises."""
        self._now_s = now_s
        for being_written in self._being_written.values():
            being_written.settle()
        if now_s >= self._write_s or now_s < self._write_s - 2 * WRITE_S:
            self.write(now_s)

    def write(self, now_s: float) -> None:
        """Write all that has changed, now. Never raises."""
        self._now_s, self._write_s = now_s, now_s + WRITE_S
        try:
            for part in ("events", "events/names"):
                make_directory(self._state_dir / part, 0o750)
            for day, being_written in sorted(self._being_written.items()):
                being_written.write(now_s)
                if self._is_over(day):
                    del self._being_written[day]
            self._remove_old()
            self._failed = False
        except OSError as exc:
            if not self._failed:
                _log.warning("names that were asked cannot be written, tried again every %d s: %s", WRITE_S, exc)
            self._failed = True

    def files(self) -> list[DayFiles]:
        """All days on the disk, the oldest first."""
        return days_in(self._directory, self._key)

    def _day(self, day: int) -> _DayBeingWritten | None:
        if (found := self._being_written.get(day)) is None:
            today = int(self._now_s // DAY_S)
            if abs(day - today) > 1 or self._is_over(day):
                return None
            files, before = (DayFiles(self._directory, number, self._key) for number in (day, day - 1))
            found = self._being_written[day] = _DayBeingWritten(files, before, self._now_s)
        return found

    def _is_over(self, day: int) -> bool:
        return self._now_s > (day + 1) * DAY_S + _LATE_S

    def _remove_old(self) -> None:
        today = int(self._now_s // DAY_S)
        kept = []
        for files in self.files():
            if files.day <= today - self.days:
                files.remove()
            else:
                kept.append(files)
        sizes = [files.size_bytes() for files in kept]
        while len(kept) > 1 and sum(sizes) > self.max_bytes:
            _log.warning("names asked on %s: removed, all days together have more than history.max_bytes", date_of(kept[0].day))
            kept.pop(0).remove()
            sizes.pop(0)


def remove_history(state_dir: Path) -> None:
    """Remove all filters, since names are no longer noted. Raises `OSError`."""
    remove(history_directory(state_dir))
