"""Rules for `[admin]`. Values are returned in canonical spelling."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol, TypeVar

from msgspec.structs import replace

from pdns.config import addresses
from pdns.config.addresses import Endpoint
from pdns.config.admin_schema import Admin, AdminToken
from pdns.config.schema import Config
from pdns.config.shape import Report, meant, show
from pdns.files.safe_files import read_bounded

ADMIN_PORT: Final = 9154
LEAST_TOKEN_BYTES: Final = 16
MOST_TOKEN_BYTES: Final = 4096
MOST_TOKENS: Final = 1000
NO_SOCKET: Final = "off"
DEFAULT_SOCKET: Final = "admin.sock"  # in the state directory

T = TypeVar("T")


class AdminContext(Protocol):
    """The part of `pdns.config.rules.RuleContext` that is needed here."""

    report: Report
    directory: Path
    tenants: Collection[str] | None

    def parse(self, key: str, text: str, parser: Callable[[str], T]) -> T | None: ...
    def canonical(self, key: str, texts: Iterable[str], parser: Callable[[str], object]) -> tuple[str, ...]: ...
    def file(self, key: str, text: str) -> Path | None: ...
    def listen(self, endpoint: Endpoint, key: str) -> None: ...


def settle_admin(admin: Admin, around: AdminContext) -> Admin:
    """`[admin]` in canonical form. Broken rules are reported."""
    endpoint = around.parse("admin.listen", admin.listen, lambda text: addresses.parse_endpoint(text, ADMIN_PORT))
    if admin.socket not in ("", NO_SOCKET):
        path = around.parse("admin.socket", admin.socket, lambda text: addresses.absolute_path(text, around.directory))
        admin = replace(admin, socket=str(path or ""))
    admin = replace(admin, hosts=around.canonical("admin.hosts", admin.hosts, addresses.parse_host))
    tokens = _tokens(admin, around)
    if endpoint is None or not has_token(admin):
        return admin
    around.listen(endpoint, "admin.listen")
    cert, key = _certificate(admin, around)
    if not cert and not ipaddress.ip_address(endpoint.host).is_loopback:
        around.report.add(
            "admin.listen",
            f"expected a loopback address, because tokens would be sent unencrypted, got {endpoint}; "
            "set admin.tls_cert_file and admin.tls_key_file",
        )
    token_file = around.file("admin.token_file", admin.token_file) if admin.token_file else None
    _report_repeated(token_file, tokens, around)
    return replace(
        admin,
        listen=str(endpoint),
        token_file=str(token_file or ""),
        tls_cert_file=cert,
        tls_key_file=key,
        token=tuple(tokens),
    )


def has_token(admin: Admin) -> bool:
    """Whether there is a token, and so an API over TCP."""
    return bool(admin.token_file or admin.token)


def socket_path(config: Config) -> Path | None:
    """Where the API listens on a Unix socket; None: nowhere. `config` is settled."""
    if config.admin.socket == NO_SOCKET:
        return None
    return Path(config.admin.socket) if config.admin.socket else Path(config.state.dir) / DEFAULT_SOCKET


def expiry_s(token: AdminToken) -> float:
    """When a token expires, in seconds since the epoch; 0.0: never. Raises `ValueError`."""
    if not token.expires:
        return 0.0
    moment = datetime.fromisoformat(token.expires)
    if moment.tzinfo is None:
        raise ValueError("without a time zone")
    return moment.astimezone(UTC).timestamp()


def server_context(cert: str, key: str) -> ssl.SSLContext:
    """A TLS context with this certificate chain and key. Raises `OSError`, also for files that are not PEM or do not match."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(cert, key, password=lambda: b"")  # an encrypted key is an error, not a question on the terminal
    return context


def _certificate(admin: Admin, around: AdminContext) -> tuple[str, str]:
    keys = ("tls_cert_file", "tls_key_file")
    for key, other in (keys, keys[::-1]):
        if getattr(admin, key) and not getattr(admin, other):
            around.report.add(f"admin.{other}", f"required with admin.{key}")
            return "-", "-"
    if not admin.tls_cert_file:
        return "", ""
    cert, private = (around.file(f"admin.{key}", getattr(admin, key)) for key in keys)
    if cert is None or private is None:
        return "-", "-"
    try:
        server_context(str(cert), str(private))
    except (OSError, ValueError) as error:  # of which ssl.SSLError is one
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        around.report.add("admin.tls_cert_file", f"cannot be used with admin.tls_key_file: {str(why).lower().replace('_', ' ')}")
    return str(cert), str(private)


def _tokens(admin: Admin, around: AdminContext) -> list[AdminToken]:
    if len(admin.token) > MOST_TOKENS:
        around.report.add("admin.token", f"expected at most {MOST_TOKENS}, got {len(admin.token)}")
        return []
    settled: list[AdminToken] = []
    names: dict[str, int] = {}
    for index, token in enumerate(admin.token):
        at = f"admin.token[{index}]"
        if (first := names.setdefault(token.name, index)) < index:
            around.report.add(f"{at}.name", f'"{token.name}" is already admin.token[{first}]')
        if token.role == "tenant" and not token.tenants:
            around.report.add(f"{at}.tenants", 'required with role = "tenant"')
        if token.role != "tenant" and token.tenants:
            around.report.add(f"{at}.tenants", f'only for role = "tenant", not "{token.role}"')
        for number, tenant in enumerate(token.tenants if token.role == "tenant" else ()):
            if around.tenants is not None and tenant not in around.tenants:
                hint = meant(tenant, sorted(around.tenants))
                around.report.add(f"{at}.tenants[{number}]", f"no [[tenant]] has this name, got {show(tenant)}{hint}")
        try:
            expiry_s(token)
        except (ValueError, OverflowError):
            expected = 'expected a time with its zone, such as "2027-01-01T00:00:00Z"'
            around.report.add(f"{at}.expires", f"{expected}, got {show(token.expires)}")
        path = around.file(f"{at}.file", token.file)
        settled.append(replace(token, file=str(path or "")))
    return settled


def _report_repeated(token_file: Path | None, tokens: Iterable[AdminToken], around: AdminContext) -> None:
    """Report files without a token, and two keys with the same one."""
    files = [("admin.token_file", str(token_file or "")), *((f"admin.token[{i}].file", t.file) for i, t in enumerate(tokens))]
    seen: dict[bytes, str] = {}
    for key, path in files:
        if not path:
            continue
        try:
            token = read_bounded(Path(path), MOST_TOKEN_BYTES, follow_links=True).strip()
        except OSError:
            token = b""
        if len(token) < LEAST_TOKEN_BYTES:
            around.report.add(key, f"expected a file with a token of at least {LEAST_TOKEN_BYTES} bytes, got {path}")
        elif (first := seen.setdefault(token, key)) != key:
            around.report.add(key, f"holds the same token as {first}")
