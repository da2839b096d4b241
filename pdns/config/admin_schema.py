"""`[metrics]` and `[admin]`: the HTTP interfaces for administrators, as frozen structs."""

from __future__ import annotations

from msgspec import Struct

from pdns.config.value_types import Label, StatusPage, TokenRole


class Metrics(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The address of the metrics."""

    listen: str = "127.0.0.1:9153"
    hosts: tuple[str, ...] = ()
    status_page: StatusPage = "loopback"


class AdminToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token of the API: who it belongs to, and what it may do."""

    name: Label
    file: str
    role: TokenRole = "read"
    tenants: tuple[str, ...] = ()
    expires: str = ""


class Admin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP API for administrators and their programs."""

    listen: str = "127.0.0.1:9154"
    token_file: str = ""
    hosts: tuple[str, ...] = ()
    socket: str = ""
    socket_group: str = ""
    tls_cert_file: str = ""
    tls_key_file: str = ""
    token: tuple[AdminToken, ...] = ()
