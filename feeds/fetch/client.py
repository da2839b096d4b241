"""What all transports over HTTP share: one attempt, bounded in time and redirects, that fails with a reason a person can use."""

from __future__ import annotations

import asyncio
import email.utils
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from feeds.fetch import SourceError, Validators
from feeds.fetch.candidate import over_limit
from feeds.fetch.inflate import InflateError, decoder
from feeds.fetch.network import Network
from feeds.fetch.resolve import UpstreamResolver
from feeds.fetch.targets import CheckedResolver, Targets
from feeds.fetch.token import Token
from pdns import __version__
from pdns.config.addresses import web_url, without_secrets
from pdns.config.schema import Feed
from pdns.errors import FeedError

MAX_REDIRECTS = 5
MAX_VALUES = 4_000_000  # in one JSON document; each may take a hundred bytes of memory here
MAX_RETRY_AFTER_S = 86400.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PERMANENT = frozenset({301, 308})
_SCHEMES = frozenset({"http", "https"})
_ADVICE = {
    401: "check the user and password in its url, or its token",
    403: "check the licence or key that this feed needs",
    404: "the list has moved or ended; ask its publisher for the new url",
    407: "check the user and password in its proxy",
    410: "the list has ended; remove the feed or find its successor",
    429: "asked too often; raise refresh_s",
}


@asynccontextmanager
async def client(feed: Feed, network: Network, kept: Validators | None = None) -> AsyncIterator[FetchClient]:
    """For one attempt to replace the copy that `kept` is about. Everything in the block, from the look-up of the host to the last
    byte, takes at most `feed.timeout_s`.

    Whatever goes wrong in it comes out as `FeedError`, without the feed's secrets.
    """
    token = Token(feed)
    progress = _Progress()
    targets = Targets(feed, network, was_public=kept is not None and kept.public)
    try:
        try:
            async with asyncio.timeout(feed.timeout_s), _session(network, targets) as session:
                yield FetchClient(feed, network, session, token, progress, targets)
        except TimeoutError:
            reason = f"not done after timeout_s = {feed.timeout_s:g} ({progress}): raise it if the list is large or the line slow"
            raise FeedError(feed.name, reason) from None
        except aiohttp.ClientError as exc:
            raise FeedError(feed.name, _client_reason(exc, progress)) from None
        except InflateError as exc:
            raise FeedError(feed.name, str(exc)) from None
        except RecursionError:
            raise FeedError(feed.name, f"its JSON is nested too deeply ({progress})") from None
        except (OSError, ValueError) as exc:
            raise FeedError(feed.name, f"{without_secrets(str(exc)) or type(exc).__name__} ({progress})") from None
    except FeedError as exc:
        exc.reason = token.hidden(exc.reason)
        exc.args = (token.hidden(str(exc)),)
        raise


@asynccontextmanager
async def _session(network: Network, targets: Targets) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(
        ssl=network.trusted,
        resolver=CheckedResolver(UpstreamResolver(network), targets),
        family=socket.AF_UNSPEC,
        use_dns_cache=False,
        force_close=True,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"User-Agent": f"pdns/{__version__}", "Accept-Encoding": "gzip, deflate"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    ) as session:
        yield session


class _Progress:
    """How far it got, for the reason."""

    def __init__(self) -> None:
        self.stage = "no answer yet"
        self.received_bytes = 0

    def __str__(self) -> str:
        return f"{self.stage}, {self.received_bytes:,} bytes received" if self.received_bytes else self.stage


