"""Getting a source's bytes onto this disk: whole, bounded, and only when they may have changed."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class FileStamp(msgspec.Struct, frozen=True):
    """What `stat` says of a file; as long as it stays, the content is taken to be the same."""

    mtime_ns: int
    size_bytes: int
    inode: int


class Validators(msgspec.Struct, frozen=True, kw_only=True):
    """What to show a source to hear that nothing changed since (RFC 9110, 8.8). Kept beside the last-good copy."""

    etag: str = ""
    last_modified: str = ""
    stamp: FileStamp | None = None


class Fetched(NamedTuple):
    """A whole body, now in the candidate file."""

    size_bytes: int
    sha256: str
    validators: Validators


class Unchanged(NamedTuple):
    """The source says that the copy we have is current."""

    validators: Validators
