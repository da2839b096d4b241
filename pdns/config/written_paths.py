"""Directories outside the state directory that the events process writes to."""

from __future__ import annotations

from pathlib import Path

from pdns.config.schema import Config


def written_paths(config: Config) -> tuple[Path, ...]:
    """The existing directories of files that sinks and reports write."""
    directories = (Path(report.directory) for report in config.report if report.directory)
    return tuple(dict.fromkeys(path for path in directories if path.is_dir()))
