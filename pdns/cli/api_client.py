"""Requests to the API of the running server, over its Unix socket."""

from __future__ import annotations

import os
import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.text import Text

from pdns.cli.commands import EXIT_INVALID, consoles, load_config, user
from pdns.config.admin_rules import socket_path
from pdns.config.schema import Config
from pdns.errors import PdnsError
from pdns.state.lock import is_served

_PATIENCE_S: Final = 60.0
_MOST_BYTES: Final = 64 * 1024 * 1024


class ApiError(PdnsError):
    """A request that could not be sent, or that was refused."""


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket, whose path may be longer than the kernel allows."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        directory = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sock.connect(f"/proc/self/fd/{directory}/{self._path.name}")
        finally:
            os.close(directory)


def request(config: Config, method: str, target: str, body: object = None) -> Any:
    """What the running server answers. Raises `ApiError`."""
    state_dir, path = Path(config.state.dir), socket_path(config)
    if path is None:
        raise ApiError('admin.socket is "off", so this command cannot reach the server')
    connection = _UnixConnection(path)
    try:
        content = None if body is None else msgspec.json.encode(body)
        headers = {"X-Pdns-User": user().encode("ascii", "replace").decode()}
        if content is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, target, content, headers)
        response = connection.getresponse()
        said = msgspec.json.decode(response.read(_MOST_BYTES))
    except FileNotFoundError:
        where = f"no resolver is running on {state_dir}"
        raise ApiError(f"{path} is not there: is the server of an earlier version?" if is_served(state_dir) else where) from None
    except PermissionError as error:
        raise ApiError(f"{path}: {error.strerror}: run this as root or as the user that runs the resolver") from None
    except (OSError, HTTPException, msgspec.DecodeError) as error:
        raise ApiError(f"{path}: {error}") from None
    finally:
        connection.close()
    if response.status >= 400:
        raise ApiError(said["error"] if "error" in said else said["text"])
    return said


def ask(path: Path | None, method: str, target: str, body: object = None) -> tuple[int, Any]:
    """As `request`, by the configuration at `path`. Prints errors. Returns the exit code, and the answer if that is 0."""
    _, errors = consoles()
    config = load_config(path, errors)
    if config is None:
        return EXIT_INVALID, None
    try:
        return 0, request(config, method, target, body)
    except ApiError as error:
        for line in str(error).splitlines():
            errors.print(Text(line, "red"))
        return 1, None
