"""`<state>/live.json`: the configuration that the running server uses. Commands use it while the configuration file has errors.

Only the supervisor writes it, at the start and after each reload. It names the file that the server was started with.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from pdns.config.addresses import absolute_path
from pdns.config.earlier import config_of
from pdns.config.schema import Config, State
from pdns.config.system import default_state_dir
from pdns.config.toml_file import MAX_BYTES as MAX_TOML_BYTES
from pdns.config.toml_file import read_tables
from pdns.errors import ConfigErrors, InvalidAddress
from pdns.files import records
from pdns.files.records import DamagedError
from pdns.files.safe_files import read_bounded, read_state, write_whole
from pdns.state.lock import is_served

FILE_NAME: Final = "live.json"
MAX_BYTES: Final = 64 * 1024 * 1024
_SECTION: Final = re.compile(r"^[ \t]*\[[ \t]*state[ \t]*\][ \t]*(?:#.*)?$", re.MULTILINE)
_DIR: Final = re.compile(r"""^[ \t]*dir[ \t]*=[ \t]*["']([^"'\n]+)["']""", re.MULTILINE)

_log = logging.getLogger(__name__)


class LiveConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    file: str  # absolute
    config: Config


class _WrittenConfigConfig(msgspec.Struct, frozen=True, kw_only=True):
    file: str
    config: msgspec.Raw


def write(state_dir: Path, file: Path, config: Config) -> None:
    """Replace the file, which only its owner may read. Raises `OSError`. It is without local records if they would make it too
    long to be read.
    """
    content = records.encode(LiveConfig(file=str(file.resolve()), config=config))
    if len(content) > MAX_BYTES:
        config = msgspec.structs.replace(config, record=(), loaded_records=msgspec.UNSET)
        content = records.encode(LiveConfig(file=str(file.resolve()), config=config))
    write_whole(state_dir / FILE_NAME, content, mode=0o600, synced=False)


def keep(file: Path, config: Config) -> None:
    """Write it to the state directory of `config`. A failure is logged: commands need it only while `file` has errors."""
    try:
        write(Path(config.state.dir), file, config)
    except OSError as error:
        _log.warning("%s cannot be written: %s", FILE_NAME, error.strerror)


def read(state_dir: Path) -> LiveConfig:
    """The file of `state_dir`, which a server of an earlier version may have written. Raises `OSError` and `DamagedError`."""
    written = records.decode(read_state(state_dir / FILE_NAME, MAX_BYTES), _WrittenConfigConfig)
    try:
        return LiveConfig(file=written.file, config=config_of(bytes(written.config)))
    except msgspec.DecodeError as error:
        raise DamagedError(str(error)) from None


def of_running_server(file: Path) -> Config | None:
    """The configuration of the running server that was started with `file`, while that has errors. None without such a server."""
    for state_dir in _state_directories(file):
        try:
            if is_served(state_dir):
                live = read(state_dir)
                if live.file == str(file.resolve()):  # only the configuration file names the directory
                    return msgspec.structs.replace(live.config, state=State(dir=str(state_dir)))
        except (OSError, DamagedError):
            continue
    return None


def _state_directories(file: Path) -> list[Path]:
    """Where the state directory may be, according to the readable parts of a half-edited file."""
    found = []
    for name in dict.fromkeys((_named_in_tables(file), _named_in_text(file), default_state_dir())):
        with suppress(InvalidAddress):
            found.append(Path(absolute_path(name, file.absolute().parent)).resolve())
    return found


def _named_in_tables(file: Path) -> str:
    try:
        section: Any = read_tables(file).get("state", {})
    except ConfigErrors:
        return ""
    name = section.get("dir") if isinstance(section, dict) else None
    return name if isinstance(name, str) else ""


def _named_in_text(file: Path) -> str:
    try:
        text = read_bounded(file, MAX_TOML_BYTES, follow_links=True).decode("utf-8", "replace")
    except OSError:
        return ""
    section = _SECTION.search(text)
    found = _DIR.search(text, section.end()) if section is not None else None
    return found[1] if found is not None else ""
