"""The HTTP API for administrators and their programs: who may ask, and which route answers.

Over TCP every request needs a token. On the Unix socket the permission to open it is enough: who may write the state directory
could do all of it with files. Processes of this server are refused there: a compromised worker gets no administrator's rights.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from pdns.errors import InvalidName, PdnsError
from pdns.explain import UnknownError
from pdns.free_text import accepted
from pdns.http.server import HttpRoute, HttpServer, Problem
from pdns.supervisor.http.api_cache import CacheRoutes
from pdns.supervisor.http.api_config import ConfigRoutes
from pdns.supervisor.http.api_credentials import CredentialRoutes
from pdns.supervisor.http.api_events import EventRoutes
from pdns.supervisor.http.api_explain import ExplainRoutes
from pdns.supervisor.http.api_feeds import FeedRoutes
from pdns.supervisor.http.api_history import HistoryRoutes
from pdns.supervisor.http.api_parts import ApiSource, Refusal, as_json
from pdns.supervisor.http.api_report import EventReportRoutes
from pdns.supervisor.http.api_reports import ReportRoutes
from pdns.supervisor.http.api_routes import ApiCall, ApiRoute
from pdns.supervisor.http.api_status import StatusRoutes
from pdns.supervisor.http.api_taps import TapRoutes
from pdns.supervisor.http.live_snapshot import LiveView
from pdns.supervisor.http.openapi import description
from pdns.supervisor.http.status import StatusReader
from pdns.supervisor.http.token import Caller, TokenExpired, TokenFiles, TokenUnreadable

USER_HEADER: Final = "X-Pdns-User"  # for the audit log, as "user" in the body of a command
_MOST_USER_CHARACTERS: Final = 60
_CALLER: Final = "caller"
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid (unix(7))
_log = logging.getLogger(__name__)


class AdminApi(HttpServer):
    """Commands and status for administrators' programs."""

    def __init__(self, facts: ApiSource, status: StatusReader, live: LiveView) -> None:
        self._facts = facts
        self._tokens = TokenFiles(lambda: facts.config.admin)
        self.table = api_routes(facts, status, self._openapi, lambda: live)
        self._described: bytes | None = None
        routes = [HttpRoute(route.method, route.pattern, partial(self._call, route)) for route in self.table]
        super().__init__("admin", routes, lambda: facts.config.admin.hosts)

    async def serve(self, sock: socket.socket | None, place: str = "", tls: Callable[[], ssl.SSLContext] | None = None) -> None:
        """As `HttpServer`, and logs the address."""
        await super().serve(sock, place, tls)
        if sock is not None and sock.family != socket.AF_UNIX:
            _log.info("the admin API listens on %s port %d%s", *sock.getsockname()[:2], " with TLS" if tls is not None else "")

    async def admit(self, request: web.BaseRequest) -> None:
        """Admit requests with a token, and those over the Unix socket."""
        given = [value for name, value in request.raw_headers if name.lower() == b"authorization"]
        peer = _peer_of(request)
        if peer is not None and not given:
            pid, uid = peer
            if _parent_of(pid) == os.getpid():
                raise Problem(403, "not for processes of the server itself")
            request[_CALLER] = Caller(f"api socket, uid {uid}", "admin")
            return
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        try:
            caller = await self._tokens.caller(token.strip())
        except TokenUnreadable:
            files = "admin.token_file cannot be read or holds no token"
            if self._facts.config.admin.token:
                files = "no file of admin.token_file and admin.token can be read and holds a token"
            raise Problem(503, files) from None
        except TokenExpired:
            raise Problem(401, "the token has expired", {"WWW-Authenticate": 'Bearer error="invalid_token"'}) from None
        if scheme.lower() != b"bearer" or caller is None:
            raise Problem(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})
        request[_CALLER] = caller

    def said(self, problem: Problem) -> web.Response:
        """The response to a problem, as JSON."""
        return as_json(problem.body or Refusal(problem.text), problem.status, problem.headers)

    def problem_of(self, error: Exception) -> Problem | None:
        """The response to an invalid request or a failed command; None for an error of ours."""
        match error:
            case msgspec.DecodeError() | ValueError() | InvalidName():
                return Problem(400, str(error))
            case RecursionError():
                return Problem(400, "nested too deeply")
            case UnknownError():
                return Problem(503, str(error))
            case PdnsError():
                return Problem(504, str(error))
            case OSError():
                return Problem(500, f"{error.filename}: {error.strerror}")
        return None

    async def _call(self, route: ApiRoute, request: web.BaseRequest, path: str) -> web.StreamResponse:
        at: Mapping[str, str] = dict(zip(route.parameters, path.split("/"), strict=True)) if route.parameters else {}
        caller: Caller = request[_CALLER]
        route.admit(caller, at, request.query)
        if user := accepted("user", request.headers.get(USER_HEADER, ""), _MOST_USER_CHARACTERS):
            caller = caller._replace(name=f"{caller.name}: {user}")
        return await route.handler(ApiCall(request, caller, at))

    async def _openapi(self, _call: ApiCall) -> web.Response:
        if self._described is None:
            self._described = msgspec.json.encode(description(self.table))
        return web.Response(body=self._described, content_type="application/json")


def api_routes(
    facts: ApiSource,
    status: StatusReader,
    openapi: Callable[[ApiCall], Any],
    live: Callable[[], LiveView],
) -> list[ApiRoute]:
    """The table of all routes. A fixed path comes before one with parameters that it would fit."""
    config = ConfigRoutes(facts)
    return [
        *FeedRoutes(facts, status).routes(),
        *TapRoutes(facts).routes(),
        *CredentialRoutes(facts).routes(),
        *ExplainRoutes(facts).routes(),
        *ReportRoutes(facts).routes(),
        *EventReportRoutes(facts).routes(),
        *EventRoutes(facts).routes(),
        *HistoryRoutes(facts).routes(),
        *config.routes(),
        *CacheRoutes(facts, config).routes(),
        *StatusRoutes(facts, live).routes(),
        ApiRoute("GET", "/api/openapi.json", openapi, "This description", dict[str, Any], "anyone"),
    ]


def _peer_of(request: web.BaseRequest) -> tuple[int, int] | None:
    """Process and user behind a Unix socket; None for another one."""
    sock = request.transport.get_extra_info("socket") if request.transport is not None else None
    if sock is None or sock.family != socket.AF_UNIX:
        return None
    pid, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid


def _parent_of(pid: int) -> int:
    """The parent of a process; 0 if it has gone. A child of this server is there until it was waited for."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])
