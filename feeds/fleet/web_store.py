"""A fleet's objects behind a web server, to be read only."""

from __future__ import annotations

import asyncio
import os
import socket
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp

from feeds.fetch.network import Network
from feeds.fetch.resolve import UpstreamResolver
from feeds.fleet.stored import BadRequest, Denied, NotFound, NotModified, ObjectStoreError, TooLarge, Unreachable
from pdns import __version__
from pdns.net.tls import client_context

TIMEOUT_S: Final = 60.0
CONNECT_TIMEOUT_S: Final = 10.0
_MOST_TAG_CHARACTERS: Final = 1024
_CONNECTIONS: Final = 4


class WebStore:
    """GET over HTTPS. Redirects are refused: the url in the configuration is the one that the certificate is checked for."""

    def __init__(self, url: str, ca_file: str, network: Network | None) -> None:
        """Raises `ObjectStoreError` when `ca_file` cannot be used."""
        self._url = url.rstrip("/")
        try:
            self._tls = client_context(ca_file)
        except OSError as exc:
            raise ObjectStoreError(f"ca_file = {ca_file}: {exc.strerror}") from None
        self._network = network
        self._session: aiohttp.ClientSession | None = None
        self.date_s = 0.0  # by the clock of the server, when it answered last; 0: it did not say

    async def get(self, path: str, most_bytes: int, etag: str = "") -> tuple[bytes | NotModified, str]:
        """See `feeds.fleet.object_store.ObjectStore`."""
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._opened().get(
                    f"{self._url}/{path}", headers={"If-None-Match": etag} if etag else {}, allow_redirects=False
                ) as response,
            ):
                self.date_s = _date_s(response)
                return await _content(path, response, most_bytes, etag)
        except TimeoutError:
            raise Unreachable(f"{path}: not done within {TIMEOUT_S:g} s") from None
        except aiohttp.ClientConnectorDNSError as exc:
            raise Unreachable(f"no address found for {exc.host}") from None
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as exc:
            raise Unreachable(f"no trusted TLS connection to {exc.host}: {exc}") from None
        except aiohttp.ClientConnectorError as exc:
            raise Unreachable(f"no connection to {exc.host} port {exc.port}: {os.strerror(exc.os_error.errno or 0)}") from None
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise Unreachable(f"{path}: {type(exc).__name__}: {exc}") from None

    async def put(self, path: str, data: bytes, *, create: bool = False) -> None:  # noqa: ARG002 (as of other stores)
        """Raises `BadRequest`."""
        raise BadRequest(f"{path}: a store behind https:// can only be read")

    async def list(self, prefix: str) -> list[tuple[str, int, float]]:
        """Raises `BadRequest`."""
        raise BadRequest(f"{prefix}: a store behind https:// cannot be listed")

    async def delete(self, path: str) -> None:
        """Raises `BadRequest`."""
        raise BadRequest(f"{path}: a store behind https:// can only be read")

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(
                ssl=self._tls,
                resolver=UpstreamResolver(self._network) if self._network is not None else None,
                family=socket.AF_UNSPEC,
                use_dns_cache=False,
                limit=_CONNECTIONS,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
                headers={"User-Agent": f"pdns/{__version__}", "Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


def _date_s(response: aiohttp.ClientResponse) -> float:
    try:
        return parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except (ValueError, OverflowError):
        return 0.0


async def _content(path: str, response: aiohttp.ClientResponse, most_bytes: int, etag: str) -> tuple[bytes | NotModified, str]:
    if response.status == 304 and etag:
        return NotModified(), etag
    if response.status in (404, 410):
        raise NotFound(f"{path}: the server said {response.status}")
    if response.status in (401, 403):
        raise Denied(f"{path}: the server said {response.status}")
    if response.status != 200:
        raise Unreachable(f"{path}: the server said {response.status} {response.reason or ''}".rstrip())
    if (response.content_length or 0) > most_bytes:
        raise TooLarge(f"{path}: {response.content_length:,} bytes, more than {most_bytes:,}")
    chunks, received = [], 0
    async for chunk in response.content.iter_any():
        received += len(chunk)
        if received > most_bytes:
            raise TooLarge(f"{path}: more than {most_bytes:,} bytes")
        chunks.append(chunk)
    tag = response.headers.get("ETag", "")
    return b"".join(chunks), tag if len(tag) <= _MOST_TAG_CHARACTERS else ""
