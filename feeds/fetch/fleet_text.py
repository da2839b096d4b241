"""The feeds of a fleet's release: their texts are on this disk already (`feeds.fleet.apply`)."""

from __future__ import annotations

import shutil
from pathlib import Path

from feeds.fetch import Fetched, Kept, Unchanged, Validators
from pdns.config.schema import Feed
from pdns.errors import FeedError


def take(feed: Feed, text: Path | None, kept: Kept | None, into: Path) -> Fetched | Unchanged:
    """The text of `feed`, named by its SHA-256, as the file `into`; `Unchanged` when it is what is kept. Raises `FeedError`."""
    if text is None:
        raise FeedError(feed.name, "no release of the fleet has it yet")
    if kept is not None and kept.sha256 == text.name:
        return Unchanged(Validators())
    try:
        shutil.copyfile(text, into)  # no link: the times of one file would change with the other, which looks like damage
        return Fetched(into.stat().st_size, text.name, Validators())
    except OSError as exc:
        into.unlink(missing_ok=True)
        raise FeedError(feed.name, f"{text}: {exc.strerror}") from None
