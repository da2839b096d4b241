"""The last status from the feeds process, cached until its file changes."""

from __future__ import annotations

from pathlib import Path

from pdns.state import feed_status, fleet_status


class StatusReader:
    """`feeds.json` and the status of the fleet, each read again only when it was replaced."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._version: tuple[int, int, int] | None = None
        self._status = feed_status.FeedsStatus()
        self._fleet_version: tuple[int, int, int] | None = None
        self._fleet = fleet_status.FleetStatus()

    def remarks(self) -> list[str]:
        """One line for each feed whose files are lost."""
        lost = (name for name, feed in self.read().feeds.items() if feed.lost)
        return [
            f"feed {name}: its files are lost: its names stay blocked from the blockset until the source answers again"
            for name in lost
        ]

    def read(self) -> feed_status.FeedsStatus:
        """The last status; empty before there is one."""
        version = _version(self._state_dir / feed_status.FILE_NAME)
        if version not in (None, self._version) and (status := feed_status.read(self._state_dir)) is not None:
            self._status, self._version = status, version
        return self._status

    def fleet(self) -> fleet_status.FleetStatus:
        """The last status of this server in its fleet; empty before there is one."""
        version = _version(fleet_status.path(self._state_dir))
        if version not in (None, self._fleet_version) and (status := fleet_status.read(self._state_dir)) is not None:
            self._fleet, self._fleet_version = status, version
        return self._fleet


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size
