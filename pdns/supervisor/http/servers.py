"""The HTTP servers: metrics for machines, the API for administrators, the block page for clients. Bound before use."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Protocol

from pdns.config.addresses import Endpoint, parse_endpoint
from pdns.config.schema import Config
from pdns.errors import ConfigError, PdnsError
from pdns.net.sockets import bind_tcp
from pdns.supervisor.block_page import BlocksetOwner, PageHandle
from pdns.supervisor.http.status import StatusReader

if TYPE_CHECKING:
    from pdns.supervisor.http.api import AdminApi
    from pdns.supervisor.http.pages import AdminPages, HealthSource

    class AllFacts(HealthSource, Protocol):
        """What the servers need from the supervisor."""

        @property
        def workers(self) -> BlocksetOwner: ...


# "metrics", "admin", "page" and an endpoint: those that are to change; None: served nowhere
Bound = dict[str, socket.socket | None]
_PAGE = "page "


class HttpServers:
    """The servers, each at its configured address. The block page has a process of its own."""

    def __init__(self, facts: AllFacts, status: StatusReader, config_file: str) -> None:
        self.metrics_endpoint = Endpoint("", 0)
        self._admin_endpoint: Endpoint | None = None
        self._facts = facts
        self._status = status
        self._config_file = config_file
        self._pages: AdminPages | None = None
        self._api: AdminApi | None = None
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
        bound: Bound = {}
        try:
            if before is None or config.metrics.listen != before.metrics.listen:
                bound["metrics"] = self._bind("metrics.listen", config.metrics.listen)
            if before is None or _admin_listen(config) != _admin_listen(before):
                listen = _admin_listen(config)
                bound["admin"] = self._bind("admin.listen", listen) if listen else None
            served = before.block_page.listen if before is not None else ()
            for endpoint in dict.fromkeys((*served, *config.block_page.listen)):
                if endpoint not in config.block_page.listen:
                    bound[_PAGE + endpoint] = None
                elif endpoint not in served:
                    bound[_PAGE + endpoint] = self._bind("block_page.listen", endpoint)
        except BaseException:
            close(bound)
            raise
        return bound

    async def serve(self, bound: Bound) -> None:
        """Answer on the sockets `bound` instead of the previous ones."""
        if (metrics_socket := bound.get("metrics")) is not None:
            if self._pages is None:
                from pdns.supervisor.http.pages import AdminPages  # noqa: PLC0415 (slow to import: the children start meanwhile)

                self._pages = AdminPages(self._facts, self._status)
            self.metrics_endpoint = Endpoint(*metrics_socket.getsockname()[:2])
            await self._pages.serve(metrics_socket)
        if "admin" in bound:
            admin_socket = bound["admin"]
            self._admin_endpoint = Endpoint(*admin_socket.getsockname()[:2]) if admin_socket is not None else None
            if self._api is None and admin_socket is not None:
                from pdns.supervisor.http.api import AdminApi  # noqa: PLC0415 (as above)

                self._api = AdminApi(self._facts, self._status)
            if self._api is not None:
                await self._api.serve(admin_socket)

        await self.page.serve({key.removeprefix(_PAGE): sock for key, sock in bound.items() if key.startswith(_PAGE)})

    async def close(self) -> None:
        """Stop all."""
        await self.page.close()
        for server in (self._pages, self._api):
            if server is not None:
                await server.close()

    def _bind(self, key: str, listen: str) -> socket.socket:
        try:
            return bind_tcp(parse_endpoint(listen))
        except PdnsError as error:
            raise ConfigError(self._config_file, key, str(error)) from None


def close(bound: Bound) -> None:
    """Close sockets that are not served."""
    for sock in bound.values():
        if sock is not None:
            sock.close()


def _admin_listen(config: Config) -> str:
    """The address of the admin API; "" without a token, and so without an API."""
    return config.admin.listen if config.admin.token_file else ""
