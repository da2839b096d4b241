"""An HTTP server on a socket that the caller has bound. It owns the socket from `serve` on; the socket may change.

It answers only requests for its own hosts, against DNS rebinding, and malformed requests with a 4xx. The log grows by at most a
line a minute, and the number of connections is bounded.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, NamedTuple

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from pdns.config.addresses import parse_host
from pdns.errors import InvalidAddress
from pdns.http.connections import LINGER_S, REQUEST_WITHIN_S, BoundedServer
from pdns.http.refusals import RefusalLog

MAX_BODY_BYTES: Final = 65536
_CLOSE_S: Final = 0.3  # how long an answer in progress may delay the stop
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
_PORT = re.compile(r":[0-9]{0,5}\Z")

Handler = Callable[[web.BaseRequest, str], Awaitable[web.StreamResponse]]


class Problem(Exception):
    """An error response: what is wrong with a request, or why it cannot be carried out."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, dict(headers or {})
        self.body: object = None  # for those who say more than `text`


class HttpRoute(NamedTuple):
    """`path` is a regular expression. `handler` gets its groups, joined by `/`. GET includes HEAD."""

    method: str
    path: str
    handler: Handler


class HttpServer:
    """Serves some routes. `hosts` are its host names besides its address, the name of this machine and localhost."""

    def __init__(
        self, name: str, routes: Collection[HttpRoute], hosts: Callable[[], Collection[str]], most: int | None = None
    ) -> None:
        """`name` is its section of the configuration. `most`: connections at a time, as `BoundedServer` has it."""
        self._name = name
        self._routes = [(route, re.compile(route.path)) for route in routes]
        self._hosts = hosts
        self._most = most
        self._machine = socket.gethostname().lower()
        self._log = RefusalLog(name)
        self._runner: web.ServerRunner | None = None
        self._bounded: BoundedServer | None = None
        self._listening: dict[str, asyncio.Server] = {}

    @property
    def dropped(self) -> int:
        """Connections that were closed because there were too many."""
        return 0 if self._bounded is None else self._bounded.dropped

    async def serve(self, sock: socket.socket | None, place: str = "", tls: Callable[[], ssl.SSLContext] | None = None) -> None:
        """Answer on the bound `sock` instead of the previous socket of `place`; None: nowhere. `tls`: `BoundedServer.listen`."""
        before = self._listening.pop(place, None)
        if sock is not None:
            if self._bounded is None:
                server = _Server(self)
                self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=_CLOSE_S)
                await self._runner.setup()
                self._bounded = BoundedServer(server, self._most)
            self._listening[place] = await self._bounded.listen(sock, tls)
        if before is not None:
            before.close()

    async def close(self) -> None:
        """Stop. Answers in progress have a moment to finish."""
        for listening in self._listening.values():
            listening.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The response to a request that could be parsed."""
        try:
            self.check(request)
            await self.admit(request)
            return await self.routed(request)
        except Problem as problem:
            return self.refusal(request, problem)
        except web.HTTPRequestEntityTooLarge:
            return self.refusal(request, Problem(413, f"the body is longer than {MAX_BODY_BYTES:,} bytes"))
        except (web.RequestPayloadError, HttpProcessingError):
            return self.refusal(request, Problem(400, "the body is not as its header fields say"))
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, the server goes on)
            if (known := self.problem_of(error)) is not None:
                return self.refusal(request, known)
            self._log.failed(error)
            return self.said(Problem(500, "internal error, see the log"))

    def problem_of(self, _error: Exception) -> Problem | None:
        """The response to an exception of a handler; None when it is an internal error."""
        return None

    def refusal(self, request: web.BaseRequest, problem: Problem) -> web.Response:
        """The response to a refused request, which is logged or counted."""
        self._log.refused(request.remote or "the Unix socket", f"{problem.status}: {problem.text}")
        return self.said(problem)

    def said(self, problem: Problem) -> web.Response:
        """The response to a problem: a line of text."""
        return web.Response(text=f"{problem.text}\n", status=problem.status, headers=problem.headers)

    async def admit(self, request: web.BaseRequest) -> None:
        """Raise `Problem` for a client without permission."""

    def unparsable(self, request: web.BaseRequest, error: BaseException | None) -> web.Response:
        """The response to invalid HTTP, described by `error`, or to an internal error."""
        if isinstance(error, HttpProcessingError):
            too_long = isinstance(error, LineTooLong)
            problem = Problem(431, "a line or header field is too long") if too_long else Problem(400, "not a valid HTTP request")
            return self.refusal(request, problem)
        if error is not None:
            self._log.failed(error)
        return self.said(Problem(500, "internal error, see the log"))

    def broken(self, error: BaseException | None) -> None:
        """Note an exchange without a complete response: the body could not be read, or the client left."""
        if isinstance(error, web.RequestPayloadError | HttpProcessingError | ConnectionError):
            self._log.refused("a client", "a body that is not as its header fields say")
        elif error is not None:
            self._log.failed(error)

    def check(self, request: web.BaseRequest) -> None:
        """Raise `Problem` for a request to another host, and for one that only an attacker would send."""
        given = request.headers.getall("Host", [])
        if len(given) > 1 or (not given and request.version >= (1, 1)):
            raise Problem(400, "expected one Host")
        named = [*given, *([request.host] if _absolute(request) else [])]
        if not all(self._is_ours(host, request) for host in named):
            text = f"unknown Host; add it to {self._name}.hosts in the configuration"
            raise Problem(421, text)
        if not request.raw_path.isascii():
            raise Problem(400, "expected a target in ASCII")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Problem(415, "expected a body that is not compressed", {"Accept-Encoding": "identity"})

    def _is_ours(self, text: str, request: web.BaseRequest) -> bool:
        """Whether a Host is of this server. Its port is ignored: a proxy or a tunnel may use another."""
        try:
            host = parse_host(_PORT.sub("", text) if not text.endswith("]") else text)
        except InvalidAddress:
            return False
        if host in ("localhost", self._machine, "127.0.0.1", "::1") or host in self._hosts():
            return True
        local = request.transport.get_extra_info("sockname") if request.transport is not None else None
        return isinstance(local, tuple) and host == parse_host(local[0].partition("%")[0])

    async def routed(self, request: web.BaseRequest) -> web.StreamResponse:
        """The response of the route. Raises `Problem` where there is none."""
        method = "GET" if request.method == "HEAD" else request.method
        allowed = []
        for route, path in self._routes:
            if (found := path.fullmatch(request.path)) is not None:
                if route.method == method:
                    return await route.handler(request, "/".join(found.groups()))
                allowed.append(route.method)
        if allowed:
            raise Problem(405, f"expected {' or '.join(allowed)}", {"Allow": ", ".join(allowed)})
        raise Problem(404, "there is nothing at this path")


def _absolute(request: web.BaseRequest) -> bool:
    """Whether the request line names a host, which must then be valid as well as the Host field (RFC 9112, 3.2.2)."""
    return not request.raw_path.startswith("/")


class _Request(web.BaseRequest):
    """Adds headers: no server software, no content sniffing, no caching."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        response.headers.popall("Server", None)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)


class _Server(web.Server):
    """Makes a protocol for each connection."""

    def __init__(self, owner: HttpServer) -> None:
        super().__init__(owner.answer, request_factory=self._request)
        self._owner = owner
        self._on = asyncio.get_running_loop()

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, self._owner, self._on)

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        # Any: aiohttp's own types of these are not public
        return _Request(message, payload, protocol, writer, task, self._on, client_max_size=MAX_BODY_BYTES)


class _Protocol(web.RequestHandler):
    """One connection. Errors that aiohttp would log with a traceback are counted instead."""

    __slots__ = ("_owner",)

    def __init__(self, server: web.Server, owner: HttpServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # its way to say no log
            auto_decompress=False,
            keepalive_timeout=REQUEST_WITHIN_S,
            lingering_time=LINGER_S,
        )
        self._owner = owner

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,  # noqa: ARG002 (what the base class passes)
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """As the base class, without its log line and its text."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        response = self._owner.unparsable(request, exc)
        response.force_close()
        return response

    def log_exception(self, *_args: Any, **kw: Any) -> None:
        """Handle errors that nothing else handled."""
        self._owner.broken(kw.get("exc_info"))
