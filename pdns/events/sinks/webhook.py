"""Records as HTTP requests, one each: POST with JSON, signed with a shared secret."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from pdns import __version__
from pdns.config.addresses import without_secrets
from pdns.config.sink_rules import client_context
from pdns.config.sink_schema import SinkSection
from pdns.errors import SinkError
from pdns.event_store.event import Record
from pdns.events.sinks.formats import format_of
from pdns.files.safe_files import read_bounded

if TYPE_CHECKING:
    import aiohttp

MOST_SECRET_BYTES: Final = 4096
_REFUSALS: Final = (400, 413, 415, 422)  # of this record for ever; all others may end: the record is sent again
_log = logging.getLogger(__name__)


class WebhookSink:
    """One URL. Redirects are not followed; nothing of an answer but its status is used."""

    def __init__(self, section: SinkSection) -> None:
        self._section = section
        self._line = format_of(section.format)
        self._session: aiohttp.ClientSession | None = None
        self._accepted: set[int] = set()  # of a write that failed later
        self._refused: list[Record] = []

    @classmethod
    def of(cls, section: SinkSection) -> Self:
        """The sink of a section."""
        return cls(section)

    async def write(self, records: Sequence[Record]) -> None:
        """Send each record until one is not accepted. Raises `SinkError`; those before it are not sent again."""
        secret = self._secret()
        session = self._open()
        for record in records:
            if record.id not in self._accepted:
                await self._post(session, record, secret)
                self._accepted.add(record.id)
        self._accepted.clear()

    def take_refused(self) -> list[Record]:
        """The records that the server will never take; they are not sent again."""
        refused, self._refused = self._refused, []
        return refused

    async def close(self) -> None:
        """Close connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp  # noqa: PLC0415 (a third of a second, for those who use it)

        if self._session is None:
            try:
                context = client_context(self._section)
            except (OSError, ValueError) as exc:
                raise SinkError(f"the certificates cannot be used: {exc}") from exc
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=2),
                timeout=aiohttp.ClientTimeout(total=self._section.timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def _post(self, session: aiohttp.ClientSession, record: Record, secret: bytes) -> None:
        import aiohttp  # noqa: PLC0415 (as above)

        body = self._line(record)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"pdns/{__version__}",
            "Idempotency-Key": str(record.id),
            **signature_headers(body, secret, round(time.time())),
        }
        url = self._section.url
        try:
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            detail = "no answer in time" if isinstance(exc, TimeoutError) else str(exc) or type(exc).__name__
            raise SinkError(f"{without_secrets(url)}: {detail}") from exc
        if status in _REFUSALS:
            _log.error("%s refuses the record %d: HTTP status %d", without_secrets(url), record.id, status)
            self._refused.append(record)
        elif not 200 <= status < 300:
            raise SinkError(f"{without_secrets(url)}: HTTP status {status}")

    def _secret(self) -> bytes:
        if not self._section.secret_file:
            return b""
        try:
            secret = read_bounded(Path(self._section.secret_file), MOST_SECRET_BYTES, follow_links=True).strip()
        except OSError as exc:
            raise SinkError(f"the secret cannot be read: {exc}") from exc
        if not secret:
            raise SinkError(f"{self._section.secret_file}: expected a secret, got an empty file")
        return secret


def signature_headers(body: bytes, secret: bytes, now_s: int) -> dict[str, str]:
    """The time, and HMAC-SHA256 over the time, a dot and the body; none without a secret."""
    if not secret:
        return {}
    signature = hmac.new(secret, f"{now_s}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Pdns-Timestamp": str(now_s), "X-Pdns-Signature": f"sha256={signature}"}
