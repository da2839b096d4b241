"""One configured feed: its last-good copy, and what becomes of an attempt to get a newer one."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from feeds import retry_delay
from feeds.builder import Builder, BuildError
from feeds.fetch import ERROR, Fetched, FileStamp, SourceError, Unchanged, Validators, transports
from feeds.fetch.network import Network
from feeds.files import disk_reason
from feeds.jobs import Parse, Parsed, Part
from feeds.live_blockset import Input
from feeds.log_texts import news, still_in_force
from feeds.publisher import Publishing
from feeds.quarantine import Pending, Quarantine
from feeds.store import Copy, FeedStore, reader_version, reading_of
from feeds.update_limits import UpdateLimits
from feeds.update_times import UpdateTimes
from pdns.clock import boottime_s, steady_s
from pdns.config.addresses import source_path
from pdns.config.schema import Feed
from pdns.config.source import source_fingerprint
from pdns.errors import FeedError
from pdns.files import safe_files
from pdns.free_text import visible
from pdns.state.feed_status import HoldReason

MAX_ERROR_CHARACTERS: Final = 500
READER: Final = reader_version()  # entries parsed by another one are parsed anew
AT_MOST_TIMES: Final = 1.5  # times `refresh_s`: so much older at most is a hold at the next refresh, whatever the clock says
UPDATED, UNCHANGED, HELD = "updated", "unchanged", "held"
_log = logging.getLogger(__name__)


class RefreshContext(NamedTuple):
    """What all feeds of one process share."""

    builder: Builder
    publisher: Publishing
    network: Network


class FeedRefresher:
    """Keeps the copy of one source. `attempt` is the only way for it to change, and it changes only for the better."""

    def __init__(self, feed: Feed, directory: Path, results: Counter[str], limits: UpdateLimits | None = None) -> None:
        self.feed = feed  # what does not change its source may be replaced at any time
        self.limits = limits or UpdateLimits()  # likewise
        self.popularity = ""  # path of the list of popular names that its new ones are compared with
        self.source = source_fingerprint(feed)
        self.path = source_path(feed.url)
        self.last_seen: FileStamp | None = None  # of a local file, when it was last tried
        self.last_attempt_s = 0.0
        self.last_result = ""
        self.last_error = ""
        self.failures = 0
        self.moved_to = ""  # where the source last said that it is for good now
        self.retry_after_s = 0.0  # what the source asked for in its last answer
        self.tried = False
        self.results = results
        self.times = UpdateTimes()
        self._store = FeedStore(directory)
        self.quarantine = Quarantine(self._store, feed.url)
        self._failed_at_s = -math.inf
        self._take_up()
        self._salvaged_sha256 = ""  # of the content whose entries an earlier blockset keeps in force; "": not known
        self._as_read_before = ("", "")  # hash and source of the copy whose entries stay: reading it again was stopped
        self._keeping = asyncio.Lock()

    def _take_up(self) -> None:
        """Go on with the copy that is kept on the disk."""
        kept = self._store.load()
        self._store.tidy(kept)
        self.copy: Copy | None = kept if kept is not None and kept.url == self.feed.url else None
        # What the feed listed under another url stays in force until this one delivers: a mistyped url must not lift a block.
        self.predecessor = kept if self.copy is None else None
        self._heard_at_s = boottime_s() - (max(0.0, steady_s() - kept.last_success_s) if kept is not None else 0.0)
        self._readable = self.copy is None or self._store.has_entries(self.copy)

    @property
    def name(self) -> str:
        return self.feed.name

    def same_source(self, feed: Feed) -> bool:
        """Whether `feed` asks for what is kept here."""
        return source_fingerprint(feed) == self.source

    @property
    def expired(self) -> bool:
        """Whether its source has been silent for too long for its names to stay in force: it was asked again when
        `expire_after_s` had passed since its last success, by a clock that cannot jump, and failed.
        """
        copy, after_s = self.copy or self.predecessor, self.feed.expire_after_s
        return copy is not None and 0 < after_s < self._failed_at_s - self._heard_at_s

    @property
    def silent(self) -> bool:
        """Whether no success is as young as `expire_after_s`: it is expired once it is asked again, and fails."""
        copy, after_s = self.copy or self.predecessor, self.feed.expire_after_s
        return copy is not None and 0 < after_s < boottime_s() - self._heard_at_s

    async def release(self) -> None:
        """Make the update that waits the last-good copy. Raises `OSError`."""
        async with self._keeping:
            pending, now_s = self.quarantine.pending, time.time()
            if pending is not None:
                self._keep_pending(pending, now_s)
            self.quarantine.release(now_s)

    async def attempt(self, around: RefreshContext) -> None:
        """Ask the source, judge what it says, keep it, have it published. Never raises: what went wrong is in `last_error`.

        `last_attempt_s` is when it began; it is set when the attempt is over and what it changed is live.
        """
        began_s = time.time()
        self.times.begins(boottime_s())
        result, failed, errors, retry_after_s = ERROR, ERROR, [], 0.0
        try:
            result = await self._refresh(around, began_s)
        except SourceError as exc:
            failed, retry_after_s = exc.result, exc.retry_after_s
            errors.append(exc.reason)
        except FeedError as exc:
            errors.append(exc.reason)
        except Exception as exc:  # noqa: BLE001 (a fault in our code must not end the refreshes of the others)
            errors.append(self._internal(exc))
        if errors:
            self.times.failed()
        self.tried = True
        try:
            await around.publisher.published()  # also after a failure: an earlier build may have failed
        except BuildError as exc:
            errors.append(f"no new blockset: {exc.reason}")
        self.retry_after_s = retry_after_s
        self._conclude(began_s, failed if errors else result, visible("; ".join(errors), MAX_ERROR_CHARACTERS))

    def delay_s(self, random: float) -> float:
        """Seconds until the next attempt: as configured, as a zone's SOA says if sooner, never before the source wants it."""
        zone = self.copy.validators.zone if self.copy is not None else None
        refresh_s = retry_delay.zone_refresh_s(self.feed.refresh_s, zone.refresh_s) if zone is not None else self.feed.refresh_s
        retry_s = retry_delay.zone_refresh_s(refresh_s, zone.retry_s) if zone is not None else None
        return max(retry_delay.delay_s(refresh_s, self.failures, random, retry_s), self.retry_after_s)

    async def ready(self, builder: Builder) -> tuple[Input, Part] | None:
        """Its share of the next blockset; None while it has no usable copy. Raises `BuildError`.

        A copy that was read by another version, or under other settings, is read again first.
        """
        if self._needs_reading(self.copy):
            async with self._keeping:
                if self.copy is not None and self._needs_reading(self.copy):
                    self.copy = await self._read_again(builder, self.copy)
                    self._readable = True
        if self.expired:
            return None
        if self.copy is not None:
            return self._input_of(self.copy, self.feed)
        if (copy := self.predecessor) is None:
            return None
        return self._input_of(copy, msgspec.structs.replace(self.feed, url=copy.url))  # its entries are of the old source

    def reread(self, parsed: str) -> None:
        """The entries in the file `parsed` turned out to be damaged: read the copy again, if they are still its entries."""
        if self.copy is not None and parsed == str(self._store.parsed_path(self.copy)):
            self._readable = False
        elif self.predecessor is not None and parsed == str(self._store.parsed_path(self.predecessor)):
            self.predecessor = None

    @property
    def lost(self) -> bool:
        """Whether nothing is left of it that could be read: it never loaded, or its files are gone."""
        return self.copy is None and self.predecessor is None

    def salvage(self, before: Input, blockset: str) -> tuple[Input, Part]:
        """Its share of the next blockset when it is lost: what the blockset in that directory, made of `before`, has of it."""
        self._salvaged_sha256 = before.sha256
        share = msgspec.structs.replace(before, category=self.feed.category, decided=self.quarantine.names_fingerprint)
        return share, Part(self.feed, "", self.quarantine.names, blockset)

    @property
    def damaged(self) -> bool:
        """Whether its files look otherwise than they were written."""
        copy = self.copy or self.predecessor
        return self.quarantine.damaged or (copy is not None and self._store.damaged(copy))

    async def mend(self) -> bool:
        """Have damaged files say what is in force. True when the source must be asked for it. Raises `OSError`."""
        self.quarantine.mend()
        copy = self.copy or self.predecessor
        if copy is None or self._keeping.locked() or not (changed := self._store.changed(copy)):
            return False
        async with self._keeping:
            if copy is not (self.copy or self.predecessor):
                return False
            _log.error("feed %s: changed on the disk: %s; it is made anew", self.name, ", ".join(sorted(changed)))
            if not (sound := await asyncio.to_thread(self._store.is_sound, copy)):
                safe_files.put_aside(self._store.raw_path(copy))  # the source is asked for all of it
            self._store.keep(copy)
            if copy.reading.parsed in changed:
                self.reread(str(self._store.parsed_path(copy)))
        return not sound

    def _input_of(self, copy: Copy, feed: Feed) -> tuple[Input, Part]:
        reading = copy.reading
        share = Input(
            self.name, reading.source, self.feed.category, copy.sha256, reading.reader, self.quarantine.names_fingerprint
        )
        return share, Part(feed, str(self._store.parsed_path(copy)), self.quarantine.names)

    def _needs_reading(self, copy: Copy | None) -> bool:
        if copy is None or (self._readable and self._as_read_before == (copy.sha256, self.source)):
            return False
        return copy.reading.source != self.source or copy.reading.reader != READER or not self._readable

    def _internal(self, exc: Exception) -> str:
        _log.error("feed %s: internal error", self.name, exc_info=exc)
        return f"internal error, see the log: {type(exc).__name__}: {exc}"

    def _conclude(self, began_s: float, result: str, error: str) -> None:
        if error and error != self.last_error:
            _log.warning("feed %s: %s; %s", self.name, error, still_in_force(self.copy or self.predecessor))
        elif self.last_error and not error:
            _log.info("feed %s: works again", self.name)
        self.last_attempt_s, self.last_result, self.last_error = began_s, result, error
        self.failures = self.failures + 1 if error else 0
        if error:
            self._failed_at_s = boottime_s()
        self.results[result] += 1

    async def _refresh(self, around: RefreshContext, began_s: float) -> str:
        started = time.monotonic()
        raw, parsed = self._store.new_file(), self._store.new_file()
        try:
            if self._store.unread:
                self._take_up()
            self._store.prepare()
            fetched = await self._fetch(around, raw)
            self.moved_to = fetched.moved_to
            async with self._keeping:
                said = self.quarantine.said
                if isinstance(fetched, Unchanged) and said is not None:
                    self.quarantine.heard(said.sha256, fetched.validators, began_s, self._at_most_s)
                    return self._still_held(began_s)
                if isinstance(fetched, Unchanged) or (self.copy is not None and self.copy.sha256 == fetched.sha256):
                    self._keep_unchanged(fetched, raw, began_s)
                    self.quarantine.moot()
                    return UNCHANGED
                if self.quarantine.was_dropped(fetched.sha256) or (said is not None and said.sha256 == fetched.sha256):
                    self.quarantine.heard(fetched.sha256, fetched.validators, began_s, self._at_most_s)
                    return self._still_held(began_s)
                result = await self._parse(around.builder, raw, parsed, fetched)
                copy = self._new_copy(fetched, result, began_s)
                if (finding := self._finding(result, fetched.sha256)) is not None:
                    self.quarantine.keep(
                        copy, finding, result.change, self.limits, raw=raw, parsed=parsed, now_s=began_s,
                        at_most_s=self._at_most_s, same_format=self.copy is None or self.copy.reading.format == result.format,
                    )  # fmt: skip
                    if self.quarantine.settled(self.limits):
                        return self._still_held(began_s)
                    _log.warning(
                        "feed %s: update held: %s; %s", self.name, finding.reason, still_in_force(self.copy or self.predecessor)
                    )
                    return HELD
                adds = self.copy is not None and result.change.added > 0
                self._keep_new(copy, raw, parsed)
                if adds:
                    self.times.keep(copy.sha256)
                self.quarantine.accepted(result.change, began_s)
        except BuildError as exc:
            raise FeedError(self.name, exc.reason) from None
        except OSError as exc:
            raise FeedError(self.name, disk_reason(exc, self._store.directory)) from None
        finally:
            raw.unlink(missing_ok=True)
            parsed.unlink(missing_ok=True)
        _log.info("feed %s: %s, %d ms", self.name, news(result, fetched), (time.monotonic() - started) * 1000)
        return UPDATED

    @property
    def _at_most_s(self) -> float:
        return AT_MOST_TIMES * self.feed.refresh_s

    def _still_held(self, now_s: float) -> str:
        """What has become of the update that waits. Raises `OSError`."""
        pending = self.quarantine.pending
        if pending is None:
            return UNCHANGED
        if self.lost and pending.copy.sha256 == self._salvaged_sha256:
            self._keep_pending(pending, now_s)
            self.quarantine.moot()
            return UPDATED
        if not self.quarantine.settled(self.limits):
            return HELD
        self._keep_pending(pending, now_s)
        self.quarantine.settle(now_s)
        _log.warning(
            "feed %s: the update that was held (%s) is live: its source has said so %d times within %.0f h",
            self.name, pending.finding.reason, pending.refreshes, pending.persisted_s / 3600,
        )  # fmt: skip
        return UPDATED

    def _keep_pending(self, pending: Pending, now_s: float) -> None:
        """Make the update that waits the last-good copy. Raises `OSError`."""
        copy = msgspec.structs.replace(pending.copy, last_success_s=now_s, last_changed_s=now_s)
        self._store.keep(copy)
        if self.copy is not None and pending.change is not None and pending.change.added:
            self.times.keep(copy.sha256, boottime_s())  # the wait before was meant
        self.copy, self.predecessor, self._readable = copy, None, True
        self._heard_at_s = boottime_s()

    def _finding(self, result: Parsed, sha256: str) -> HoldReason | None:
        if result.finding is None and self.quarantine.frozen and not self._is_accepted(sha256):
            return HoldReason("hold", f"every update is held: {self.quarantine.frozen}")
        return result.finding

    def _is_accepted(self, sha256: str) -> bool:
        """Whether content is never held: an administrator released it, or its entries are in force while its files are lost."""
        return self.quarantine.was_released(sha256) or (self.lost and sha256 == self._salvaged_sha256)

    async def _fetch(self, around: RefreshContext, into: Path) -> Fetched | Unchanged:
        if self.path is not None:
            self.last_seen = await transports.look(self.feed, self.path)
        return await transports.fetch(self.feed, self.quarantine.kept(self.copy), into, around.network)

    async def _parse(self, builder: Builder, raw: Path, parsed: Path, fetched: Fetched) -> Parsed:
        job = self._job(raw, parsed, fetched.validators, self.copy or self.predecessor)
        if self.copy is not None:
            job = msgspec.structs.replace(job, entries_before=self.copy.reading.entries + self.copy.reading.addresses)
        if not self._is_accepted(fetched.sha256):
            limits = msgspec.structs.replace(self.limits, usual=self.quarantine.usual)
            job = msgspec.structs.replace(job, limits=limits, popularity=self.popularity)
        return await builder.parse(job)

    def _job(self, raw: Path, parsed: Path, validators: Validators, before: Copy | None) -> Parse:
        """Parse `raw`; what is known of the entries of `before` is carried over."""
        job = Parse(self.feed, str(raw), str(parsed), packed=validators.packed, now_s=time.time())
        if before is not None:
            job = msgspec.structs.replace(job, before=str(self._store.parsed_path(before)), seen_s=before.last_success_s)
        return job

    def _new_copy(self, fetched: Fetched, result: Parsed, now_s: float) -> Copy:
        return Copy(
            url=self.feed.url,
            raw=f"{fetched.sha256[:16]}.raw",
            sha256=fetched.sha256,
            size_bytes=fetched.size_bytes,
            validators=fetched.validators,
            last_success_s=now_s,
            last_changed_s=now_s,
            reading=reading_of(result, self.source, READER, fetched.sha256),
        )

    def _keep_new(self, copy: Copy, raw: Path, parsed: Path) -> None:
        self._store.keep(copy, raw=raw, parsed=parsed)
        self.copy, self.predecessor, self._readable = copy, None, True
        self._heard_at_s = boottime_s()

    def _keep_unchanged(self, fetched: Fetched | Unchanged, raw: Path, now_s: float) -> None:
        assert self.copy is not None
        copy = msgspec.structs.replace(self.copy, validators=fetched.validators, last_success_s=now_s)
        self._store.keep(copy, raw=raw if isinstance(fetched, Fetched) else None)
        self.copy = copy
        self._heard_at_s = boottime_s()

    async def _read_again(self, builder: Builder, copy: Copy) -> Copy | None:
        parsed = self._store.new_file()
        try:
            if not await asyncio.to_thread(self._store.is_sound, copy):
                _log.error("feed %s: its last-good copy is damaged on the disk: its source is asked again", self.name)
                self.quarantine.trust(copy.sha256)  # what is in force is no update
                safe_files.put_aside(self._store.raw_path(copy))
                return None
            result = await builder.parse(self._job(self._store.raw_path(copy), parsed, copy.validators, copy))
            copy = msgspec.structs.replace(copy, reading=reading_of(result, self.source, READER, copy.sha256))
            self._store.keep(copy, parsed=parsed)
        except BuildError as exc:
            if exc.stopped and self._readable:
                _log.warning("feed %s: its last-good copy cannot be read again, its entries stay: %s", self.name, exc.reason)
                self._as_read_before = (copy.sha256, self.source)
                return copy
            if not exc.unusable and not exc.stopped:
                raise
            _log.warning("feed %s: its last-good copy cannot be used: %s", self.name, exc.reason)
            return None
        except OSError as exc:
            raise BuildError(disk_reason(exc, self._store.directory)) from None
        finally:
            parsed.unlink(missing_ok=True)
        return copy
