"""The last status from the feeds process, cached until the file changes."""

from __future__ import annotations

from pathlib import Path

from pdns.state import feed_status


class StatusReader:
    """`feeds.json`, read again only when it was replaced."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._version: tuple[int, int, int] | None = None
        self._status = feed_status.FeedsStatus()

    def remarks(self) -> list[str]:
        """One line for each feed whose files are lost."""
        lost = (name for name, feed in self.read().feeds.items() if feed.lost)
        return [
            f"feed {name}: its files are lost: its names stay blocked from the blockset until the source answers again"
            for name in lost
        ]

    def read(self) -> feed_status.FeedsStatus:
        """The last status; empty before there is one."""
        try:
            stat = (self._state_dir / feed_status.FILE_NAME).stat()
        except OSError:
            return self._status
        version = stat.st_mtime_ns, stat.st_ino, stat.st_size
        if version != self._version and (status := feed_status.read(self._state_dir)) is not None:
            self._status, self._version = status, version
        return self._status
