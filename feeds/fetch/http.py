"""Feeds over http and https: conditional, bounded in time, bytes and redirects, and whole or not at all."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from yarl import URL

from feeds.fetch import Fetched, Unchanged, Validators
from feeds.fetch.candidate import Candidate, over_limit
from feeds.fetch.inflate import InflateError, decoder
from feeds.fetch.resolve import UpstreamResolver
from pdns import __version__
from pdns.addresses import UpstreamAddress, without_secrets
from pdns.config import Feed
from pdns.errors import FeedError

MAX_REDIRECTS = 5
MAX_VALIDATOR_CHARACTERS = 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SCHEMES = frozenset({"http", "https"})
_ADVICE = {
    401: "check the user and password in its url",
    403: "check the licence or key that this feed needs",
    404: "the list has moved or ended; ask its publisher for the new url",
    410: "the list has ended; remove the feed or find its successor",
    429: "asked too often; raise refresh_s",
}


async def fetch(
    feed: Feed, known: Validators | None, into: Path, upstreams: Sequence[UpstreamAddress], tls: ssl.SSLContext
) -> Fetched | Unchanged:
    """The body behind `feed.url`, decoded, in the file `into`; `Unchanged` if the server says that `known` still holds.

    Everything together, from the look-up of the host to the last byte, takes at most `feed.timeout_s`. Raises `FeedError`, and
    leaves no file then.
    """
    progress = _Progress()
    try:
        async with asyncio.timeout(feed.timeout_s):
            return await _fetch(feed, known, into, upstreams, tls, progress)
    except TimeoutError:
        reason = f"not done after timeout_s = {feed.timeout_s:g} ({progress}): raise it if the list is large or the line slow"
        raise FeedError(feed.name, reason) from None
    except aiohttp.ClientError as exc:
        raise FeedError(feed.name, _client_reason(exc, progress)) from None
    except InflateError as exc:
        raise FeedError(feed.name, str(exc)) from None
    except (OSError, ValueError) as exc:
        raise FeedError(feed.name, f"{without_secrets(str(exc)) or type(exc).__name__} ({progress})") from None


class _Progress:
    """How far it got, for the reason."""

    def __init__(self) -> None:
        self.stage = "no answer yet"
        self.received_bytes = 0

    def __str__(self) -> str:
        return f"{self.stage}, {self.received_bytes:,} bytes received" if self.received_bytes else self.stage


async def _fetch(
    feed: Feed,
    known: Validators | None,
    into: Path,
    upstreams: Sequence[UpstreamAddress],
    tls: ssl.SSLContext,
    progress: _Progress,
) -> Fetched | Unchanged:
    connector = aiohttp.TCPConnector(
        ssl=tls, resolver=UpstreamResolver(upstreams), family=socket.AF_UNSPEC, use_dns_cache=False, force_close=True
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"User-Agent": f"pdns/{__version__}", "Accept-Encoding": "gzip, deflate"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    ) as session:
        url = URL(feed.url)
        conditions = _conditions(known)
        for _ in range(MAX_REDIRECTS + 1):
            async with session.get(url, headers=conditions, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    progress.stage = "receiving the body"
                    return await _receive(feed, response, known, into, progress)
                url = _redirected(feed, url, response.headers.get("Location", ""))
        raise FeedError(feed.name, f"more than {MAX_REDIRECTS} redirects: set url to where the list is now")


def _conditions(known: Validators | None) -> dict[str, str]:
    pairs = (("If-None-Match", known.etag), ("If-Modified-Since", known.last_modified)) if known is not None else ()
    return {name: value for name, value in pairs if value}


def _redirected(feed: Feed, url: URL, location: str) -> URL:
    if not location:
        raise FeedError(feed.name, "redirected to nowhere: the answer has no Location")
    try:
        target = url.join(URL(location))
    except ValueError:
        raise FeedError(feed.name, f"redirected to {without_secrets(location)!r}, which is not a URL") from None
    if target.scheme not in _SCHEMES or not target.host:
        raise FeedError(feed.name, f"redirected to {without_secrets(location)}, which is neither http nor https")
    if url.scheme == "https" and target.scheme == "http":
        raise FeedError(feed.name, f"redirected from https to {without_secrets(str(target))}, where anyone could change the list")
    return target


async def _receive(
    feed: Feed, response: aiohttp.ClientResponse, known: Validators | None, into: Path, progress: _Progress
) -> Fetched | Unchanged:
    if response.status == 304:
        if known is None or not _conditions(known):
            raise FeedError(feed.name, "the server said 304 Not Modified although there is no copy to keep")
        return Unchanged(known)
    if response.status != 200:
        advice = _ADVICE.get(response.status)
        said = f"the server said {response.status} {response.reason or ''}".rstrip()
        raise FeedError(feed.name, f"{said}: {advice}" if advice else said)
    if (response.content_length or 0) > feed.max_bytes:
        raise FeedError(feed.name, over_limit(feed.max_bytes))
    body = decoder(response.headers.get("Content-Encoding", ""))
    with Candidate(into, feed.name, feed.max_bytes) as candidate:
        async for chunk in response.content.iter_any():
            progress.received_bytes += len(chunk)
            if progress.received_bytes > feed.max_bytes:
                raise FeedError(feed.name, over_limit(feed.max_bytes))
            for piece in body.feed(chunk):
                candidate.write(piece)
        body.finish()
    return Fetched(candidate.size_bytes, candidate.sha256, _validators(response))


def _validators(response: aiohttp.ClientResponse) -> Validators:
    def header(name: str) -> str:
        value = response.headers.get(name, "")
        return value if len(value) <= MAX_VALIDATOR_CHARACTERS else ""

    return Validators(etag=header("ETag"), last_modified=header("Last-Modified"))


def _client_reason(exc: aiohttp.ClientError, progress: _Progress) -> str:
    match exc:
        case aiohttp.ClientConnectorDNSError():
            return f"no address found for {exc.host}: check the url and that the upstreams answer"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return f"no trusted TLS connection to {exc.host}: {exc}"
        case aiohttp.ClientConnectorError():
            return f"no connection to {exc.host} port {exc.port}: {os.strerror(exc.os_error.errno or 0)}"
        case aiohttp.ClientPayloadError():
            return f"the body was cut short ({progress})"
        case aiohttp.ServerDisconnectedError():
            return f"the server closed the connection without an answer ({progress})"
        case aiohttp.ClientOSError():
            return f"the connection broke: {exc.strerror or 'reset'} ({progress})"
        case aiohttp.ClientResponseError():
            return f"its answer is not HTTP: {exc.message.partition(chr(10))[0].rstrip(':')[:100]}"
        case aiohttp.InvalidURL():
            return f"not a usable url: {without_secrets(str(exc.url))}"
        case _:
            return f"{type(exc).__name__}: {without_secrets(str(exc))} ({progress})"
