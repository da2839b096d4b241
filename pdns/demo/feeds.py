"""The demo's feeds: three formats over HTTP with entity tags, from a server that can go away and come back."""

from __future__ import annotations

import hashlib

from aiohttp import web

from pdns.demo import world

FORMATS = {"malware": "hosts", "phishing": "adblock", "botnet": "rpz"}


def hosts_text(listed: tuple[world.DemoListing, ...]) -> str:
    """A hosts file: the name and everything below it."""
    lines = ["# Malware, as a hosts file", "127.0.0.1 localhost", *(f"0.0.0.0 {entry.name}" for entry in listed)]
    return "\n".join(lines) + "\n"


def adblock_text(listed: tuple[world.DemoListing, ...]) -> str:
    """Adblock rules, one exception among them, and one rule for a URL, which says nothing about its whole domain."""
    rules = ["[Adblock Plus]", "! Title: Phishing", *(f"||{entry.name}^" for entry in listed)]
    return "\n".join([*rules, f"@@||{world.EXCEPTION}^", "||video.example/embedded/advert.js", ""])


def rpz_text(listed: tuple[world.DemoListing, ...]) -> str:
    """A response policy zone: a name alone, or with the names below it when a wildcard stands beside it."""
    lines = ["$TTL 300", "@ SOA localhost. root.localhost. 1 3600 600 86400 300", "@ NS localhost."]
    for entry in listed:
        lines.append(f"{entry.name} CNAME .")
        if entry.and_below:
            lines.append(f"*.{entry.name} CNAME .")
    return "\n".join(lines) + "\n"


_WRITERS = {"hosts": hosts_text, "adblock": adblock_text, "rpz": rpz_text}


class FeedServer:
    """Serves `/<feed>` on 127.0.0.1. The malware feed grows by a name when `published_later` is set."""

    def __init__(self) -> None:
        self.port = 0
        self.published_later = False
        self._runner: web.AppRunner | None = None

    @property
    def urls(self) -> dict[str, str]:
        """Where each feed is."""
        return {name: f"http://127.0.0.1:{self.port}/{name}" for name in FORMATS}

    async def start(self) -> None:
        """Listens: on a free port at first, on the same one again after `stop`."""
        app = web.Application()
        app.router.add_get("/{feed}", self._get)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Closes the port: from now on the kernel refuses who connects."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _get(self, request: web.Request) -> web.Response:
        feed = request.match_info["feed"]
        if feed not in FORMATS:
            raise web.HTTPNotFound
        listed = world.FEEDS[feed]
        if feed == "malware" and self.published_later:
            listed = (*listed, world.DemoListing(world.PUBLISHED_LATER))
        text = _WRITERS[FORMATS[feed]](listed)
        etag = hashlib.sha256(text.encode()).hexdigest()[:16]
        if any(tag.value == etag for tag in request.if_none_match or ()):
            response = web.Response(status=304)
        else:
            response = web.Response(text=text, content_type="text/plain")
        response.etag = etag
        return response
