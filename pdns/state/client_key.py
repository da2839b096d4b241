"""`<state>/client.key`: what pseudonyms of clients are made with (`pdns.core.client_identity`). Only the supervisor writes it.

Whoever has it can find the address behind a pseudonym by trying all addresses. Without the file every pseudonym changes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from pdns.files.safe_files import put_aside, read_bounded, write_whole

FILE_NAME: Final = "client.key"
KEY_BYTES: Final = 32


def client_key(state_dir: Path) -> bytes:
    """The key, made at first use. On a disk that cannot be written it is another one after a restart."""
    path = state_dir / FILE_NAME
    with suppress(OSError):
        if len(key := read_bounded(path, 2 * KEY_BYTES)) == KEY_BYTES:
            return key
    key = os.urandom(KEY_BYTES)
    with suppress(OSError):
        put_aside(path)  # whatever is there may be what pseudonyms were made with
        write_whole(path, key, mode=0o600)
    return key
