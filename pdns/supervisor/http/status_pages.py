"""The status page on the metrics port: `/`, `/status`, `/status.json`, `/status/events`. Read only."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

import msgspec
from aiohttp import web

from pdns.config.value_types import StatusPage
from pdns.http.server import HttpRoute, Problem
from pdns.supervisor.http import status_markup
from pdns.supervisor.http.live_snapshot import LiveView, without_names
from pdns.supervisor.http.status_assets import CONTENT_SECURITY_POLICY, CSS, SCRIPT
from pdns.supervisor.http.status_tables import escape
from pdns.telemetry.live_status import LiveStatus

MOST_VIEWERS: Final = 16
MOST_VIEWERS_OF_ADDRESS: Final = 8
SLOW_S: Final = 10.0
_RETRY_MS: Final = 3000
_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")  # a proxy on this machine: its clients may be anywhere
_STOPPING: Final = "the server stops"


class StatusEvent(msgspec.Struct, frozen=True):
    """One event. The page loads itself again when `version` is not its own."""

    version: str
    parts: dict[str, str]


class StatusPages:
    """The routes. Viewers who may see the same share the work: parts are made and encoded once for each sample."""

    def __init__(self, live: LiveView, mode: Callable[[], StatusPage]) -> None:
        self._live, self._mode = live, mode
        self._viewers: Counter[str] = Counter()
        self._parts: dict[bool, tuple[int, dict[str, str]]] = {}
        self._encoded: dict[bool, tuple[int, int, bytes]] = {}  # number of the sample, of the one before it, the event

    def routes(self) -> tuple[HttpRoute, ...]:
        """The table of these routes."""
        return (
            HttpRoute("GET", "/status", self.page),
            HttpRoute("GET", r"/status\.json", self._json),
            HttpRoute("GET", "/status/events", self._events),
            HttpRoute("GET", r"/status\.css", self._style),
            HttpRoute("GET", r"/status\.js", self._script),
        )

    @property
    def is_off(self) -> bool:
        """Whether the configuration switches the page off."""
        return self._mode() == "off"

    @property
    def viewers(self) -> int:
        """How many connections get events."""
        return self._viewers.total()

    async def page(self, request: web.BaseRequest, _path: str) -> web.Response:
        """The page as it is now."""
        status = await self._status(request)
        text = status_markup.page(status, "/status.css", "/status.js")
        text = text.replace("<html ", f'<html data-version="{escape(_version(status, status.names_shown))}" ', 1)
        response = web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})
        response.enable_compression()
        return response

    async def _json(self, request: web.BaseRequest, _path: str) -> web.Response:
        _same_site(request)
        body = msgspec.json.encode(await self._status(request))
        response = web.Response(body=body, content_type="application/json")
        response.enable_compression()
        return response

    async def _style(self, _request: web.BaseRequest, _path: str) -> web.Response:
        self._check_on()
        return web.Response(text=CSS, content_type="text/css")

    async def _script(self, _request: web.BaseRequest, _path: str) -> web.Response:
        self._check_on()
        return web.Response(text=SCRIPT, content_type="text/javascript")

    async def _status(self, request: web.BaseRequest) -> LiveStatus:
        self._check_on()
        status = await self._live.status()
        if status is None:
            raise Problem(503, _STOPPING)
        return status if self._sees_names(request) else without_names(status)

    async def _events(self, request: web.BaseRequest, _path: str) -> web.StreamResponse:
        _same_site(request)
        self._check_on()
        address = request.remote or ""
        if self.viewers >= MOST_VIEWERS or self._viewers[address] >= MOST_VIEWERS_OF_ADDRESS:
            raise Problem(503, "there are too many viewers", {"Retry-After": "10"})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        self._viewers[address] += 1
        try:
            await response.prepare(request)
            if request.method != "HEAD":
                await self._stream(request, response)
        except ConnectionError:
            pass  # the viewer left
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._viewers[address] -= 1
            self._viewers += Counter()
        return response

    async def _stream(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        await _write(response, b"retry: %d\n\n" % _RETRY_MS)
        if not await self._live.sampler.ready():
            return
        sent: dict[str, str] = {}
        at = 0
        while not self.is_off:
            names = self._sees_names(request)
            number, now = self._parts_now(names)
            event = self._event(names, at, number, sent, now)
            await _write(response, event)
            at, sent = number, now
            if not await self._live.sampler.next():
                return

    def _parts_now(self, names: bool) -> tuple[int, dict[str, str]]:
        number = self._live.sampler.number
        made = self._parts.get(names)
        if made is None or made[0] != number:
            status = self._live.made()
            made = self._parts[names] = number, status_markup.parts(status if names else without_names(status))
        return made

    def _event(self, names: bool, before: int, number: int, sent: dict[str, str], now: dict[str, str]) -> bytes:
        encoded = self._encoded.get(names)
        if encoded is not None and encoded[:2] == (number, before):
            return encoded[2]
        event = StatusEvent(_version(self._live.made(), names), status_markup.changed(sent, now))
        data = b"data: %b\n\n" % msgspec.json.encode(event)
        self._encoded[names] = number, before, data
        return data

    def _check_on(self) -> None:
        if self.is_off:
            raise Problem(404, 'the status page is off: metrics.status_page is "off"')

    def _sees_names(self, request: web.BaseRequest) -> bool:
        match self._mode():
            case "full":
                return True
            case "loopback":
                return is_of_this_machine(request)
        return False


def is_of_this_machine(request: web.BaseRequest) -> bool:
    """Whether a request comes from this machine, not through a proxy: from a loopback address, or from the address it came to."""
    if any(name in request.headers for name in _FORWARDED) or request.transport is None:
        return False
    peer, own = request.transport.get_extra_info("peername"), request.transport.get_extra_info("sockname")
    if not peer or not own:
        return False
    address = ip_address(peer[0].partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or peer[0] == own[0]


def _same_site(request: web.BaseRequest) -> None:
    """Raise `Problem` for what another website asks for through a visitor's browser: it must not take the places of viewers."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise Problem(403, "not for other websites")


def _version(status: LiveStatus, names: bool) -> str:
    return f"{status.version} {status.commit} {'names' if names else 'counters'}"


async def _write(response: web.StreamResponse, data: bytes) -> None:
    """Raises `TimeoutError` when the viewer does not read."""
    async with asyncio.timeout(SLOW_S):
        await response.write(data)
