"""The files on disk that configure the server: what they say, whether they are others now."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pdns.config.load import MAX_BYTES, from_tables, read_tables
from pdns.config.schema import Config
from pdns.config.system import RESOLV_CONF
from pdns.errors import ConfigError
from pdns.files.safe_files import read_bounded

_TRIES: Final = 5
_SHORT: Final = 12


class Loaded(NamedTuple):
    """A configuration, and which version of the file it is."""

    config: Config
    sha256: str  # of the file, first 12 hex digits
    tables: Mapping[str, Any]  # what the file says
    path: Path


def load_version(path: Path, *, resolv_conf: Path = RESOLV_CONF) -> Loaded:
    """What the file says now. Raises `ConfigErrors`."""
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
    """Tells when a file was changed or replaced, itself or through any symbolic link on the way, and has come to rest."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._acted_on = self._before = self._look()

    def changed(self) -> bool:
        """To be called every second or so: whether there is a new version, unchanged since the call before. Says so once."""
        now = self._look()
        at_rest, self._before = now == self._before, now
        if now == self._acted_on or not at_rest:
            return False
        self._acted_on = now
        return True

    def seen(self) -> None:
        """The version that is there now was acted on."""
        self._acted_on = self._before = self._look()

    def _look(self) -> tuple[object, ...]:
        try:
            stat = os.stat(self._path)  # noqa: PTH116 (of what the links lead to)
        except OSError as error:
            return (error.errno,)
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
