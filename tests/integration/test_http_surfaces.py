"""The HTTP ports of the real program, attacked: what is no sound request gets a 4xx and costs a bounded part of the log."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fuzz import httprequests
from tests.integration.running_pdns import RunningPdns

TOKEN = b"a-token-of-some-length"
TOGETHER = 100  # no more than may wait to be accepted: the kernel drops what connects beyond that, which costs it a second
WAITING = 300  # of those that mostly wait
FULL = int(os.environ.get("PDNS_HTTP_REQUESTS", "20000"))


class Ports:
    """A resolver, and where its two HTTP ports are."""

    def __init__(self, pdns: RunningPdns, token: Path) -> None:
        found = re.search(r"the admin API listens on 127\.0\.0\.1 port (\d+)", pdns.log)
        assert found is not None
        self.pdns, self.token = pdns, token
        self.port = {"metrics": pdns.metrics_port, "admin": int(found[1])}

    def send(self, where: str, request: bytes, quiet_s: float = 10.0) -> bytes:
        """Everything that comes back until the server closes, or has said nothing more for so long."""
        return asyncio.run(self._send(where, request, quiet_s))

    def send_all(self, where: str, requests: Sequence[bytes]) -> list[bytes]:
        """What comes back to each, TOGETHER at a time. Some never end: what brings nothing soon is sent once more at the end, and
        given more time, as a busy machine needs it.
        """

        async def all_of(these: Sequence[bytes], quiet_s: float, together: int) -> list[bytes]:
            places = asyncio.Semaphore(together)

            async def one(request: bytes) -> bytes:
                async with places:
                    return await self._send(where, request, quiet_s)

            return await asyncio.gather(*map(one, these))

        said = asyncio.run(all_of(requests, 0.4, TOGETHER))
        silent = [at for at, answer in enumerate(said) if not answer]
        for at, answer in zip(silent, asyncio.run(all_of([requests[at] for at in silent], 3.0, WAITING)), strict=True):
            said[at] = answer
        return said

    async def _send(self, where: str, request: bytes, quiet_s: float) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port[where])
        said = b""
        with suppress(ConnectionError, TimeoutError):
            writer.write(request)
            while more := await asyncio.wait_for(reader.read(65536), quiet_s):
                said += more
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        return said

    def ask(self, where: str, target: bytes, *fields: bytes, body: bytes = b"", method: bytes = b"GET") -> tuple[int, bytes]:
        """Status and the whole answer to one request."""
        length = [b"Content-Length: %d" % len(body)] if body else []
        head = b"\r\n".join([method + b" " + target + b" HTTP/1.1", *fields, *length, b"Connection: close", b"", b""])
        said = self.send(where, head + body)
        return int(said.split(b" ", 2)[1]), said

    def logged(self) -> list[str]:
        return self.pdns.log.splitlines()


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    directory = tmp_path_factory.mktemp("http")
    token = directory / "token"
    token.write_bytes(TOKEN + b"\n")
    config = {
        "admin": {"listen": "127.0.0.1:0", "token_file": str(token)},
        "log": {"level": "info"},
        "server": {"workers": 1},
    }
    with RunningPdns(directory, config) as pdns:
        yield Ports(pdns, token)


HOST = b"Host: localhost"
BEARER = b"Authorization: Bearer "
ODD = {
    "bytes that are no text as a token": (401, b"GET", b"/api/feeds", (HOST, BEARER + b"\xff"), b""),
    "a long run of them": (401, b"GET", b"/api/feeds", (HOST, BEARER + b"\xff" * 4000), b""),
    "two tokens": (401, b"GET", b"/api/feeds", (HOST, BEARER + TOKEN, BEARER + b"x"), b""),
    "a long header": (431, b"GET", b"/api/feeds", (HOST, b"X: " + b"a" * 20_000), b""),
    "a long target": (431, b"GET", b"/" + b"a" * 20_000, (HOST,), b""),
    "many headers": (400, b"GET", b"/api/feeds", (HOST, *[b"X: a"] * 1000), b""),
    "a body that is packed": (415, b"POST", b"/api/indicators", (HOST, BEARER + TOKEN, b"Content-Encoding: gzip"), b"\x1f\x8b"),
    "a body in no known packing": (415, b"POST", b"/api/indicators", (HOST, BEARER + TOKEN, b"Content-Encoding: x"), b"{}"),
    "a body that is long": (413, b"POST", b"/api/indicators", (HOST, BEARER + TOKEN), b" " * 70_000),
    "a chunk of no length": (400, b"POST", b"/api/indicators", (HOST, BEARER + TOKEN, b"Transfer-Encoding: chunked"), b"zz\r\n"),
    "bytes that are no text as a target": (400, b"GET", b"/api/explain?name=\xff", (HOST, BEARER + TOKEN), b""),
    "no host": (400, b"GET", b"/api/feeds", (BEARER + TOKEN,), b""),
    "two hosts": (400, b"GET", b"/api/feeds", (HOST, b"Host: evil.example", BEARER + TOKEN), b""),
    "a method that does not fit": (405, b"PUT", b"/api/feeds", (HOST, BEARER + TOKEN), b""),
    "nothing there": (404, b"GET", b"/api/nothing", (HOST, BEARER + TOKEN), b""),
}  # fmt: skip


@pytest.mark.parametrize(("status", "method", "target", "fields", "body"), ODD.values(), ids=ODD)
def test_odd_requests(ports: Ports, status: int, method: bytes, target: bytes, fields: tuple[bytes, ...], body: bytes) -> None:
    """The status says whose fault it was; the log holds no traceback."""
    chunked = b"Transfer-Encoding: chunked" in fields
    head = b"\r\n".join([method + b" " + target + b" HTTP/1.1", *fields, b"Connection: close"])
    said = ports.send("admin", head + (b"" if chunked else b"\r\nContent-Length: %d" % len(body)) + b"\r\n\r\n" + body)
    assert int(said.split(b" ", 2)[1]) == status, said[:300]
    assert "Traceback" not in ports.pdns.log


def test_a_flood_of_odd_requests_is_a_line_of_the_log(ports: Ports) -> None:
    """Hundreds of requests that are refused add a few short lines that count them, and no more."""
    before = len(ports.logged())
    for _ in range(200):
        for fields in ((HOST, BEARER + b"\xff"), (HOST, b"X: " + b"\xff" * 20_000), (b"Host: evil.example",)):
            assert 400 <= ports.ask("admin", b"/api/feeds", *fields)[0] < 500
    new = ports.logged()[before:]
    assert len(new) <= 4
    assert all(len(line) < 400 and line.isascii() for line in new)


def test_a_token_that_changes(ports: Ports) -> None:
    """A new token counts within two seconds, the old one no longer; a file that cannot be used, of whatever kind, is a 503."""
    good = (HOST, BEARER + TOKEN)

    def status(token: bytes = TOKEN) -> int:
        return ports.ask("admin", b"/api/feeds", HOST, BEARER + token)[0]

    def becomes(expected: int, token: bytes = TOKEN) -> None:
        ports.pdns.wait_for(lambda: status(token) == expected, f"status {expected}")

    assert ports.ask("admin", b"/api/feeds", *good)[0] == 200
    ports.token.write_bytes(b"another-token-of-this-length")
    becomes(200, b"another-token-of-this-length")
    assert status() == 401
    for content in (b"", b"short", b"x" * 5_000_000):
        ports.token.write_bytes(content)
        becomes(503)
        assert status(content[:1000]) in (401, 503)
    ports.token.unlink()
    os.mkfifo(ports.token)
    began_s = time.monotonic()
    assert status() == 503
    assert ports.ask("metrics", b"/healthz", HOST)[0] == 200
    assert time.monotonic() - began_s < 60
    ports.token.unlink()
    ports.token.mkdir()
    assert status() == 503
    ports.token.rmdir()
    ports.token.write_bytes(TOKEN)
    becomes(200)


FOREIGN = (
    b"evil.example", b"evil.example:80", b"127.0.0.1.evil.example", b"localhost.evil.example", b"192.0.2.1", b"[2001:db8::1]",
)  # fmt: skip


def test_another_host_is_refused(ports: Ports) -> None:
    """A name that leads here by somebody else's DNS is no name of ours, however it is spelt; nothing is told of the program."""
    for where, target in (("metrics", b"/metrics"), ("metrics", b"/healthz"), ("metrics", b"/"), ("admin", b"/api/feeds")):
        for host in FOREIGN:
            code, said = ports.ask(where, target, b"Host: " + host, BEARER + TOKEN)
            assert code == 421, (where, host)
            assert b"pdns_" not in said
            assert b"aiohttp" not in said.lower()
            assert b"python" not in said.lower()
        code, _ = ports.ask(where, b"http://evil.example" + target, HOST, BEARER + TOKEN)
        assert code == 421
    for host in (b"", b"a b", b"[::1", b"evil.example/", b"a@localhost", b"localhost:x", b"\xff"):
        assert ports.ask("metrics", b"/metrics", b"Host: " + host)[0] in (400, 421), host

    def is_told() -> bool:
        ports.ask("metrics", b"/metrics", b"Host: evil.example")
        return "metrics.hosts" in ports.pdns.log  # which key names more of them; a line a minute, whatever the requests were

    ports.pdns.wait_for(is_told, "the key in the log")


