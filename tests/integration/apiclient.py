"""The API of a running program, for tests: over TCP with a token, or over its Unix socket."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tests.integration.running_pdns import RunningPdns

ADMIN, READER, LEEDS, YORK, EXPIRED = (f"{name}-token-of-some-length" for name in ("admin", "read", "leeds", "york", "expired"))
TENANTS = [{"name": "leeds", "networks": ["127.0.0.2/32"]}, {"name": "york", "networks": ["127.0.0.3/32"]}]


class Reply(NamedTuple):
    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def etag(self) -> str:
        return self.headers["ETag"]


class UnixConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(str(self._path))


class Api:
    """What `RunningPdns` answers to requests."""

    def __init__(self, pdns: RunningPdns) -> None:
        self.pdns = pdns

    @property
    def port(self) -> int:
        found = re.findall(r"the admin API listens on \S+ port (\d+)", self.pdns.log)
        return int(found[-1])

    def call(
        self, method: str, target: str, token: str = "", body: object = None, *, tls: ssl.SSLContext | None = None, **headers: str
    ) -> Reply:
        """Over TCP. `body` is sent as JSON unless it is bytes. `If_Match=` is the field If-Match."""
        plain = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection = plain if tls is None else HTTPSConnection("127.0.0.1", self.port, timeout=60, context=tls)
        return self._send(connection, method, target, token, body, headers)

    def local(self, method: str, target: str, body: object = None, token: str = "", **headers: str) -> Reply:
        """Over the Unix socket."""
        return self._send(UnixConnection(self.pdns.state_dir / "admin.sock"), method, target, token, body, headers)

    def _send(
        self, connection: HTTPConnection, method: str, target: str, token: str, body: object, headers: Mapping[str, str]
    ) -> Reply:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        if content is not None:
            fields.setdefault("Content-Type", "application/json")
        if token:
            fields["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, target, content, fields)
            response = connection.getresponse()
            said = response.read()
            is_json = response.headers.get_content_type() == "application/json" and said
            return Reply(response.status, msgspec.json.decode(said) if is_json else said.decode(), dict(response.headers))
        finally:
            connection.close()


def token_file(directory: Path, token: str) -> str:
    path = directory / f"{token}.token"
    path.write_text(f"{token}\n")
    return str(path)


def admin_section(directory: Path, **keys: Any) -> dict[str, Any]:
    """`[admin]` with a token for each role, one for each of two tenants, and one that has expired."""
    token = [
        {"name": "reader", "file": token_file(directory, READER), "role": "read"},
        {"name": "leeds", "file": token_file(directory, LEEDS), "role": "tenant", "tenants": ["leeds"]},
        {"name": "york", "file": token_file(directory, YORK), "role": "tenant", "tenants": ["york"]},
        {"name": "old", "file": token_file(directory, EXPIRED), "role": "admin", "expires": "2020-01-01T00:00:00Z"},
    ]
    return {"listen": "127.0.0.1:0", "token_file": token_file(directory, ADMIN), "token": token, **keys}


def write_certificate(base: Path, name: str = "localhost") -> tuple[Path, Path]:
    """Files with a new certificate for `name` and 127.0.0.1, signed by itself, and its key."""
    cert, key = base.with_suffix(".crt"), base.with_suffix(".key")
    words = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name}".split()
    more = ["-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(["openssl", *words, *more], check=True, capture_output=True)
    return cert, key
