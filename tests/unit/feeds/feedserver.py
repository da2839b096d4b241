"""A real HTTP server on loopback that can also misbehave, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Seen(NamedTuple):
    path: str
    headers: dict[str, str]
    status: int


class FeedServer:
    """Serves what `pages` holds; anything else is 404. `seen` has the finished requests in order."""

    def __init__(self, certificate: Path | None = None, clients: Path | None = None, host: str = "127.0.0.1") -> None:
        """With a `certificate` it is https; with `clients` it wants a certificate of that authority."""
        self.pages: dict[str, Handler] = {}
        self.seen: list[Seen] = []
        self._host = host
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
            if clients is not None:
                self._tls.load_verify_locations(clients)
                self._tls.verify_mode = ssl.CERT_REQUIRED
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="feedserver")
        self.port = 0

    def url(self, path: str) -> str:
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}{path}"

    def serve(self, path: str, body: bytes, *, etag: str = "", **headers: str) -> None:
        """A well-behaved page, with conditional requests when it has an `etag`."""

        async def page(request: web.Request) -> web.StreamResponse:
            if etag and request.headers.get("If-None-Match") == etag:
                return web.Response(status=304, headers={"ETag": etag})
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(body=body, headers={**sent, "ETag": etag} if etag else sent)

        self.pages[path] = page

    def status(self, path: str, status: int, body: bytes = b"sorry", **headers: str) -> None:
        async def page(_: web.Request) -> web.StreamResponse:
            return web.Response(status=status, body=body, headers=headers)

        self.pages[path] = page

    def redirect(self, path: str, location: str, status: int = 302) -> None:
        self.status(path, status, Location=location)

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._start(self.port), self._loop).result(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Pull the server away."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self, port: int) -> int:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.05, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, port, ssl_context=self._tls)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        page = self.pages.get(request.path)
        response = await page(request) if page is not None else web.Response(status=404, text="not here")
        self.seen.append(Seen(request.path, dict(request.headers), response.status))
        return response


async def hang(_: web.Request) -> web.StreamResponse:
    """Never answers."""
    await asyncio.sleep(3600)
    raise AssertionError


async def hang_in_body(request: web.Request) -> web.StreamResponse:
    """Sends half of what it announced, then nothing."""
    response = await _begin(request, 100)
    await response.write(b"bad.example\n")
    return await hang(request)


async def drip(request: web.Request) -> web.StreamResponse:
    """A byte every 20 ms, for ever."""
    response = await _begin(request, 50_000)
    while True:
        await response.write(b"a")
        await asyncio.sleep(0.02)


async def endless(request: web.Request) -> web.StreamResponse:
    """Chunks without end, as fast as they go."""
    response = await _begin(request, None)
    while True:
        await response.write(b"bad.example\n" * 1000)


async def truncate(request: web.Request) -> web.StreamResponse:
    """Closes the connection in the middle of a body with Content-Length."""
    response = await _begin(request, 1000)
    await response.write(b"bad.example\n")
    return _break_off(request, response)


async def truncate_chunked(request: web.Request) -> web.StreamResponse:
    """Closes the connection before the last chunk."""
    response = await _begin(request, None)
    await response.write(b"bad.example\n")
    return _break_off(request, response)


async def disconnect(request: web.Request) -> web.StreamResponse:
    """Closes the connection without a word."""
    return _break_off(request, web.Response())


async def endless_headers(request: web.Request) -> web.StreamResponse:
    """Header fields, and never a body."""
    return await _raw(request, b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 100_000)


async def babble(request: web.Request) -> web.StreamResponse:
    """Nothing that HTTP knows."""
    return await _raw(request, b"220 mail.example ESMTP\r\n")


async def reset(request: web.Request) -> web.StreamResponse:
    """Resets the connection in the middle of a body."""
    response = await _begin(request, 1000)
    await response.write(b"bad.example\n")
    assert request.transport is not None
    sock = request.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return _break_off(request, response)


async def _raw(request: web.Request, data: bytes) -> web.StreamResponse:
    assert isinstance(request.transport, asyncio.WriteTransport)
    request.transport.write(data)
    return await hang(request)


async def redirect_to_itself(request: web.Request) -> web.StreamResponse:
    """A loop."""
    return web.Response(status=302, headers={"Location": request.path})


def bomb(content_bytes: int) -> Handler:
    """A gzip body of one member, a thousand times smaller than its content."""
    engine = zlib.compressobj(9, wbits=zlib.MAX_WBITS + 16)
    body = b"".join(engine.compress((b"a" * 999 + b"\n") * 1000) for _ in range(content_bytes // 1_000_000)) + engine.flush()
    return _gzipped(body)


def parts(count: int) -> Handler:
    """A gzip body of so many members of one line each."""
    return _gzipped(gzip.compress(b"a.example\n", mtime=0) * count)


def _gzipped(body: bytes) -> Handler:
    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    return page


async def _begin(request: web.Request, length: int | None) -> web.StreamResponse:
    response = web.StreamResponse()
    if length is not None:
        response.content_length = length
    await response.prepare(request)
    return response


def _break_off(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    assert request.transport is not None
    with contextlib.suppress(ConnectionError):
        request.transport.close()
    return response


def make_certificate(directory: Path) -> Path | None:
    """A self-signed certificate and key for 127.0.0.1, in one file; None where there is no openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    both = directory / "certificate.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-keyout", str(directory / "key"), "-out", str(directory / "crt")]
    subprocess.run([openssl, "req", "-x509", *kind, *names, *files], check=True, capture_output=True)
    both.write_bytes((directory / "key").read_bytes() + (directory / "crt").read_bytes())
    return both
