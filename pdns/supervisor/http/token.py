"""The tokens of the admin API: read from their files in a thread, bounded in size, kept as hashes, compared in constant time."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from pdns.config.admin_rules import LEAST_TOKEN_BYTES, MOST_TOKEN_BYTES, expiry_s
from pdns.config.admin_schema import Admin
from pdns.config.value_types import TokenRole
from pdns.files.safe_files import read_bounded

KEPT_S: Final = 1.0  # a changed token takes effect within this time
_READ_S: Final = 2.0


class TokenUnreadable(Exception):
    """There is no usable token at present, so every request is refused."""


class TokenExpired(Exception):
    """The token is right, but its time is over."""


class Caller(NamedTuple):
    """Who sends a request: a name for the audit log, and what it may do. `tenants` are those of a tenant's token."""

    name: str
    role: TokenRole
    tenants: frozenset[str] = frozenset()


class KnownToken(NamedTuple):
    """A token as it is kept in memory. `expires_s` 0.0: never."""

    digest: bytes
    caller: Caller
    expires_s: float


class TokenFiles:
    """The tokens in the files that the configuration names."""

    def __init__(self, admin: Callable[[], Admin]) -> None:
        self._admin = admin
        self._known: list[KnownToken] = []
        self._read_for: Admin | None = None
        self._until_s = 0.0
        self._reading: asyncio.Future[list[KnownToken]] | None = None

    async def caller(self, given: bytes) -> Caller | None:
        """Whose token `given` is; None for no token of ours. Raises `TokenUnreadable` and `TokenExpired`.

        One thread reads for all waiting requests. A hanging file system costs each of them two seconds.
        """
        now_s, admin = time.monotonic(), self._admin()
        if now_s >= self._until_s or admin != self._read_for:
            if self._reading is None or self._reading.done() or admin != self._read_for:
                self._reading = asyncio.get_running_loop().run_in_executor(None, read_tokens, admin)
                self._read_for = admin
            try:
                self._known = await asyncio.wait_for(asyncio.shield(self._reading), _READ_S)
            except TimeoutError:
                self._known = []
            self._until_s = time.monotonic() + KEPT_S
        if not self._known:
            raise TokenUnreadable
        digest = hashlib.sha256(given).digest()
        found = [known for known in self._known if hmac.compare_digest(known.digest, digest)]  # always with all of them
        if not found:
            return None
        if 0.0 < found[0].expires_s <= time.time():
            raise TokenExpired
        return found[0].caller


def read_tokens(admin: Admin) -> list[KnownToken]:
    """The usable tokens of `admin`. Blocks."""
    files = [
        (Path(token.file), Caller(f"api {token.name}", token.role, frozenset(token.tenants)), expiry_s(token))
        for token in admin.token
    ]
    if admin.token_file:
        files.insert(0, (Path(admin.token_file), Caller("api", "admin"), 0.0))
    return [KnownToken(digest, caller, expires_s) for path, caller, expires_s in files if (digest := _digest_of(path))]


def _digest_of(path: Path) -> bytes:
    """The hash of the token in the file; b"" without a usable token."""
    try:
        token = read_bounded(path, MOST_TOKEN_BYTES, follow_links=True).strip()
    except OSError:
        return b""
    return hashlib.sha256(token).digest() if len(token) >= LEAST_TOKEN_BYTES else b""
