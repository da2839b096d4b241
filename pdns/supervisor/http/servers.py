"""The HTTP servers: metrics for machines, the API for administrators, the block page for clients. Bound before use."""

from __future__ import annotations

import grp
import os
import socket
import ssl
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from pdns.config.addresses import Endpoint, parse_endpoint
from pdns.config.admin_rules import has_token, server_context, socket_path
from pdns.config.schema import Config
from pdns.errors import ConfigError, PdnsError
from pdns.files import safe_files
from pdns.net.sockets import bind_tcp
from pdns.supervisor.block_page import PageHandle
from pdns.supervisor.http.status import StatusReader
from pdns.supervisor.inherited_sockets import InheritedSockets

if TYPE_CHECKING:
    from pdns.supervisor.http.api import AdminApi
    from pdns.supervisor.http.api_parts import ApiSource
    from pdns.supervisor.http.live_snapshot import LiveView
    from pdns.supervisor.http.pages import AdminPages, HealthSource

    class AllFacts(HealthSource, ApiSource, Protocol):
        """What the servers need from the supervisor."""


_PAGE: Final = "page "


class Bound(msgspec.Struct):
    """What is to change. `sockets`: "metrics", "admin", "socket", "page" and an endpoint, without those that stay; None: served
    nowhere.
    """

    sockets: dict[str, socket.socket | None] = {}
    unix: tuple[Path, Path] | None = None  # the file of the Unix socket until it is served, and then
    tls: ssl.SSLContext | None = None  # for the next connections over TCP


