"""What of one feed was held, and what administrators decided about it: `<state>/feeds/<name>/hold.json`."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Final

import msgspec

from feeds.fetch import Kept, Validators
from feeds.protected_names import Decided
from feeds.store import Copy, FeedStore
from feeds.update_limits import Change, UpdateLimits, Usual, ends_by_itself, hold_s, same_level, usual_of, with_usual
from pdns.config.fleet_rules import fleet_feed
from pdns.files import records
from pdns.files.records import LockedError
from pdns.files.safe_files import appearance
from pdns.state import feed_status
from pdns.state.feed_status import HoldReason

RECORD: Final = "hold.json"
MAX_BYTES: Final = 256 * 1024 * 1024
MAX_REMEMBERED: Final = 20  # contents that were released or dropped


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """An update that waits: its files lie beside the last-good copy."""

    copy: Copy
    finding: HoldReason
    since_s: float
    change: Change | None = None
    refreshes: int = 1  # how often the source said so, or something of the same size
    persisted_s: float = 0.0  # over how much time, as far as it was asked
    seen_s: float = 0.0  # when it said so last
    settles: bool = False  # it goes live when the source persists


class QuarantineAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the source last said and what is not in force: asked conditionally, it need not say it again."""

    sha256: str
    validators: Validators


class QuarantineRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. Names are text, contents SHA-256."""

    url: str = ""  # as configured when the source said so
    pending: Pending | None = None
    said: QuarantineAnswer | None = None
    released: tuple[str, ...] = ()  # contents that are not held again
    dropped: tuple[str, ...] = ()  # contents that are not offered again
    frozen: str = ""  # why every update is held; "" when not
    names: Decided = Decided()
    usual: dict[int, Usual] = {}  # what was in force, by `feeds.update_limits.period`
    version: int = 1
    dropped_last: bool = False  # an administrator refused the last update that waited: the next needs one too


class Quarantine:
    """The record of one feed. What changes it raises `OSError` with nothing changed when the disk refuses."""

    def __init__(self, store: FeedStore, url: str) -> None:
        self._store = store
        self._path = store.directory / RECORD
        self._url = url
        self._record = QuarantineRecord(url=url)
        self._looks: tuple[int, ...] = ()
        self._unread: LockedError | None = None  # the file is there and cannot be read: what it says is not known
        self._record = self._read() or self._record
        if fleet_feed(url):  # the publisher has decided
            self._record = QuarantineRecord(url=url)
        if self._record.url != url:  # what another source said is of no interest
            self._record = msgspec.structs.replace(self._record, url=url, pending=None, said=None, usual={})
        self._keep_beside()

    def require_known(self) -> None:
        """Raises `LockedError` while the file is there and cannot be read."""
        if self._unread is not None:
            raise self._unread

    @property
    def pending(self) -> Pending | None:
        return self._record.pending

    @property
    def said(self) -> QuarantineAnswer | None:
        return self._record.said

    @property
    def frozen(self) -> str:
        return self._record.frozen

    @property
    def names(self) -> Decided:
        return self._record.names

    @property
    def names_fingerprint(self) -> str:
        """Changes with what was decided about names; "" while that is nothing."""
        if self.names == Decided():
            return ""
        return hashlib.sha256(msgspec.json.encode(self.names)).hexdigest()[:16]

    @property
    def usual(self) -> Usual | None:
        """What was in force within the last year."""
        return usual_of(self._record.usual.values())

    def status(self, limits: UpdateLimits) -> feed_status.HeldUpdate | None:
        """The update that waits, for people."""
        pending = self.pending
        if pending is None:
            return None
        reading = pending.copy.reading
        wanted_s = self._wanted_s(limits)
        return feed_status.HeldUpdate(
            finding=pending.finding,
            since_s=pending.since_s,
            entries=reading.entries + reading.addresses,
            refreshes=pending.refreshes,
            refreshes_wanted=limits.release_after_refreshes if wanted_s else 0,
            persisted_s=pending.persisted_s,
            persist_s=wanted_s,
        )

    def settled(self, limits: UpdateLimits) -> bool:
        """Whether the source has persisted in what waits for so long that it is to go live."""
        pending, wanted_s = self.pending, self._wanted_s(limits)
        if pending is None or not wanted_s:
            return False
        return pending.refreshes >= limits.release_after_refreshes and pending.persisted_s >= wanted_s

    def _wanted_s(self, limits: UpdateLimits) -> float:
        """How long the source must persist in what waits; 0: it needs an administrator."""
        pending = self.pending
        if pending is None or pending.change is None or not pending.settles or self._record.dropped_last:
            return 0.0
        return hold_s(pending.finding, pending.change, limits)

    def was_released(self, sha256: str) -> bool:
        return sha256 in self._record.released

    def was_dropped(self, sha256: str) -> bool:
        return sha256 in self._record.dropped

    def kept(self, copy: Copy | None) -> Kept | None:
        """What the source last said, for it to say what changed since: the update that waits, or the last-good copy `copy`."""
        said, pending = self.said, self.pending
        if said is not None and pending is not None:
            age_s = time.time() - (pending.seen_s or pending.since_s)
            return Kept(said.validators, self._store.raw_path(pending.copy), pending.copy.sha256, age_s)
        if copy is None or not self._store.is_whole(copy):
            return None  # nothing that changes could be added to
        validators = said.validators if said is not None else copy.validators  # what was dropped cannot be added to
        return Kept(validators, self._store.raw_path(copy), copy.sha256, time.time() - copy.last_success_s)

    def keep(
        self,
        copy: Copy,
        finding: HoldReason,
        change: Change,
        limits: UpdateLimits,
        *,
        raw: Path,
        parsed: Path,
        now_s: float,
        at_most_s: float,
        same_format: bool,
    ) -> None:
        """Let the update `copy` wait, in place of any other; one of the same size goes on with the waiting of that one.

        `at_most_s`: as much as may count for the time since the source was asked before: a clock that jumps ends no hold.
        """
        self._store.beside |= {copy.raw, copy.reading.parsed}
        settles = same_format and ends_by_itself(finding, change)
        pending = Pending(copy=copy, finding=finding, since_s=now_s, change=change, seen_s=now_s, settles=settles)
        if (before := self.pending) is not None:
            pending = msgspec.structs.replace(pending, since_s=before.since_s)
            earlier = before.change if settles and before.settles else None
            if earlier is not None and same_level(change.entries, earlier.entries, limits):
                pending = _again(msgspec.structs.replace(before, copy=copy, finding=finding, change=change), now_s, at_most_s)
        try:
            self._store.place(copy, raw=raw, parsed=parsed)
            self._write(pending=pending, said=QuarantineAnswer(sha256=copy.sha256, validators=copy.validators))
        finally:
            self._keep_beside()

    def heard(self, sha256: str, validators: Validators, now_s: float, at_most_s: float) -> None:
        """The source said again what waits, or what was dropped."""
        pending = self.pending
        if pending is not None and pending.copy.sha256 == sha256:
            pending = _again(pending, now_s, at_most_s)
        self._write(said=QuarantineAnswer(sha256=sha256, validators=validators), pending=pending)

    def accepted(self, change: Change, now_s: float, *, proven: bool = False) -> None:
        """What the source says is in force: nothing waits any more, and the like of it is fine from now on."""
        usual = with_usual(self._record.usual, change, now_s, proven=proven)
        if self.pending is not None or self.said is not None or self._record.dropped_last or usual != self._record.usual:
            self._write(pending=None, said=None, usual=usual, dropped_last=False)

    def moot(self) -> None:
        """The source says something that is in force: nothing waits any more."""
        if self.pending is not None or self.said is not None:
            self._write(pending=None, said=None)

    def release(self, now_s: float) -> None:
        """What waits is in force now, and its content is not held again; updates are no longer held by order."""
        released, usual, pending = self._record.released, self._record.usual, self.pending
        if pending is not None:
            released = (*released, pending.copy.sha256)[-MAX_REMEMBERED:]
            if pending.change is not None:
                usual = with_usual(usual, pending.change, now_s, proven=ends_by_itself(pending.finding, pending.change))
        self._write(pending=None, said=None, released=released, frozen="", usual=usual, dropped_last=False)

    def trust(self, sha256: str) -> None:
        """That content is in force: it is not held when it comes again. Raises `OSError`."""
        if not self.was_released(sha256):
            self._write(released=(*self._record.released, sha256)[-MAX_REMEMBERED:])

    def settle(self, now_s: float) -> None:
        """What waits is in force now, because its source persisted in it."""
        assert self.pending is not None
        assert self.pending.change is not None
        self.accepted(self.pending.change, now_s, proven=True)

    def drop(self) -> None:
        """What waits is not wanted, and its content is not offered again."""
        assert self.pending is not None
        dropped = (*self._record.dropped, self.pending.copy.sha256)[-MAX_REMEMBERED:]
        self._write(pending=None, dropped=dropped, dropped_last=True)

    def freeze(self, reason: str) -> None:
        """Hold every update from now on."""
        self._write(frozen=reason)

    def decide(self, names: Decided) -> None:
        """Replace what was decided about names."""
        self._write(names=names)

    def _write(self, **changes: object) -> None:
        record = msgspec.structs.replace(self._record, **changes)
        self._store.prepare()
        records.store(self._path, records.encode(record))
        self._looks = appearance(self._path)
        self._record = record
        self._keep_beside()

    def _read(self) -> QuarantineRecord | None:
        found = records.recover(self._path, lambda raw: records.decode(raw, QuarantineRecord), MAX_BYTES)
        self._unread = found.locked
        self._looks = appearance(self._path)
        return found.value

    @property
    def damaged(self) -> bool:
        """Whether the file looks otherwise than it was written."""
        return appearance(self._path) != self._looks

    def mend(self) -> None:
        """Write the file again if it is no longer what was written; take it up if it could not be read before.

        Raises `OSError`.
        """
        if not self.damaged:
            return
        could_not_be_read, found = self._unread, self._read()
        if could_not_be_read is not None and found is not None:
            self._record = found
            self._keep_beside()
        elif found != self._record and not self._unread:
            self._write()

    def _keep_beside(self) -> None:
        files = {self.pending.copy.raw, self.pending.copy.reading.parsed} if self.pending is not None else set()
        self._store.beside = {RECORD, RECORD + records.SECOND_COPY, *files}


def _again(pending: Pending, now_s: float, at_most_s: float) -> Pending:
    """`pending`, of which the source said the like again."""
    passed_s = min(max(0.0, now_s - pending.seen_s), at_most_s)
    return msgspec.structs.replace(
        pending, refreshes=pending.refreshes + 1, persisted_s=pending.persisted_s + passed_s, seen_s=now_s
    )
