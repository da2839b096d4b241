"""The configuration file, the files beside it and those that it names: noticing their changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import UNSET

from pdns.config.addresses import absolute_path
from pdns.config.conf_d import API_FILE, DIRECTORY
from pdns.config.fleet_rules import BUNDLE_FILE
from pdns.config.schema import Config
from pdns.config.toml_file import read_tables
from pdns.config.watch import FileWatch, Loaded, PartsWatch, load_version
from pdns.errors import ConfigError, InvalidAddress
from pdns.files.file_version import FileVersion

_log = logging.getLogger(__name__)


class ConfigWatch:
    """As `FileWatch`, of a configuration file and the files with local records that it names. Logs what these leave out."""

    def __init__(self, path: Path, certificates_in_force: Callable[[], Container[tuple[str, ...]]] = tuple) -> None:
        """`certificates_in_force` returns files of listeners that may be broken now."""
        self._path = path
        self._certificates = certificates_in_force
        self._watches = {str(path): FileWatch(path)}
        self._beside: PartsWatch | None = None

    def changed(self) -> bool:
        """Call this every second or so. True once for each new version of any of the files."""
        return max([watch.changed() for watch in self._all()])  # of each: `any` would not ask them all

    async def load(self, bundle: str = BUNDLE_FILE) -> Loaded:
        """The configuration as it is now, with the policy bundle in the file `bundle` of a node.

        Raises `ConfigErrors`. Other tasks run meanwhile: many local records take seconds, in which `/readyz` has to answer.
        """
        return await asyncio.to_thread(load_version, self._path, bundle=bundle, certificates_in_force=self._certificates())

    def seen(self) -> None:
        """Note that the present versions were handled."""
        for watch in self._all():
            watch.seen()

    def _all(self) -> list[FileWatch]:
        return [*self._watches.values(), *([self._beside] if self._beside is not None else [])]

    def follow(self, config: Config) -> None:
        """Watch the files of `config` from now on, which was loaded after `seen`."""
        if self._beside is None:  # the state directory stays until a restart
            self._beside = PartsWatch(self._path, Path(config.state.dir) / DIRECTORY / API_FILE)
        versions: dict[str, FileVersion] = {}
        if config.loaded_records is not UNSET:
            versions = config.loaded_records.versions
            for note in config.loaded_records.notes:
                _log.warning("%s", note)
        known = {str(self._path): self._watches[str(self._path)]}
        for path, version in versions.items():
            known[path] = self._watches.get(path) or FileWatch(Path(path), version)
        for path in filter(None, (config.admin.tls_cert_file, config.admin.tls_key_file)):
            known[path] = self._watches.get(path) or FileWatch(Path(path))
        self._watches = known

    def follow_broken(self) -> None:
        """Watch also the files that the configuration file names: it could not be loaded, perhaps because of them."""
        try:
            local = read_tables(self._path).get("local")
        except ConfigError:
            return
        for key in ("hosts_files", "zone_files"):
            texts = local.get(key) if isinstance(local, Mapping) else None
            for text in texts if isinstance(texts, list) else ():
                with suppress(InvalidAddress):
                    path = absolute_path(str(text), self._path.absolute().parent)
                    self._watches.setdefault(str(path), FileWatch(path))
