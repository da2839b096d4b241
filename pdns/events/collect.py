"""From the rings of all workers to the spool: describes events, keeps the hour, and knows how far it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from pdns.config.schema import Config
from pdns.event_store.event import Event, Finding, Record
from pdns.events.description import Describer, record_id
from pdns.events.hour_book import HourBook
from pdns.events.places import Places, RingPlace, read_places, write_places
from pdns.events.spool import Spool
from pdns.events.worker_source import ReadEvent, WorkerSource
from pdns.telemetry.counters import Counters
from pdns.telemetry.event_ring import EventRing

_SAVE_EVERY_S: Final = 1.0
_MOST_TURNS: Final = 20  # of one call, so that sinks get their turn

_log = logging.getLogger(__name__)


class EventCollector:
    """One for the process. Times: `now_s` since the epoch, `boot_s` of `pdns.clock.boottime_s`."""

    def __init__(
        self,
        config: Config,
        node: str,
        events_dir: Path,
        spool: Spool,
        append: Callable[[Sequence[Record]], None],
        counters: Counters,
    ) -> None:
        """`append` puts records into the spool; `counters` are those of this process."""
        self.describer = Describer(config, node)
        self._events_dir, self._append, self._counters, self._spool = events_dir, append, counters, spool
        places = read_places(events_dir)
        self._places = places.rings
        self._book = HourBook(places.hour)
        self._sources: dict[str, WorkerSource] = {}
        self._known = _ids_since(spool, places) if places.rings else frozenset()
        self.needed = spool.checked(places.spool) if places.rings else spool.end  # of the spool: from here on
        self._save_at_s = 0.0
        self._is_saved = True

    def read_from(self, ring: EventRing, counters: Counters, *, anew: bool = False) -> None:
        """Read the events of a worker; what was read before a restart is not read again. `anew`: what was not read up to now
        was not to be recorded.
        """
        key = f"{ring.id:x}"
        place = self._places.get(key, RingPlace())
        if key in self._sources or place.is_final:
            counters.close()
            ring.close()
            return
        if not anew:
            self._sources[key] = WorkerSource(counters, ring, place.next, place.weight)
            return
        source = self._sources[key] = WorkerSource(counters, ring, None)
        self._book.skip(key, source.snapshot())
        self.save()

    def forget(self, ring: int, now_s: float, boot_s: float) -> None:
        """A worker is gone for good: read what is left, and remember that, so that it is never read again."""
        key = f"{ring:x}"
        if (source := self._sources.get(key)) is None:
            return
        while self._read(key, source, now_s - boot_s):
            pass
        self._look(key, source)
        self._book.forget(key)
        del self._sources[key]
        self._places[key] = RingPlace(source.reader.next, source.reader.weight, True)
        source.close()
        self.save()

    def forget_others(self) -> None:
        """Forget the places of rings that no worker has: those of an earlier server."""
        for key in self._places.keys() - self._sources.keys():
            del self._places[key]
        for key in self._book.state.before.keys() - self._sources.keys():
            self._book.forget(key)

    def turn(self, now_s: float, boot_s: float) -> None:
        """Read what is there, end the hour if it is over, and remember the place. Call this a few times a second."""
        self._book.begin(now_s)
        for key, source in self._sources.items():
            for _ in range(_MOST_TURNS):
                if not self._read(key, source, now_s - boot_s):
                    break
        if self._book.is_over(now_s):
            self.end_hour(now_s)
        if not self._is_saved and not self._save_at_s - _SAVE_EVERY_S <= boot_s < self._save_at_s:
            self._save_at_s = boot_s + _SAVE_EVERY_S
            self.save()

    def end_hour(self, now_s: float) -> None:
        """Record the hour up to now."""
        for key, source in self._sources.items():
            self._look(key, source)
        hours = self._book.end(now_s, self.describer.node)
        self._append(hours)
        if missing := sum(abs(hour.unaccounted) for hour in hours):
            _log.warning("%d blocked queries of the last hour are in no event, or in two", missing)
            self._counters.add(missing, "events_unaccounted_total")
        self.save()  # an hour that ended twice would have two contents with one id

    def find(self, findings: Sequence[Finding]) -> None:
        """Record findings."""
        if findings:
            self._append(findings)
            for finding in findings:
                self._counters.add(1, "findings_total", finding.kind, finding.tenant)

    def save(self) -> None:
        """Remember the place now."""
        for key, source in self._sources.items():
            self._places[key] = RingPlace(source.reader.next, source.reader.weight)
        end = self._spool.end
        places = Places(rings=self._places, spool_segment=end.segment, spool_offset=end.offset, hour=self._book.state)
        with suppress(OSError):  # a full disk: what is read since is read again
            write_places(self._events_dir, places)
            self._is_saved, self.needed = True, end

    def close(self) -> None:
        for source in self._sources.values():
            source.close()
        self._sources.clear()

    def _read(self, key: str, source: WorkerSource, offset_s: float) -> bool:
        """Whether there may be more."""
        lost_before = source.reader.lost_weight
        found = [(one, self._event(key, one, offset_s)) for one in source.read()]
        if lost := source.reader.lost_weight - lost_before:
            self._counters.add(lost, "events_lost_total", "overwritten")
            self._book.state.lost += lost
        events = [event for _, event in found if event is not None and event.id not in self._known]
        self._append(events)
        for one, event in found:
            if event is None:
                self._counters.add(one.n, "events_lost_total", "unreadable")
                self._book.state.lost += one.n
                continue
            self._book.add_event(event.tenant, event.n, merged=event.merged, monitored=event.kind == "monitored")
        for event in events:
            self._counters.add(1, "events_total", event.kind)
            self._counters.add(event.n, "events_queries_total", event.kind)
        self._is_saved = self._is_saved and not found and not lost
        return source.is_behind

    def _event(self, key: str, one: ReadEvent, offset_s: float) -> Event | None:
        if one.raw is None or one.labels is None:
            return None
        return self.describer.event(one.raw, one.labels, record_id(self.describer.node, int(key, 16), one.number), offset_s)

    def _look(self, key: str, source: WorkerSource) -> None:
        self._book.look(key, source.snapshot())


def _ids_since(spool: Spool, places: Places) -> frozenset[int]:
    """The ids of the records that the spool got after the places were written."""
    ids: set[int] = set()
    position = spool.checked(places.spool)
    while (read := spool.read(position, 4096)).records:
        ids.update(record.id for record in read.records)
        position = read.next
    return frozenset(ids)
