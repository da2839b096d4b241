"""Configurations for these tests, and what is live under them."""

from __future__ import annotations

from pathlib import Path

from feeds.store import RECORD, Copy, FeedStore
from pdns.blockset.generations import CURRENT, blocksets_directory
from pdns.blockset.reader import Blockset
from pdns.config.schema import Config, Feed, State, Upstream
from pdns.wire.names import from_text

NO_UPSTREAM = "udp://127.0.0.1:9"


def configuration(state_dir: Path, *feeds: Feed) -> Config:
    return Config(upstream=Upstream(servers=(NO_UPSTREAM,)), state=State(dir=str(state_dir)), feed=feeds)


def live(state_dir: Path) -> Blockset:
    """The live blockset, every byte of it checked."""
    return Blockset.open(blocksets_directory(state_dir) / CURRENT)


def blockers(state_dir: Path, name: str) -> set[str]:
    """The feeds that list `name` in the live blockset."""
    return {listing.feed for listing in live(state_dir).lookup(from_text(name))}


def kept(state_dir: Path, feed: Feed) -> Copy | None:
    """The last-good copy of `feed` that a new process would find."""
    copy = FeedStore(state_dir / "feeds" / feed.name).load()
    return copy if copy is not None and copy.url == feed.url else None


def files(directory: Path) -> dict[str, bytes]:
    """Every file below `directory` but the records of when it was last looked at."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.name != RECORD
    }