def test_its_own_hosts_are_served(ports: Ports) -> None:
    """The address that was connected to, this machine's name and localhost, with any port; a health check without a Host, too."""
    assert ports.ask("metrics", b"/healthz", b"Host: " + socket.gethostname().encode())[0] == 200
    for host in (
        b"localhost",
        b"LOCALHOST.",
        b"127.0.0.1",
        b"127.0.0.1:80",
        b"localhost:1",
        b"[::1]",
        b"[::ffff:127.0.0.1]:9",
    ):
        assert ports.ask("metrics", b"/healthz", b"Host: " + host)[0] == 200, host
    assert ports.send("metrics", b"GET /healthz HTTP/1.0\r\n\r\n").split(b" ", 2)[1] == b"200"


def test_configured_hosts_are_served(ports: Ports, tmp_path: Path) -> None:
    """`metrics.hosts` and `admin.hosts`, each for its own port."""
    token = tmp_path / "token"
    token.write_bytes(TOKEN)
    config = {
        "metrics": {"hosts": ["Pdns.Council.Example", "203.0.113.9"]},
        "admin": {"listen": "127.0.0.1:0", "token_file": str(token), "hosts": ["api.council.example"]},
        "server": {"workers": 1},
    }
    with RunningPdns(tmp_path, config) as pdns:
        own = Ports(pdns, token)
        for host, on_metrics, on_admin in (
            (b"pdns.council.example:9153", 200, 421), (b"203.0.113.9", 200, 421), (b"api.council.example", 421, 200),
            (b"x.pdns.council.example", 421, 421),
        ):  # fmt: skip
            assert own.ask("metrics", b"/healthz", b"Host: " + host)[0] == on_metrics
            assert own.ask("admin", b"/api/feeds", b"Host: " + host, BEARER + TOKEN)[0] == on_admin


