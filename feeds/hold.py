"""What of one feed was held, and what administrators decided about it: `<state>/feeds/<name>/hold.json`."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from feeds.fetch import Validators
from feeds.files import write_whole
from feeds.protected import Decided
from feeds.store import Copy, FeedStore
from pdns import feedstatus
from pdns.feedstatus import Finding

RECORD: Final = "hold.json"
MAX_REMEMBERED: Final = 20  # contents that were released or dropped


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """An update that waits: its files lie beside the last-good copy."""

    copy: Copy
    finding: Finding
    since_s: float


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What the source last said and what is not in force: asked conditionally, it need not say it again."""

    sha256: str
    validators: Validators


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. Names are text, contents SHA-256."""

    url: str = ""  # as configured when the source said so
    pending: Pending | None = None
    said: Said | None = None
    released: tuple[str, ...] = ()  # contents that are not held again
    dropped: tuple[str, ...] = ()  # contents that are not offered again
    frozen: str = ""  # why every update is held; "" when not
    names: Decided = Decided()


class Hold:
    """The record of one feed. What changes it raises `OSError` with nothing changed when the disk refuses."""

    def __init__(self, store: FeedStore, url: str) -> None:
        self._store = store
        self._path = store.directory / RECORD
        self._url = url
        self._record = Record(url=url)
        with suppress(OSError, msgspec.DecodeError):
            self._record = msgspec.json.decode(self._path.read_bytes(), type=Record)
        if self._record.url != url:  # what another source said is of no interest
            self._record = msgspec.structs.replace(self._record, url=url, pending=None, said=None)
        self._keep_beside()

    @property
    def pending(self) -> Pending | None:
        return self._record.pending

    @property
    def said(self) -> Said | None:
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

    def status(self) -> feedstatus.HeldUpdate | None:
        """The update that waits, for people."""
        if self.pending is None:
            return None
        reading = self.pending.copy.reading
        entries = reading.entries + reading.addresses
        return feedstatus.HeldUpdate(finding=self.pending.finding, since_s=self.pending.since_s, entries=entries)

    def was_released(self, sha256: str) -> bool:
        return sha256 in self._record.released

    def was_dropped(self, sha256: str) -> bool:
        return sha256 in self._record.dropped

    def keep(self, copy: Copy, finding: Finding, *, raw: Path, parsed: Path, now_s: float) -> None:
        """Let the update `copy` wait, in place of any other."""
        self._store.beside |= {copy.raw, copy.reading.parsed}
        try:
            self._store.place(copy, raw=raw, parsed=parsed)
            pending = Pending(copy=copy, finding=finding, since_s=now_s)
            self._write(pending=pending, said=Said(sha256=copy.sha256, validators=copy.validators))
        finally:
            self._keep_beside()

    def heard(self, sha256: str, validators: Validators) -> None:
        """The source said again what waits, or what was dropped."""
        self._write(said=Said(sha256=sha256, validators=validators))

    def moot(self) -> None:
        """The source says something that is in force: nothing waits any more."""
        if self.pending is not None or self.said is not None:
            self._write(pending=None, said=None)

    def release(self) -> None:
        """What waits is in force now, and its content is not held again; updates are no longer held by order."""
        released = self._record.released
        if self.pending is not None:
            released = (*released, self.pending.copy.sha256)[-MAX_REMEMBERED:]
        self._write(pending=None, said=None, released=released, frozen="")

    def drop(self) -> None:
        """What waits is not wanted, and its content is not offered again."""
        assert self.pending is not None
        self._write(pending=None, dropped=(*self._record.dropped, self.pending.copy.sha256)[-MAX_REMEMBERED:])

    def freeze(self, reason: str) -> None:
        """Hold every update from now on."""
        self._write(frozen=reason)

    def decide(self, names: Decided) -> None:
        """Replace what was decided about names."""
        self._write(names=names)

    def _write(self, **changes: object) -> None:
        record = msgspec.structs.replace(self._record, **changes)
        self._store.prepare()
        write_whole(self._path, msgspec.json.encode(record))
        self._record = record
        self._keep_beside()

    def _keep_beside(self) -> None:
        files = {self.pending.copy.raw, self.pending.copy.reading.parsed} if self.pending is not None else set()
        self._store.beside = {RECORD, *files}
