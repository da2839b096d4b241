"""What a route of the API is, and who may use it. The table of routes also makes the OpenAPI description."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

from aiohttp import web

from pdns.http.server import Problem
from pdns.supervisor.http.token import Caller

Access = Literal["anyone", "read", "admin"]

NOT_YOURS: Final = "this token may not do that"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")


class ApiCall(NamedTuple):
    """One request that may be carried out. `at` has the parameters of the path."""

    request: web.BaseRequest
    caller: Caller
    at: Mapping[str, str]


class ApiQuery(NamedTuple):
    """A parameter behind the `?`."""

    name: str
    meaning: str
    required: bool = False


class ApiRoute(NamedTuple):
    """`path` has its parameters in braces. `access`: who may use it, besides the role admin, which may use all routes.

    `tenant`: the parameter that names a tenant; a token of that tenant may use the route too. `commands`: what it does of the
    command line. `conditional`: it needs If-Match or If-None-Match. `other`: further content types of its answer.
    """

    method: str
    path: str
    handler: Callable[[ApiCall], Awaitable[web.StreamResponse]]
    summary: str
    answer: Any
    access: Access = "admin"
    tenant: str = ""
    body: Any = None
    body_type: str = "application/json"
    body_required: bool = False
    query: tuple[ApiQuery, ...] = ()
    commands: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    conditional: bool = False
    other: tuple[str, ...] = ()
    choices: Mapping[str, tuple[str, ...]] = {}

    @property
    def parameters(self) -> list[str]:
        """The names in its path."""
        return _PARAMETER.findall(self.path)

    @property
    def pattern(self) -> str:
        """The regular expression of its paths."""
        return _PARAMETER.sub("([^/]+)", self.path)

    def admit(self, caller: Caller, at: Mapping[str, str], query: Mapping[str, str]) -> None:
        """Raise `Problem` if the caller may not use this route. The text does not tell whether what is named exists."""
        if caller.role == "admin" or self.access == "anyone":
            return
        if caller.role == "read" and self.access == "read":
            return
        if caller.role == "tenant" and self.tenant and (at.get(self.tenant) or query.get(self.tenant)) in caller.tenants:
            return
        raise Problem(403, NOT_YOURS)