def test_headers_of_every_answer(ports: Ports) -> None:
    """No answer names the server's software; none may be sniffed, kept, framed, or run as a script."""
    answers = [
        ports.ask("metrics", b"/", HOST), ports.ask("metrics", b"/metrics", HOST), ports.ask("metrics", b"/nothing", HOST),
        ports.ask("metrics", b"/healthz", HOST, method=b"POST"), ports.ask("metrics", b"/", b"X: " + b"a" * 20_000),
        ports.ask("admin", b"/api/feeds", HOST), ports.ask("admin", b"/api/feeds", HOST, BEARER + TOKEN),
        ports.ask("admin", b"/api/feeds", b"Host: evil.example"),
    ]  # fmt: skip
    for status, said in answers:
        head = said.split(b"\r\n\r\n")[0].lower()
        assert b"\r\nserver:" not in head, said
        assert b"\r\nx-content-type-options: nosniff" in head, (status, said)
        assert b"\r\ncache-control: no-store" in head, (status, said)
        assert b"\r\ncontent-security-policy: default-src 'none'; frame-ancestors 'none'" in head, (status, said)


@pytest.mark.parametrize(
    "count", [pytest.param(1200, id="some"), pytest.param(FULL, marks=[pytest.mark.long, pytest.mark.timeout(3600)], id="many")]
)
@pytest.mark.parametrize("where", ["metrics", "admin"])
def test_requests_at_random(ports: Ports, where: str, count: int) -> None:
    """No answer is a 5xx but for what is so by design, no line of the log a traceback, and the process is the one it was."""
    pid, before = ports.pdns.pid, len(ports.logged())
    statuses: Counter[int] = Counter()
    hostile = list(httprequests.requests(20261129, count, TOKEN))
    for request, said in zip(hostile, ports.send_all(where, hostile), strict=True):
        statuses.update(map(int, re.findall(rb"^HTTP/1\.[01] (\d{3}) ", said, re.MULTILINE)))
        assert re.search(rb"^HTTP/1\.[01] 5\d\d ", said, re.MULTILINE) is None, (request[:500], said[:500])
    assert {200, 400, 401 if where == "admin" else 404, 421} <= set(statuses), statuses
    assert ports.ask("metrics", b"/healthz", HOST)[0] == 200
    assert ports.pdns.pid == pid
    assert "Traceback" not in ports.pdns.log
    new = ports.logged()[before:]
    assert len(new) < 10 + count / 20, new[:20]
    assert max(map(len, new), default=0) < 400
