"""The key of the digests of asked names: `<state>/names.key`, written by the supervisor, for its owner alone.

Without the key, filters say nothing. To make all of them useless, remove the file and restart: the next key is another one.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from pdns.files.safe_files import put_aside, read_state, write_whole
from pdns.telemetry.asked_names import KEY_BYTES

FILE_NAME: Final = "names.key"
_log = logging.getLogger(__name__)


def read_key(state_dir: Path) -> bytes | None:
    """The key; None while there is none. Raises `OSError`."""
    try:
        key = read_state(state_dir / FILE_NAME, KEY_BYTES)
    except FileNotFoundError:
        return None
    return key if len(key) == KEY_BYTES else None


def read_or_make_key(state_dir: Path) -> bytes:
    """The key, a new one if there is none. Raises `OSError`."""
    if (key := read_key(state_dir)) is not None:
        return key
    put_aside(state_dir / FILE_NAME)
    key = os.urandom(KEY_BYTES)
    write_whole(state_dir / FILE_NAME, key, mode=0o600)
    return key


def key_for(state_dir: Path) -> bytes:
    """As `read_or_make_key`. Where that fails, a key that is not kept: what is noted with it cannot be found."""
    try:
        return read_or_make_key(state_dir)
    except OSError as exc:
        _log.error("%s: %s; the names that are noted until the next start cannot be found", state_dir / FILE_NAME, exc.strerror)
        return os.urandom(KEY_BYTES)
