"""Getting a source's bytes onto this disk: whole, bounded, and only when they may have changed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from pdns.errors import FeedError

ERROR, SIGNATURE, OUTDATED = "error", "signature", "outdated"  # how an attempt that came to nothing is counted


class FileStamp(msgspec.Struct, frozen=True):
    """What `stat` says of a file; as long as it stays, the content is taken to be the same."""

    mtime_ns: int
    size_bytes: int
    inode: int  # of a directory: a hash of what is said of each file in it


class ZoneState(msgspec.Struct, frozen=True):
    """What the SOA of the zone that we have says (RFC 1035, 3.3.13)."""

    serial: int
    refresh_s: int
    retry_s: int
    expire_s: int


class Validators(msgspec.Struct, frozen=True, kw_only=True):
    """What to show a source to hear that nothing changed since (RFC 9110, 8.8). Kept beside the last-good copy."""

    etag: str = ""
    last_modified: str = ""
    stamp: FileStamp | None = None
    packed: bool = False  # the source is a directory, the copy its files as `feeds.pack` has them
    zone: ZoneState | None = None
    added_after: str = ""  # TAXII 2.1, 3.4: when the newest object that we have was added there
    sha256: str = ""  # of the copy that these two are about: what changed since can be applied to no other
    public: bool = False  # it came from an address of the internet
    signed_by: str = ""  # the key that its signature is by
    signed_s: float = 0.0  # newest time of a signature by it, as trusted comments have it
    verified: str = ""  # what the copy was verified by, as `feeds.fetch.verify.demanded` has it


class Kept(NamedTuple):
    """The last-good copy, for the transports that fetch what changed since."""

    validators: Validators
    raw: Path
    sha256: str
    age_s: float  # since the source last said that it is current

    @property
    def can_grow(self) -> bool:
        """Whether the validators are about this very copy."""
        return self.validators.sha256 == self.sha256


class Fetched(NamedTuple):
    """A whole body, now in the candidate file."""

    size_bytes: int
    sha256: str
    validators: Validators
    moved_to: str = ""  # where the source says that the list is for good now (301, 308)


class Unchanged(NamedTuple):
    """The source says that the copy we have is current."""

    validators: Validators
    moved_to: str = ""  # as in `Fetched`


class SourceError(FeedError):
    """A source that did not deliver: how it is counted (`result`), and how long it asked to be left alone."""

    def __init__(self, feed: str, reason: str, *, result: str = ERROR, retry_after_s: float = 0.0) -> None:
        super().__init__(feed, reason)
        self.result = result
        self.retry_after_s = retry_after_s
