"""The files beside a configuration file: `conf.d/*.toml` of administrators, the tenants and policies that the API keeps, and on a
node of a fleet the policy bundle of its publisher.

They are read in the order of their names after the main file; then the file of the API, then the bundle. Arrays of tables are
appended. A table may be in one file only. Relative paths start at the directory of the main file, whichever file names them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pdns.config.addresses import absolute_path
from pdns.config.fleet_rules import BUNDLE_FILE, BUNDLE_SECTIONS, is_node
from pdns.config.fleet_rules import DIRECTORY as FLEET_DIRECTORY
from pdns.config.shape import Report
from pdns.config.system import default_state_dir
from pdns.config.toml_file import MAX_BYTES, read_toml
from pdns.errors import ConfigError, ConfigErrors, InvalidAddress
from pdns.files.file_version import FileVersion, version_of
from pdns.files.safe_files import read_bounded

DIRECTORY: Final = "conf.d"
API_FILE: Final = "50-api.toml"  # in DIRECTORY of the state directory
API_SECTIONS: Final = ("policy", "tenant")
MOST_FILES: Final = 1000

_SHORT: Final = 12
_INDEXED: Final = re.compile(r"([a-z_0-9]+)\[(\d+)\]")
_KEY: Final = re.compile(r"\b([a-z_0-9]+)\[\d+\](?:\.\w+|\[\d+\])*")


class Parts(NamedTuple):
    """The tables of all files as one, and which file each came from."""

    tables: Mapping[str, Any]
    files: Mapping[str, str]  # the main file first -> the SHA-256 of its content
    each: Mapping[str, Mapping[str, Any]]  # file -> its own tables
    rows: Mapping[str, list[tuple[str, int]]]  # array of tables -> for each of them, its file and its position there
    homes: Mapping[str, str]  # any other section -> its file
    errors: tuple[ConfigError, ...] = ()
    bundle: str = ""  # the file of the policy bundle, if there is one

    @property
    def sha256(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of the file, or of the list of those of several files."""
        return _joint(self.files.values())

    @property
    def are_current(self) -> bool:
        """Whether the files still have that content. Those that cannot be read again, such as pipes, do."""
        try:
            return self.sha256 == _joint(
                hashlib.sha256(read_bounded(Path(file), MAX_BYTES, follow_links=True)).hexdigest() for file in self.files
            )
        except OSError:
            return True

    @property
    def bundle_sha256(self) -> str:
        """The SHA-256 of the policy bundle; "" without one."""
        return self.files.get(self.bundle, "")

    @property
    def bundle_rows(self) -> frozenset[int]:
        """The positions of the feeds that the bundle configures, among all feeds."""
        return frozenset(index for index, (file, _) in enumerate(self.rows.get("feed", ())) if file == self.bundle)

    def place(self, key: str) -> tuple[str, str]:
        """The file that `key` of the whole configuration is in, "" if that is unknown, and its spelling there."""
        found = _INDEXED.match(key)
        if found is not None and int(found[2]) < len(self.rows.get(found[1], ())):
            file, position = self.rows[found[1]][int(found[2])]
            return file, f"{found[1]}[{position}]{key[found.end() :]}"
        return self.homes.get(re.split(r"[.\[]", key)[0], ""), key


class PartsReport(Report):
    """Names, for each error, the file that the key is in."""

    def __init__(self, file: str, parts: Parts) -> None:
        super().__init__(file)
        self._parts = parts
        self.errors += parts.errors

    def add(self, key: str, reason: str) -> None:
        file, key = self._parts.place(key)
        here = file or self.file

        def spelt(found: re.Match[str]) -> str:
            other, text = self._parts.place(found[0])
            return found[0] if not other or found[1] not in self._parts.rows else text + (f" of {other}" if other != here else "")

        if len(self._parts.files) > 1:
            reason = _KEY.sub(spelt, reason)
        self.errors.append(ConfigError(here, key, reason))


def read_parts(path: Path, *, strict: bool = False, bundle: str = BUNDLE_FILE) -> Parts:
    """The tables of the file at `path` and of those beside it. Raises `ConfigErrors` with what is not TOML or cannot be read.

    Without `strict`, a state directory that this user may not look into counts as one without a file of the API and a bundle.
    `bundle` is the name of the file that holds the bundle.
    """
    main, sha256 = read_toml(path)
    files, digests = {str(path): main}, {str(path): sha256}
    errors: list[ConfigError] = []
    of_bundle = ""

    def read(other: Path) -> None:
        try:
            _require_file(other)
            files[str(other)], digests[str(other)] = read_toml(other)
        except ConfigErrors as error:
            errors.extend(error.errors)

    for other in _beside(path, main, strict=strict):
        read(other)
    if any(map(is_node, files.values())) and _is_there(other := fleet_file(path, main, bundle), strict=strict):
        of_bundle = str(other)
        read(other)
    if errors:
        raise ConfigErrors(errors)
    return merged(files, digests, str(api_file(path, main)), of_bundle)


