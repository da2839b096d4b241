"""Tokens, certificates and proxies: they reach only the server that they are configured for."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from feeds.fetch import SourceError
from feeds.fetch.client import retry_after_s
from feeds.fetch.http import fetch
from feeds.fetch.network import Network
from feeds.refresh import build_once
from pdns.config.schema import Feed
from pdns.errors import FeedError
from tests.unit.feeds import feedserver
from tests.unit.feeds.configs import configuration
from tests.unit.feeds.feedserver import FeedServer

LIST = b"bad.example\n"
TOKEN = "s3cr3t+key/with=signs"


def get(feed: Feed, into: Path) -> bytes:
    async def run() -> None:
        trusted = ssl.create_default_context()
        try:
            await fetch(feed, None, into, Network((), trusted, trusted))
        finally:
            await asyncio.sleep(0.1 if feed.url.startswith("https") else 0.001)  # TLS says goodbye, sockets close

    asyncio.run(run())
    return into.read_bytes()


def refused(feed: Feed, into: Path) -> FeedError:
    with pytest.raises(FeedError) as caught:
        get(feed, into)
    assert not into.exists()
    return caught.value


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return str(path)


@pytest.mark.parametrize(
    ("header", "field", "value"),
    [("", "Authorization", f"Bearer {TOKEN}"), ("Auth-Key", "Auth-Key", TOKEN), ("X-Key: Token", "X-Key", f"Token {TOKEN}")],
)
def test_a_token_in_a_header(
    server: FeedServer, tmp_path: Path, token_file: str, header: str, field: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes from a file or from the environment, and goes where it is wanted."""
    server.serve("/list", LIST)
    feed = Feed(name="sample", url=server.url("/list"), token_file=token_file, token_header=header)
    get(feed, tmp_path / "new")
    monkeypatch.setenv("FEED_KEY", TOKEN)
    get(msgspec.structs.replace(feed, token_file="", token_env="FEED_KEY"), tmp_path / "new")
    assert [seen.headers[field] for seen in server.seen] == [value, value]


