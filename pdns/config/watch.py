"""Reads configuration files, and notices when they change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pdns.config.load import MAX_BYTES, from_tables, read_tables
from pdns.config.schema import Config
from pdns.config.system import RESOLV_CONF
from pdns.errors import ConfigError
from pdns.files.file_version import FileVersion, version_of
from pdns.files.safe_files import read_bounded

_TRIES: Final = 5
_SHORT: Final = 12


class Loaded(NamedTuple):
    """A configuration, and the version of its file."""

    config: Config
    sha256: str  # of the file, first 12 hex digits
    tables: Mapping[str, Any]  # the content of the file
    path: Path


def load_version(path: Path, *, resolv_conf: Path = RESOLV_CONF) -> Loaded:
    """Read the file. Raises `ConfigErrors`."""
    for _ in range(_TRIES):
        before = _sha256(path)
        tables = read_tables(path)
        config = from_tables(tables, str(path), path.absolute().parent, resolv_conf=resolv_conf)
        if before == _sha256(path):
            return Loaded(config, before, tables, path)
    raise ConfigError(str(path), "", "is being written all the time")


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(read_bounded(path, MAX_BYTES, follow_links=True)).hexdigest()[:_SHORT]
    except OSError:  # `load` says it better
        return ""


class FileWatch:
    """Notices that a file was changed or replaced, itself or through a symbolic link, and is no longer being written."""

    def __init__(self, path: Path, handled: FileVersion | None = None) -> None:
        """`handled`: the version that was read, if that is not the present one."""
        self._path = path
        self._before = version_of(path)
        self._acted_on = self._before if handled is None else handled

    def changed(self) -> bool:
        """Call this every second or so. True once for each new version that is unchanged since the previous call."""
        now = version_of(self._path)
        at_rest, self._before = now == self._before, now
        if now == self._acted_on or not at_rest:
            return False
        self._acted_on = now
        return True

    def seen(self) -> None:
        """Note that the present version was handled."""
        self._acted_on = self._before = version_of(self._path)
