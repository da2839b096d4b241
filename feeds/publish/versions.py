"""One published zone on the disk: its newest version, the steps before, the last serial, and the zone as a signed file."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from feeds.jobs import Published
from feeds.publish import make
from feeds.publish.journal import LEAST_BYTES, Journal, JournalPart
from feeds.publish.serials import newest, next_serial
from feeds.publish.signing import SIGNATURE_SUFFIX, SigningKey, public_key_text, sign
from feeds.publish.zone_file import DamagedZone, ZoneReader, ZoneTail
from pdns.files import records
from pdns.files.safe_files import make_directory, remove, rename, write_whole

DIRECTORY: Final = "publish"  # below the state directory
ZONE: Final = "zone"
_JOURNAL: Final = "journal"
_SERIAL: Final = "serial.json"
_MOST_SERIAL_BYTES: Final = 4096
PUBLIC_KEY: Final = "minisign.pub"
_log = logging.getLogger(__name__)


class LastSerial(msgspec.Struct, frozen=True):
    """The serial of the last version, kept apart from it: it must rise where the version is lost."""

    serial: int


class PublishedVersion(NamedTuple):
    """What is served."""

    serial: int
    settings: str
    tail: ZoneTail


class ZoneVersions:
    """The directory of one zone. Its methods block, but for those that say otherwise."""

    def __init__(self, state_dir: Path, zone: str) -> None:
        self.directory = state_dir / DIRECTORY / zone
        self.live: PublishedVersion | None = None
        self._journal: Journal | None = None
        self._last: int | None = None

    @property
    def path(self) -> Path:
        """The file of the newest version."""
        return self.directory / ZONE

    def resume(self) -> None:
        """Take up what an earlier process left, as far as it is whole. Raises `OSError`."""
        make_directory(self.directory.parent, 0o750)
        make_directory(self.directory, 0o750)
        for unfinished in self.directory.glob("*.new*"):
            remove(unfinished)
        found = records.recover(self.directory / _SERIAL, _parse_serial, _MOST_SERIAL_BYTES).value
        self._last = found.serial if found is not None else None
        try:
            reader = ZoneReader(self.path)
            try:
                self.live = PublishedVersion(reader.head.serial, reader.head.settings, reader.check())
            finally:
                reader.close()
        except FileNotFoundError:
            return
        except (OSError, DamagedZone):
            _log.error("%s is damaged: the zone is published anew", self.path)
            return
        self._last = newest(self._last, self.live.serial)
        self._journal = Journal(self.directory / _JOURNAL, self.live.serial)

    def next_serial(self, now_s: float) -> int:
        """The serial of the next version. Does not block."""
        return next_serial(self._last, now_s)

    def open(self) -> ZoneReader:
        """The newest version, to be read. Raises `OSError` and `DamagedZone`."""
        return ZoneReader(self.path)

    def steps(self, serial: int, newest_serial: int) -> JournalPart | None:
        """The steps between two versions, None if they are not kept. Does not block."""
        return self._journal.between(serial, newest_serial) if self._journal is not None else None

    def adopt(self, made: Published, serial: int, settings: str) -> None:
        """Make the version that the child wrote the newest. Raises `OSError`; what was served is served on."""
        records.store(self.directory / _SERIAL, records.encode(LastSerial(serial)))
        self._last = serial
        before = self.live
        if before is not None and self._journal is not None and made.removed is not None:
            most_bytes = max(LEAST_BYTES, made.tail.bytes // 2)
            step = self.directory / make.REMOVED, self.directory / make.ADDED
            self._journal.append(before.serial, serial, *step, most_bytes)
        rename(self.directory / make.ZONE, self.path)
        if self._journal is None or made.removed is None:
            self._journal = Journal(self.directory / _JOURNAL, serial)
        self.live = PublishedVersion(serial, settings, made.tail)

    def adopt_text(self, name: str, key: SigningKey) -> None:
        """Put the zone file that the child wrote in place, signed. Raises `OSError`."""
        text = self.directory / make.TEXT
        if not text.exists():
            return
        signature = sign(text, name, key, time.time())
        rename(text, self.directory / name)
        write_whole(self.directory / (name + SIGNATURE_SUFFIX), signature)
        write_whole(self.directory / PUBLIC_KEY, public_key_text(key))

    def has_text(self, name: str) -> bool:
        """Whether the zone is there as a file. Does not block for long."""
        return bool(name) and all((self.directory / file).is_file() for file in (name, name + SIGNATURE_SUFFIX))

    def distrust(self) -> None:
        """Something of it is damaged on the disk: what is served is dropped, and the next version is one that starts anew."""
        self.live = self._journal = None

    def clean(self) -> None:
        """Remove what the child wrote and no one needs. Raises `OSError`."""
        for name in (make.ZONE, make.REMOVED, make.ADDED, make.TEXT):
            remove(self.directory / name)


def _parse_serial(raw: bytes) -> LastSerial:
    return records.decode(raw, LastSerial)