def test_a_token_in_the_query(server: FeedServer, tmp_path: Path, token_file: str) -> None:
    """It is added to the query that is there; the status shows neither."""
    asked: list[dict[str, str]] = []

    async def page(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        return web.Response(body=LIST)

    server.pages["/list"] = page
    get(Feed(name="sample", url=server.url("/list?kind=all"), token_file=token_file, token_query="key"), tmp_path / "new")
    assert asked == [{"kind": "all", "key": TOKEN}]


@pytest.mark.parametrize("how", [{"token_header": "Auth-Key"}, {"token_query": "key"}], ids=["header", "query"])
def test_a_token_stays_with_its_host(server: FeedServer, tmp_path: Path, token_file: str, how: dict[str, str]) -> None:
    """A redirect takes it along on the same host; another one, were it only another port, never sees it in whatever way."""
    queries: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        queries.append(request.query_string)
        return web.Response(body=LIST)

    async def away(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": other.url("/list") + "?" + request.query_string})

    with FeedServer() as other:
        other.pages["/list"] = elsewhere
        server.redirect("/first", "/second")
        server.pages["/second"] = away
        if "token_query" in how:
            server.redirect("/first", "/second?key=" + TOKEN)
        get(Feed(name="sample", url=server.url("/first"), token_file=token_file, **how), tmp_path / "new")  # type: ignore[arg-type]
        (stranger,) = other.seen
        assert TOKEN not in str(stranger.headers)
        assert "s3cr3t" not in "".join(queries)
    if "token_header" in how:
        assert [seen.headers["Auth-Key"] for seen in server.seen] == [TOKEN, TOKEN]


def test_a_server_cannot_pass_a_token_on_by_mistake(server: FeedServer, tmp_path: Path, token_file: str) -> None:
    """A redirect to another host whose query holds it, under whatever name, is followed without that query."""
    queries: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        queries.append(request.query_string)
        return web.Response(body=LIST)

    with FeedServer() as other:
        other.pages["/list"] = elsewhere
        server.redirect("/list", other.url("/list?who=s3cr3t%2Bkey%2Fwith%3Dsigns"))
        get(Feed(name="sample", url=server.url("/list"), token_file=token_file), tmp_path / "new")
        server.redirect("/list", other.url("/list?who=me"))
        get(Feed(name="sample", url=server.url("/list"), token_file=token_file), tmp_path / "new")
    assert queries == ["", "who=me"]


def test_a_token_is_in_no_error_no_log_and_no_status(
    server: FeedServer, tmp_path: Path, token_file: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a server says back: a redirect with the key in it, as it is or quoted, a reason phrase, a broken answer."""
    caplog.set_level(logging.DEBUG)
    server.redirect("/loud", f"ftp://{TOKEN}.example/{TOKEN}")

    async def phrase(_: web.Request) -> web.Response:
        return web.Response(status=401, reason=f"not {TOKEN}")

    server.pages["/phrase"] = phrase
    server.pages["/reset"] = feedserver.reset
    feeds = [
        Feed(name=f"{path}-{place}", url=server.url(f"/{path}"), token_file=token_file, **{f"token_{place}": "Auth-Key"})  # type: ignore[arg-type]
        for path in ("loud", "phrase", "reset", "missing")
        for place in ("header", "query")
    ]
    status = build_once(configuration(tmp_path / "state", *feeds))
    assert {said.last_result for said in status.feeds.values()} == {"error"}
    assert "***" in status.feeds["phrase-header"].last_error
    ours = [record.getMessage() for record in caplog.records if record.name != "aiohttp.access"]  # that is the server's log
    everything = "".join(ours) + "".join(path.read_text() for path in (tmp_path / "state").glob("*.json"))
    assert "feed loud-query: redirected to" in everything
    assert "s3cr3t" not in everything


def test_a_token_that_is_not_there(tmp_path: Path, server: FeedServer) -> None:
    """No file, an empty one, an unset variable, a line break inside: each reason names the key, and nothing is asked."""
    feed = Feed(name="sample", url=server.url("/list"), token_file=str(tmp_path / "none"))
    assert refused(feed, tmp_path / "new").reason == f"token_file = {tmp_path}/none: No such file or directory"
    (tmp_path / "none").write_text(" \n")
    assert refused(feed, tmp_path / "new").reason.endswith("empty")
    (tmp_path / "none").write_text("a\nX-More: b")
    assert "one line of ASCII" in refused(feed, tmp_path / "new").reason
    unset = msgspec.structs.replace(feed, token_file="", token_env="PDNS_NOT_SET")
    assert refused(unset, tmp_path / "new").reason == "token_env: PDNS_NOT_SET is not set where pdns serve was started"
    assert not server.seen


def test_a_token_file_that_is_no_file(tmp_path: Path, server: FeedServer) -> None:
    """A pipe without a writer, a directory, a device, a file of a terabyte: an error at once, and nothing is asked."""
    path = tmp_path / "token"
    feed = Feed(name="sample", url=server.url("/list"), token_file=str(path))
    os.mkfifo(path)
    assert refused(feed, tmp_path / "new").reason == f"token_file = {path}: a pipe, not a regular file"
    path.unlink()
    path.mkdir()
    assert "a directory, not a regular file" in refused(feed, tmp_path / "new").reason
    path.rmdir()
    path.symlink_to("/dev/zero")
    assert "a device, not a regular file" in refused(feed, tmp_path / "new").reason
    path.unlink()
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert refused(feed, tmp_path / "new").reason.endswith("too long for a secret")
    assert not server.seen


def test_an_authority_of_its_own(tmp_path: Path, certificate: Path) -> None:
    """`ca_file` is trusted in place of the system's store, by this feed alone."""
    with FeedServer(certificate) as secure:
        secure.serve("/list", LIST)
        feed = Feed(name="sample", url=secure.url("/list"), ca_file=str(certificate))
        assert get(feed, tmp_path / "new") == LIST
        (tmp_path / "new").unlink()
        assert "no trusted TLS connection" in refused(msgspec.structs.replace(feed, ca_file=""), tmp_path / "new").reason
        gone = msgspec.structs.replace(feed, ca_file=str(tmp_path / "gone"))
        assert refused(gone, tmp_path / "new").reason == f"ca_file = {tmp_path}/gone: No such file or directory"


def test_a_client_certificate(tmp_path: Path, certificate: Path) -> None:
    """A server that demands one gets it; a host that this one redirects to does not, and refuses."""
    with FeedServer(certificate, clients=certificate) as secure, FeedServer(certificate, clients=certificate) as other:
        secure.serve("/list", LIST)
        other.serve("/list", LIST)
        secure.redirect("/away", other.url("/list"))
        key = certificate.with_name("key")
        feed = Feed(
            name="sample",
            url=secure.url("/list"),
            ca_file=str(certificate),
            client_cert_file=str(certificate.with_name("crt")),
            client_key_file=str(key),
        )
        assert get(feed, tmp_path / "new") == LIST
        (tmp_path / "new").unlink()
        refused(msgspec.structs.replace(feed, client_cert_file="", client_key_file=""), tmp_path / "new")
        refused(msgspec.structs.replace(feed, url=secure.url("/away")), tmp_path / "new")
        assert not other.seen
        locked = tmp_path / "locked"
        pass_phrase = ["-aes128", "-passout", "pass:x"]
        subprocess.run(["openssl", "ec", "-in", str(key), "-out", str(locked), *pass_phrase], check=True, capture_output=True)
        encrypted = msgspec.structs.replace(feed, client_key_file=str(locked))
        assert "client_cert_file" in refused(encrypted, tmp_path / "new").reason


@contextmanager
def proxy(answer: bytes = b"") -> Iterator[tuple[int, list[bytes]]]:
    """An HTTP proxy on loopback that says `answer`, or else does as asked; yields its port, and the heads of the requests."""
    asked: list[bytes] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)

    def serve(client: socket.socket) -> None:
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65536)
            asked.append(head)
            if answer:
                client.sendall(answer)
                return
            method, target, _ = head.split(b" ", 2)
            where = target if method == b"CONNECT" else target.split(b"/")[2]
            host, _, port = where.decode().rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                if method == b"CONNECT":
                    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                else:
                    server.sendall(head)
                back = threading.Thread(target=pump, args=(server, client))
                back.start()
                with suppress(OSError):
                    pump(client, server)
                back.join(10)

    def accept() -> None:
        try:
            while True:
                serve(listener.accept()[0])
        except OSError:
            return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1], asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_a_proxy(server: FeedServer, tmp_path: Path, certificate: Path) -> None:
    """Http is asked through it, https is tunnelled; its user and password are sent to it, and shown nowhere."""
    server.serve("/list", LIST)
    with proxy() as (port, asked), FeedServer(certificate) as secure:
        secure.serve("/list", LIST)
        through = f"http://user:hunter2@127.0.0.1:{port}"
        feed = Feed(name="sample", url=server.url("/list"), proxy=through)
        assert get(feed, tmp_path / "new") == LIST
        tunnelled = msgspec.structs.replace(feed, url=secure.url("/list"), ca_file=str(certificate))
        assert get(tunnelled, tmp_path / "new") == LIST
    assert asked[0].startswith(f"GET {server.url('/list')} ".encode())
    assert asked[1].startswith(b"CONNECT 127.0.0.1:")
    assert all(b"Proxy-Authorization: Basic " in head for head in asked)
    (tmp_path / "new").unlink()
    reason = refused(feed, tmp_path / "new").reason
    assert reason == f"no connection to the proxy 127.0.0.1 port {port}: Connection refused"
    with proxy(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n") as (port, _):
        strict = msgspec.structs.replace(tunnelled, proxy=f"http://user:hunter2@127.0.0.1:{port}")
        reason = refused(strict, tmp_path / "new").reason
    assert "check the user and password in its proxy" in reason
    assert "hunter2" not in reason


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_wants_to_be_left_alone(server: FeedServer, tmp_path: Path, status: int) -> None:
    """Retry-After is told with the error, in seconds, whatever status it comes with."""
    server.status("/list", status, b"sorry", **{"Retry-After": "7200"})
    error = refused(Feed(name="sample", url=server.url("/list")), tmp_path / "new")
    assert isinstance(error, SourceError)
    assert error.retry_after_s == 7200


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("120", 120), ("99999999999", 86400), ("", 0), ("soon", 0), ("-5", 0), ("Thu, 01 Jan 1970 00:20:00 GMT", 200),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0), ("Fri, 01 Jan 2100 00:00:00 GMT", 86400), ("Thu, 99 Jan 1970 00:00:10 GMT", 0),
    ],
)  # fmt: skip
def test_retry_after(text: str, expected_s: float) -> None:
    """Seconds or a date, at most a day; nonsense asks for nothing."""
    assert retry_after_s(text, 1000.0) == expected_s
