"""Reads configuration files, and notices when they change."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pdns.config.conf_d import Parts, read_parts, version_of_parts
from pdns.config.fleet_rules import BUNDLE_FILE
from pdns.config.load import from_tables
from pdns.config.schema import Config
from pdns.config.system import RESOLV_CONF
from pdns.errors import ConfigError
from pdns.files.file_version import FileVersion, version_of

_TRIES: Final = 5


class Loaded(NamedTuple):
    """A configuration, and the version of its file."""

    config: Config
    sha256: str  # `pdns.config.conf_d.Parts.sha256`
    tables: Mapping[str, Any]  # the content of the file, and of those beside it
    path: Path
    parts: Parts


def load_version(
    path: Path,
    *,
    resolv_conf: Path = RESOLV_CONF,
    bundle: str = BUNDLE_FILE,
    certificates_in_force: Container[tuple[str, ...]] = (),
) -> Loaded:
    """Read the file, and those beside it. `bundle` is the name of the file with the policy bundle. `certificates_in_force`: see
    `from_tables`. Raises `ConfigErrors`.
    """
    for _ in range(_TRIES):
        parts = read_parts(path, strict=True, bundle=bundle)
        config = from_tables(
            parts.tables, str(path), path.absolute().parent,
            resolv_conf=resolv_conf, parts=parts, certificates_in_force=certificates_in_force,
        )  # fmt: skip
        if parts.are_current:
            return Loaded(config, parts.sha256, parts.tables, path, parts)
    raise ConfigError(str(path), "", "is being written all the time")


class FileWatch:
    """Notices that a file was changed or replaced, itself or through a symbolic link, and is no longer being written."""

    def __init__(self, path: Path, handled: FileVersion | None = None) -> None:
        """`handled`: the version that was read, if that is not the present one."""
        self._path = path
        self._before = self._version()
        self._acted_on = self._before if handled is None else handled

    def changed(self) -> bool:
        """Call this every second or so. True once for each new version that is unchanged since the previous call."""
        now = self._version()
        at_rest, self._before = now == self._before, now
        if now == self._acted_on or not at_rest:
            return False
        self._acted_on = now
        return True

    def seen(self) -> None:
        """Note that the present version was handled."""
        self._acted_on = self._before = self._version()

    def _version(self) -> FileVersion:
        return version_of(self._path)


class PartsWatch(FileWatch):
    """As `FileWatch`, of the files beside a configuration file."""

    def __init__(self, path: Path, of_api: Path) -> None:
        self._of_api = of_api
        super().__init__(path)

    def _version(self) -> FileVersion:
        return version_of_parts(self._path, self._of_api)
