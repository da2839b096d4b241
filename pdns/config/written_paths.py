"""Directories outside the state directory that the events process and the feeds process write to."""

from __future__ import annotations

from pathlib import Path

from pdns.config.addresses import source_path
from pdns.config.schema import Config


def written_paths(config: Config) -> tuple[Path, ...]:
    """The existing directories of files that sinks and reports write."""
    reports = (Path(report.directory) for report in config.report if report.directory)
    files = (Path(sink.path).parent for sink in config.sink if sink.kind == "file")
    return tuple(sorted({path for path in (*reports, *files) if path.is_dir()}))


def fleet_paths(config: Config) -> tuple[Path, ...]:
    """The existing directories that a publisher or node of a fleet writes to as a store."""
    fleet = config.fleet
    urls = {"publisher": (fleet.store,), "node": (fleet.heartbeat_store,)}.get(fleet.role, ())
    return tuple(path for url in urls if (path := source_path(url)) is not None and path.is_dir())
