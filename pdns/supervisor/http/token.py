"""The token of the admin API: read from its file in a thread, bounded in size, compared in constant time."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pdns.config.rules import LEAST_TOKEN_BYTES, MOST_TOKEN_BYTES
from pdns.files.safe_files import read_bounded

KEPT_S: Final = 1.0  # a changed token takes effect within this time
_READ_S: Final = 2.0


class TokenUnreadable(Exception):
    """There is no usable token at present, so every request is refused."""


class TokenFile:
    """The token in the file that `path` returns."""

    def __init__(self, path: Callable[[], str]) -> None:
        self._path = path
        self._digest = b""
        self._read_from = ""
        self._until_s = 0.0
        self._reading: asyncio.Future[bytes] | None = None

    async def accepts(self, given: bytes) -> bool:
        """Whether `given` is the token. Raises `TokenUnreadable`.

        One thread reads for all waiting requests. A hanging file system costs each of them two seconds.
        """
        now_s, path = time.monotonic(), self._path()
        if now_s >= self._until_s or path != self._read_from:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.get_running_loop().run_in_executor(None, _digest_of, Path(path))
            try:
                self._digest = await asyncio.wait_for(asyncio.shield(self._reading), _READ_S)
            except TimeoutError:
                self._digest = b""
            self._read_from, self._until_s = path, time.monotonic() + KEPT_S
        if not self._digest:
            raise TokenUnreadable
        return hmac.compare_digest(hashlib.sha256(given).digest(), self._digest)


def _digest_of(path: Path) -> bytes:
    """The hash of the token in the file; b"" without a usable token. Blocks."""
    try:
        token = read_bounded(path, MOST_TOKEN_BYTES, follow_links=True).strip()
    except OSError:
        return b""
    return hashlib.sha256(token).digest() if len(token) >= LEAST_TOKEN_BYTES else b""
