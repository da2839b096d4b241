"""Requests to the block page of a running program, as bytes and as a person would send them."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from html import unescape
from typing import Final, NamedTuple
from urllib.parse import urlencode

from tests.integration.running_pdns import RunningPdns

ADDRESS: Final = "127.0.0.8"
NAVIGATION: Final = b"Accept: text/html,application/xhtml+xml,*/*;q=0.8"


class PageAnswer(NamedTuple):
    """What came back."""

    status: int
    fields: dict[str, str]  # in lower case
    body: str

    @property
    def title(self) -> str:
        found = re.search("<h1>(.*?)</h1>", self.body)
        return unescape(found[1]) if found is not None else ""


def config(port: int = 0, **keys: object) -> dict[str, dict[str, object]]:
    """Sections for a block page at `ADDRESS`."""
    return {"block": {"sinkhole": [ADDRESS]}, "block_page": {"listen": [f"{ADDRESS}:{port}"], **keys}}


def page_port(pdns: RunningPdns) -> int:
    """The port of the block page, which the kernel chose."""
    pattern = rf"the block page is served at {re.escape(ADDRESS)} port (\d+)"
    pdns.wait_for(lambda: re.search(pattern, pdns.log) is not None, "the block page")
    return int(re.findall(pattern, pdns.log)[-1])


def page_pid(pdns: RunningPdns) -> int:
    """The page process; 0 while there is none."""
    return next(iter(pdns.children("pdns.page")), 0)


def exchange(port: int, request: bytes, timeout_s: float = 120.0, source: str = "127.0.0.1") -> bytes:
    """Everything that comes back until the server closes."""
    said = b""
    with socket.create_connection((ADDRESS, port), timeout_s, source_address=(source, 0)) as sock, suppress(ConnectionError):
        sock.sendall(request)
        while more := sock.recv(65536):
            said += more
    return said


def parsed(said: bytes) -> PageAnswer:
    head, _, body = said.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    pairs = (field.partition(": ") for field in fields)
    return PageAnswer(int(line.split()[1]), {name.lower(): value for name, _, value in pairs}, body.decode())


def visit(port: int, host: str, *fields: bytes, path: bytes = b"/", source: str = "127.0.0.1") -> PageAnswer:
    """What a browser gets that opens `host`."""
    head = [b"GET " + path + b" HTTP/1.1", b"Host: " + host.encode(), *(fields or (NAVIGATION,)), b"", b""]
    return parsed(exchange(port, b"\r\n".join(head), source=source))


def token_of(answer: PageAnswer) -> str:
    found = re.search('name="token" value="([^"]*)"', answer.body)
    assert found is not None, answer
    return found[1]


def send_form(port: int, host: str, source: str = "127.0.0.1", **fields: str) -> PageAnswer:
    """Send the report form as `host` has it."""
    body = urlencode(fields).encode()
    head = [
        b"POST /.pdns/report HTTP/1.1", b"Host: " + host.encode(), NAVIGATION, b"Content-Length: %d" % len(body),
        b"Content-Type: application/x-www-form-urlencoded", b"", body,
    ]  # fmt: skip
    return parsed(exchange(port, b"\r\n".join(head), source=source))


def report(port: int, host: str, comment: str = "I need it", contact: str = "", source: str = "127.0.0.1") -> PageAnswer:
    """Open `host`, fill in the form, send it."""
    token = token_of(visit(port, host, source=source))
    return send_form(port, host, source, name=host, comment=comment, contact=contact, token=token)
