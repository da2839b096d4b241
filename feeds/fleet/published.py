"""What a publisher has published, as `<state>/fleet/publisher.json` remembers it between two runs."""

from __future__ import annotations

import hashlib
import logging
import threading
from pathlib import Path
from typing import Final

import msgspec

from feeds.fleet.release import FeedContent, Release
from feeds.fleet.rings import Rings
from pdns.files import records
from pdns.files.safe_files import make_directory

DIRECTORY: Final = "fleet"  # below the state directory
RECORD: Final = "publisher.json"
MAX_BYTES: Final = 256 * 1024 * 1024
KEPT_RELEASES: Final = 20  # besides those that rings have or may get
_log = logging.getLogger(__name__)


class PublishedFeed(msgspec.Struct, frozen=True, kw_only=True):
    """The last text of a feed."""

    content: FeedContent
    share: str  # hash of what it was made from
    text_file: str  # its name below `texts`
    full_s: float  # when the whole text was last packed


class PendingPointer(msgspec.Struct, frozen=True, kw_only=True):
    """Signed files on their way to the store. A publisher that was killed goes on with them."""

    sequence: int
    files: dict[str, bytes]  # targets and root metadata: path -> content
    snapshot: bytes
    targets: bytes
    timestamp: bytes
    targets_hash: str  # of what the targets are
    signed_s: float
    expires_s: float


class PublisherRecord(msgspec.Struct, kw_only=True):
    """The record."""

    sequence: int = 0  # of the last pointer
    timestamp_sha256: str = ""  # of the last pointer
    targets_hash: str = ""
    signed_s: float = 0.0
    expires_s: float = 0.0
    root_version: int = 0
    last_release: int = 0  # the highest number
    releases: dict[int, Release] = {}
    rings: Rings = msgspec.field(default_factory=Rings)
    feeds: dict[str, PublishedFeed] = {}
    generation: int = 0  # that was exported last
    pending: PendingPointer | None = None
    fenced: str = ""  # why nothing is published any more
    frozen: str = ""  # why no new release is made

    @property
    def newest(self) -> Release | None:
        """The last release."""
        return self.releases.get(self.last_release)

    def add(self, release: Release) -> None:
        """Keep `release`, and forget old ones."""
        self.last_release = release.number
        self.releases[release.number] = release
        recent = sorted(self.releases)[-KEPT_RELEASES:]
        kept = self.rings.needed | set(recent)
        self.releases = {number: one for number, one in self.releases.items() if number in kept}

    def forget_store(self) -> None:
        """Nothing that was published is in the store any more: all of it is to be written again."""
        self.feeds, self.releases, self.rings, self.generation = {}, {}, Rings(pinned=self.rings.pinned), 0
        self.pending, self.targets_hash, self.timestamp_sha256, self.root_version = None, "", "", 0


class PublisherFiles:
    """The record and the texts of a publisher."""

    def __init__(self, state_dir: Path) -> None:
        self.directory = state_dir / DIRECTORY
        self._writing = threading.Lock()
        self.texts = self.directory / "texts"  # the child that exports writes here too

    def prepare(self) -> None:
        """Make the directories. Raises `OSError`."""
        for path in (self.directory, self.texts):
            make_directory(path, 0o750)

    def load(self) -> PublisherRecord:
        """The record; an empty one without a usable file."""
        path = self.directory / RECORD
        found = records.recover(path, lambda raw: records.decode(raw, PublisherRecord), MAX_BYTES)
        if found.locked is not None:
            raise found.locked
        return found.value or PublisherRecord()

    def store(self, record: PublisherRecord) -> None:
        """Write `record`. May be called from several threads. Raises `OSError`."""
        with self._writing:
            records.store(self.directory / RECORD, records.encode(record))


def hash_of(value: object) -> str:
    """A hash of a structure of msgspec."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()