class HttpServers:
    """The servers, each at its configured addresses. The block page has a process of its own."""

    def __init__(self, facts: AllFacts, status: StatusReader, config_file: str, inherited: InheritedSockets) -> None:
        """`inherited` sockets are used for the addresses that they are bound to."""
        self.metrics_endpoint = Endpoint("", 0)
        self._admin_endpoint: Endpoint | None = None
        self._admin_socket: socket.socket | None = None  # a copy, to serve it with TLS or without
        self._unix: tuple[Path, tuple[int, int]] | None = None  # its file, and the device and inode of that
        self._tls: ssl.SSLContext | None = None
        self._facts = facts
        self._status = status
        self._config_file = config_file
        self._inherited = inherited
        self._pages: AdminPages | None = None
        self._api: AdminApi | None = None
        self._live: LiveView | None = None
        self.page = PageHandle(lambda: facts.config, lambda: facts.workers)

    @property
    def dropped(self) -> dict[str, int]:
        """Connections that were closed because there were too many, by server."""
        return {
            "metrics": 0 if self._pages is None else self._pages.dropped,
            "admin": 0 if self._api is None else self._api.dropped,
        }

    @property
    def endpoints(self) -> list[Endpoint]:
        """The addresses they answer at."""
        admin = [self._admin_endpoint] if self._admin_endpoint is not None else []
        return [self.metrics_endpoint, *admin, *self.page.endpoints]

    def bind(self, config: Config, before: Config | None = None) -> Bound:
        """Bind the sockets that `config` needs and `before` does not have. Raises `ConfigError` with nothing bound."""
        bound = Bound()
        try:
            bound.tls = self._context(config)
            if before is None or config.metrics.listen != before.metrics.listen:
                bound.sockets["metrics"] = self._bind("metrics.listen", config.metrics.listen)
            if before is None or _tcp(config) != _tcp(before):
                bound.sockets["admin"] = self._bind_admin(config, before)
            if before is None or _unix(config) != _unix(before):
                path = socket_path(config)
                bound.unix = (path.with_name(path.name + safe_files.TEMPORARY), path) if path is not None else None
                bound.sockets["socket"] = self._bind_unix(*bound.unix, config.admin.socket_group) if bound.unix else None
            served = before.block_page.listen if before is not None else ()
            for endpoint in dict.fromkeys((*served, *config.block_page.listen)):
                if endpoint not in config.block_page.listen:
                    bound.sockets[_PAGE + endpoint] = None
                elif endpoint not in served:
                    bound.sockets[_PAGE + endpoint] = self._bind("block_page.listen", endpoint)
        except BaseException:
            close(bound)
            raise
        return bound

    async def serve(self, bound: Bound) -> None:
        """Answer on the sockets `bound` instead of the previous ones."""
        self._tls = bound.tls
        if (metrics_socket := bound.sockets.get("metrics")) is not None:
            if self._pages is None:
                from pdns.supervisor.http.pages import AdminPages  # noqa: PLC0415 (slow to import: the children start meanwhile)

                self._pages = AdminPages(self._facts, self._status, self._live_view())
            self.metrics_endpoint = Endpoint(*metrics_socket.getsockname()[:2])
            await self._pages.serve(metrics_socket)
        await self._serve_api(bound)
        await self.page.serve({key.removeprefix(_PAGE): sock for key, sock in bound.sockets.items() if key.startswith(_PAGE)})

    async def _serve_api(self, bound: Bound) -> None:
        if self._api is None and (bound.sockets.get("admin") or bound.sockets.get("socket")):
            from pdns.supervisor.http.api import AdminApi  # noqa: PLC0415 (as above)

            self._api = AdminApi(self._facts, self._status, self._live_view())
        if self._api is None:
            return
        if "admin" in bound.sockets:
            admin_socket = bound.sockets["admin"]
            if self._admin_socket is not None:
                self._admin_socket.close()
            self._admin_socket = admin_socket.dup() if admin_socket is not None else None
            self._admin_endpoint = Endpoint(*admin_socket.getsockname()[:2]) if admin_socket is not None else None
            await self._api.serve(admin_socket, tls=self._current_context if self._tls is not None else None)
        if "socket" in bound.sockets:
            unix = bound.sockets["socket"]
            self._forget_unix(but=bound.unix[1] if bound.unix is not None else None)
            await self._api.serve(unix, "socket")
            if bound.unix is not None:
                bound.unix[0].replace(bound.unix[1])
                self._unix = bound.unix[1], _inode(bound.unix[1])

    async def close(self) -> None:
        """Stop all."""
        if self._live is not None:
            self._live.sampler.close()
        await self.page.close()
        for server in (self._pages, self._api):
            if server is not None:
                await server.close()
        if self._admin_socket is not None:
            self._admin_socket.close()
        self._forget_unix()

    def _live_view(self) -> LiveView:
        if self._live is None:
            from pdns.supervisor.http.live_snapshot import LiveView  # noqa: PLC0415 (as above)

            self._live = LiveView(self._facts, self._status, lambda: self._facts.workers.recent)
        return self._live

    def _current_context(self) -> ssl.SSLContext:
        assert self._tls is not None
        return self._tls

    def _context(self, config: Config) -> ssl.SSLContext | None:
        admin = config.admin
        if not has_token(admin) or not admin.tls_cert_file:
            return None
        try:
            return server_context(admin.tls_cert_file, admin.tls_key_file)
        except (OSError, ValueError) as error:  # for this user; the rules have tried it as the one who started the server
            raise ConfigError(self._config_file, "admin.tls_cert_file", f"cannot be used: {error}") from None

    def _bind_admin(self, config: Config, before: Config | None) -> socket.socket | None:
        if not has_token(config.admin):
            return None
        same = before is not None and has_token(before.admin) and config.admin.listen == before.admin.listen
        if same and self._admin_socket is not None:
            return self._admin_socket.dup()
        return self._bind("admin.listen", config.admin.listen)

    def _bind(self, key: str, listen: str) -> socket.socket:
        try:
            inherited = self._inherited.stream(endpoint := parse_endpoint(listen))
            return inherited.dup() if inherited is not None else bind_tcp(endpoint)
        except PdnsError as error:
            raise ConfigError(self._config_file, key, str(error)) from None

    def _bind_unix(self, temporary: Path, path: Path, group: str) -> socket.socket:
        """A socket that will be at `path`: for this user, or also for `group`. No client can connect before it is served."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        key = "admin.socket"
        try:
            with suppress(FileNotFoundError):
                if not stat.S_ISSOCK(path.lstat().st_mode):
                    raise ConfigError(self._config_file, key, f"expected a socket or nothing, but there is another file: {path}")
            safe_files.bind(temporary, sock)
            if group:
                key = "admin.socket_group"
                os.chown(temporary, -1, grp.getgrnam(group).gr_gid, follow_symlinks=False)
                temporary.chmod(0o660)
        except (OSError, KeyError) as error:
            sock.close()
            why = error.strerror if isinstance(error, OSError) else "there is no such group"
            hint = (
                "; a socket outside the state directory can be made at a start only" if isinstance(error, PermissionError) else ""
            )
            raise ConfigError(self._config_file, key, f"{path if key == 'admin.socket' else group}: {why}{hint}") from None
        except BaseException:
            sock.close()
            raise
        return sock

    def _forget_unix(self, but: Path | None = None) -> None:
        """Remove the file of the socket that was served, if it is still that one and the next one is not at the same path."""
        unix, self._unix = self._unix, None
        if unix is not None and unix[0] != but:
            with suppress(OSError):
                if _inode(unix[0]) == unix[1]:
                    safe_files.remove(unix[0])


def close(bound: Bound) -> None:
    """Close sockets that are not served."""
    if bound.unix is not None:
        with suppress(OSError):
            safe_files.remove(bound.unix[0])
    for sock in bound.sockets.values():
        if sock is not None:
            sock.close()


def _inode(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


def _tcp(config: Config) -> tuple[str, bool]:
    """What decides about the socket of the API over TCP. Without a token there is none."""
    return (config.admin.listen, bool(config.admin.tls_cert_file)) if has_token(config.admin) else ("", False)


def _unix(config: Config) -> tuple[Path | None, str]:
    return socket_path(config), config.admin.socket_group
