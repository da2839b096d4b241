"""What a node keeps in `<state>/fleet/`: its record, the releases that it may go back to, and the texts of their feeds.

A text is named by its SHA-256 and is there as a whole or not at all. The record names the release that the lists are to be
brought to: after a crash the node goes on with that.
"""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from feeds.fleet.release import MAX_DOCUMENT_BYTES, BadDocument, Release, decode, encode
from pdns.blockset.generations import sync
from pdns.files import records, safe_files
from pdns.files.safe_files import TEMPORARY
from pdns.state.fleet_status import DIRECTORY, RefusedRelease

RECORD: Final = "node.json"
MAX_BYTES: Final = 1024 * 1024
_log = logging.getLogger(__name__)


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The record. A number is that of a release; 0: none."""

    release: int = 0  # in force
    since_s: float = 0.0  # since when, by the clock of this machine
    wanted: int = 0  # the one that the lists are brought to; its texts are here
    before: int = 0  # the one to go back to
    release_sha256: str = ""  # of the document that was handled last
    refused: list[RefusedRelease] = []
    pinned: bool = False
    pinned_reason: str = ""
    version: int = 1


class NodeDirectory:
    """`<state>/fleet` of a node."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / DIRECTORY
        self._releases, self._texts = self.path / "releases", self.path / "texts"
        self.record = NodeRecord()

    def prepare(self) -> None:
        """Make the directories and read the record. Raises `OSError`."""
        for directory, mode in ((self.path, 0o750), (self._releases, 0o700), (self._texts, 0o700)):
            safe_files.make_directory(directory, mode)
        found = records.recover(self.path / RECORD, lambda raw: records.decode(raw, NodeRecord), MAX_BYTES)
        self.record = found.value or NodeRecord()
        for path in self._texts.glob(f"*{TEMPORARY}"):
            path.unlink(missing_ok=True)

    def keep(self, **changes: object) -> None:
        """Change the record. Raises `OSError`; nothing has changed then."""
        new = msgspec.structs.replace(self.record, **changes)
        if new != self.record:
            records.store(self.path / RECORD, records.encode(new))
            self.record = new

    def refused(self, number: int) -> bool:
        """Whether release `number` was refused here."""
        return any(one.number == number for one in self.record.refused)

    # Releases.

    def keep_release(self, release: Release) -> None:
        """Write a release whose texts are here. Raises `OSError`."""
        safe_files.write_whole(self._releases / f"{release.number}.json", encode(release))

    def release(self, number: int) -> Release | None:
        """A release that was kept; None when it is not here, or damaged."""
        if number:
            with suppress(OSError, BadDocument):
                release = decode(safe_files.read_state(self._releases / f"{number}.json", MAX_DOCUMENT_BYTES), Release)
                return release if release.number == number else None
        return None

    # Texts.

    def text(self, sha256: str) -> Path:
        """Where a text is, if it is here."""
        return self._texts / sha256

    def has(self, sha256: str) -> bool:
        """Whether a text is here. Its content is not read."""
        return self.text(sha256).is_file()

    def is_sound(self, sha256: str) -> bool:
        """Whether a text is here, and is what its name says. Reads it; what is damaged is removed."""
        try:
            with safe_files.open_state(self.text(sha256)) as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                    return True
        except FileNotFoundError:
            return False
        except OSError as exc:
            _log.error("%s: %s", self.text(sha256), exc.strerror)
        _log.error("%s is damaged on the disk: it is fetched anew", self.text(sha256))
        with suppress(OSError):
            safe_files.remove(self.text(sha256))
        return False

    def new_text(self) -> Path:
        """A path for a text that is being made."""
        return self._texts / f"{os.getpid()}-{os.urandom(4).hex()}{TEMPORARY}"

    def place(self, made: Path, sha256: str) -> None:
        """Give the text in `made`, which is on the disk, its name. Raises `OSError`."""
        safe_files.rename(made, self.text(sha256))
        sync(self._texts)

    def tidy(self) -> None:
        """Remove releases and texts that the record does not need."""
        kept = {self.record.release, self.record.wanted, self.record.before} - {0}
        needed: set[str] = set()
        for number in kept:
            if (release := self.release(number)) is not None:
                needed |= texts_of(release)
        try:
            for path in self._releases.iterdir():
                if path.name not in {f"{number}.json" for number in kept}:
                    safe_files.remove(path)
            for path in self._texts.iterdir():
                if path.name not in needed:
                    safe_files.remove(path)
        except OSError as exc:
            _log.error("%s: %s", exc.filename or self.path, exc.strerror)


def policy_text(release: Release) -> str:
    """The name of the text of the policy bundle of `release`; "" when it has none. It is named by the packed bytes."""
    return release.policy.sha256 if release.policy is not None else ""


def texts_of(release: Release) -> set[str]:
    """The names of all texts of `release`."""
    return {feed.text for feed in release.feeds} | ({policy_text(release)} - {""})