def merged(files: Mapping[str, Mapping[str, Any]], digests: Mapping[str, str], of_api: str, bundle: str = "") -> Parts:
    """The tables of `files` as one. `of_api` is the file of the API, in which only `API_SECTIONS` may be; `bundle` is the policy
    bundle, in which only `BUNDLE_SECTIONS` may be.
    """
    tables: dict[str, Any] = {}
    rows: dict[str, list[tuple[str, int]]] = {}
    homes: dict[str, str] = {}
    errors = []
    for file, own in files.items():
        for name, value in own.items():
            if file == of_api and name not in API_SECTIONS:
                errors.append(ConfigError(file, name, f"expected only {' and '.join(API_SECTIONS)} in the file of the API"))
            elif file == bundle and name not in BUNDLE_SECTIONS:
                errors.append(ConfigError(file, name, f"expected only {', '.join(BUNDLE_SECTIONS)} in the policy bundle"))
            elif isinstance(value, list) and (name not in tables or name in rows):
                tables[name] = [*tables.get(name, ()), *value]
                rows.setdefault(name, []).extend((file, position) for position in range(len(value)))
            elif name in tables:
                there = homes.get(name) or rows[name][0][0]
                errors.append(ConfigError(file, name, f"is already set in {there}"))
            else:
                tables[name], homes[name] = value, file
    return Parts(tables, digests, files, rows, homes, tuple(errors), bundle)


def api_file(path: Path, tables: Mapping[str, Any]) -> Path:
    """Where the API keeps tenants and policies. `tables` are those of the main file, at `path`."""
    return _state_dir(path, tables) / DIRECTORY / API_FILE


def fleet_file(path: Path, tables: Mapping[str, Any], name: str) -> Path:
    """Where a node keeps a file of the fleet. `tables` are those of the main file, at `path`."""
    return _state_dir(path, tables) / FLEET_DIRECTORY / name


def _state_dir(path: Path, tables: Mapping[str, Any]) -> Path:
    state = tables.get("state")
    text = state.get("dir") if isinstance(state, Mapping) else None
    try:
        state_dir = absolute_path(text if text and isinstance(text, str) else default_state_dir(), path.absolute().parent)
    except InvalidAddress:  # reported with the other errors of the main file
        state_dir = Path(default_state_dir())
    return Path(os.path.realpath(state_dir))


def version_of_parts(path: Path, api: Path) -> FileVersion:
    """A value that changes when a file beside the main file at `path` changes, comes or goes, or the one of the API at `api`."""
    names = sorted(_names(path))
    return tuple(
        number
        for name in names
        for number in (hash(name), *version_of(path.absolute().parent / DIRECTORY / name))
    ) + version_of(api)  # fmt: skip


def _require_file(path: Path) -> None:
    """Raise `ConfigErrors` for what is there and is not a file: reading a pipe would wait for its writer."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigErrors([ConfigError(str(path), "", "expected a file")])
    except OSError:
        pass  # reading it says it better


def _joint(digests: Iterable[str]) -> str:
    all_of_them = tuple(digests)
    return (all_of_them[0] if len(all_of_them) == 1 else hashlib.sha256("\n".join(all_of_them).encode()).hexdigest())[:_SHORT]


def _beside(path: Path, tables: Mapping[str, Any], *, strict: bool) -> Iterator[Path]:
    directory = path.absolute().parent / DIRECTORY
    names = sorted(_names(path, strict=True))
    if len(names) > MOST_FILES:
        raise ConfigErrors([ConfigError(str(directory), "", f"expected at most {MOST_FILES} files, got {len(names)}")])
    yield from (directory / name for name in names)
    api = api_file(path, tables)
    if _is_there(api, strict=strict):
        yield api


def _is_there(path: Path, *, strict: bool) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        return strict or error.errno != errno.EACCES
    return True


def _names(path: Path, *, strict: bool = False) -> list[str]:
    """The files of `conf.d` beside `path`. Hidden files and other endings are left out, such as those of editors."""
    directory = path.absolute().parent / DIRECTORY
    try:
        return [name for name in os.listdir(directory) if name.endswith(".toml") and not name.startswith(".")]  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if strict:
            raise ConfigErrors([ConfigError(str(directory), "", error.strerror or "cannot be read")]) from None
        return [f"error {error.errno}"]