class FetchClient:
    """Asks on behalf of one feed. Its token and its certificate are shown to the host in its url, and to no other."""

    def __init__(
        self, feed: Feed, network: Network, session: aiohttp.ClientSession, token: Token, progress: _Progress, targets: Targets
    ) -> None:
        self._feed = feed
        self._session = session
        self._token = token
        self._progress = progress
        self._targets = targets
        self._home = URL(web_url(feed.url)).origin()
        self.moved_to = ""  # where permanent redirects led in the last `ask`
        self._tls = {own: network.tls(feed, identify=own) for own in (True, False)}

    @property
    def is_public(self) -> bool:
        """Whether the host of the feed is in the internet, as far as it is known."""
        return self._targets.public

    @asynccontextmanager
    async def ask(
        self, url: str | URL, headers: Mapping[str, str] | None = None, body: bytes | None = None, *, method: str = "GET"
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to `method`, or to POST of the JSON `body`, after at most five redirects; its body is still to come."""
        target = URL(url)
        self.moved_to, permanent = "", True
        for _ in range(MAX_REDIRECTS + 1):
            self._targets.check_url(target)
            own = target.origin() == self._home
            async with self._session.request(
                method if body is None else "POST",
                self._token.added_to(target) if own else target,
                data=body,
                headers={**(headers or {}), **(self._token.headers() if own else {})},
                allow_redirects=False,
                ssl=self._tls[own],
                proxy=self._feed.proxy or None,
            ) as response:
                if response.status not in _REDIRECTS:
                    self._progress.stage = "receiving the body"
                    yield response
                    return
                if body is not None:
                    raise FeedError(self._feed.name, "redirected, which a search must not be: set url to where the server is now")
                target = self._redirected(target, response.headers.get("Location", ""))
                permanent &= response.status in _PERMANENT
                if permanent:
                    self.moved_to = self._token.hidden(without_secrets(str(target)))
        raise FeedError(self._feed.name, f"more than {MAX_REDIRECTS} redirects: set url to where the list is now")

    def refusal(self, response: aiohttp.ClientResponse, what: str = "") -> SourceError:
        """What an answer other than 200 means; `what` was asked for, if not the list itself."""
        advice = _ADVICE.get(response.status) if not what or response.status in (401, 403, 407, 429) else None
        said = f"{what and what + ': '}the server said {response.status} {response.reason or ''}".rstrip()
        return SourceError(
            self._feed.name,
            f"{said}: {advice}" if advice else said,
            retry_after_s=retry_after_s(response.headers.get("Retry-After", ""), time.time()),
        )

    async def pieces(self, response: aiohttp.ClientResponse, max_bytes: int, limit: str = "") -> AsyncIterator[bytes]:
        """The body, decoded, as it comes. Raises `FeedError` past `max_bytes` of it; `limit` is the reason then."""
        if (response.content_length or 0) > max_bytes:
            raise FeedError(self._feed.name, limit or over_limit(max_bytes))
        body = decoder(response.headers.get("Content-Encoding", ""))
        received = decoded = 0
        async for chunk in response.content.iter_any():
            received += len(chunk)
            self._progress.received_bytes += len(chunk)
            for piece in body.feed(chunk):
                decoded += len(piece)
                if max(received, decoded) > max_bytes:
                    raise FeedError(self._feed.name, limit or over_limit(max_bytes))
                yield piece
            if received > max_bytes:
                raise FeedError(self._feed.name, limit or over_limit(max_bytes))
        body.finish()

    async def document(
        self,
        url: str | URL,
        what: str,
        max_bytes: int,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        answer_headers: dict[str, str] | None = None,
    ) -> bytes:
        """A whole small answer, called `what` in errors; its header fields go into `answer_headers`. Raises `FeedError`."""
        async with self.ask(url, headers, body) as response:
            if response.status != 200:
                raise self.refusal(response, what)
            if answer_headers is not None:
                answer_headers.update({name.lower(): value for name, value in response.headers.items()})
            limit = f"{what}: longer than {max_bytes:,} bytes"
            content = b"".join([piece async for piece in self.pieces(response, max_bytes, limit)])
        if content.count(b",") > MAX_VALUES:
            raise FeedError(self._feed.name, f"{what}: more than {MAX_VALUES:,} values in one answer")
        return content

    def _redirected(self, url: URL, location: str) -> URL:
        name = self._feed.name
        if not location:
            raise FeedError(name, "redirected to nowhere: the answer has no Location")
        try:
            target = url.join(URL(location))
        except ValueError:
            raise FeedError(name, f"redirected to {without_secrets(location)!r}, which is not a URL") from None
        if target.scheme not in _SCHEMES or not target.host:
            raise FeedError(name, f"redirected to {without_secrets(location)}, which is neither http nor https")
        if url.scheme == "https" and target.scheme == "http":
            raise FeedError(name, f"redirected from https to {without_secrets(str(target))}, where anyone could change the list")
        return target if target.origin() == self._home else self._token.taken_from(target)


def retry_after_s(text: str, now_s: float) -> float:
    """What a Retry-After field asks for (RFC 9110, 10.2.3), seconds or a date; at most a day, 0 for nonsense."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER_S)
    try:
        until_s = email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(max(until_s - now_s, 0.0), MAX_RETRY_AFTER_S)


def _client_reason(exc: aiohttp.ClientError, progress: _Progress) -> str:
    match exc:
        case aiohttp.ClientConnectorDNSError():
            return f"no address found for {exc.host}: check the url and that the upstreams answer"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return f"no trusted TLS connection to {exc.host}: {exc}"
        case aiohttp.ClientConnectorError():
            proxy = "the proxy " if isinstance(exc, aiohttp.ClientProxyConnectionError) else ""
            return f"no connection to {proxy}{exc.host} port {exc.port}: {os.strerror(exc.os_error.errno or 0)}"
        case aiohttp.ClientPayloadError():
            return f"the body was cut short ({progress})"
        case aiohttp.ServerDisconnectedError():
            return f"the server closed the connection without an answer ({progress})"
        case aiohttp.ClientOSError():
            return f"the connection broke: {exc.strerror or 'reset'} ({progress})"
        case aiohttp.ClientHttpProxyError():
            advice = _ADVICE.get(exc.status) if exc.status == 407 else None
            return f"the proxy said {exc.status} {exc.message}{f': {advice}' if advice else ''}"
        case aiohttp.ClientResponseError():
            return f"its answer is not HTTP: {exc.message.partition(chr(10))[0].rstrip(':')[:100]}"
        case aiohttp.InvalidURL():
            return f"not a usable url: {without_secrets(str(exc.url))}"
        case _:
            return f"{type(exc).__name__}: {without_secrets(str(exc))} ({progress})"
