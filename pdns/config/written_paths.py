"""Directories outside the state directory that the events process writes to."""

from __future__ import annotations

from pathlib import Path

from pdns.config.schema import Config


def written_paths(config: Config) -> tuple[Path, ...]:
    """The existing directories of files that sinks and reports write."""
    reports = (Path(report.directory) for report in config.report if report.directory)
    files = (Path(sink.path).parent for sink in config.sink if sink.kind == "file")
    return tuple(sorted({path for path in (*reports, *files) if path.is_dir()}))
