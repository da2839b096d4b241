"""Stores of a fleet: a directory, a bucket of a real S3 server, and a web server behind TLS."""

from __future__ import annotations

import asyncio
import functools
import http.server
import ssl
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from feeds.fleet.object_store import ObjectStore, open_store
from feeds.fleet.stored import BadRequest, Denied, Existing, NotFound, NotModified, ObjectStoreError, TooLarge, Unreachable
from tests.unit.feeds.feedserver import make_certificate

KEYS = "[default]\naws_access_key_id = key\naws_secret_access_key = secret\n"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    with urllib.request.urlopen(urllib.request.Request(f"{url}/fleet", method="PUT")):  # a bucket
        pass
    yield url
    server.stop()


@pytest.fixture(params=["file", "s3", "s3 with a prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "file":
        (tmp_path / "store").mkdir()
        return open_store((tmp_path / "store").as_uri())
    keys = tmp_path / "keys"
    keys.write_text(KEYS)
    url = "s3://fleet" if request.param == "s3" else "s3://fleet/a/prefix"
    return open_store(url, request.getfixturevalue("s3"), "us-east-1", str(keys))


async def reason(asking: Awaitable[object], kind: type[ObjectStoreError]) -> str:
    with pytest.raises(kind) as caught:
        await asking
    return str(caught.value)


def test_objects(store: ObjectStore) -> None:
    """Objects are written, read with a bound and a condition, listed by folder, and deleted; of several creators one wins."""

    async def use() -> None:
        await store.put("objects/a.zst", b"abc")
        data, tag = await store.get("objects/a.zst", 3)
        assert (data, bool(tag)) == (b"abc", True)
        found, _ = await store.get("objects/a.zst", 3, tag)
        assert isinstance(found, NotModified)
        await store.put("objects/a.zst", b"other")
        assert (await store.get("objects/a.zst", 5, tag))[0] == b"other"
        assert "more than 4" in await reason(store.get("objects/a.zst", 4), TooLarge)
        assert "objects/b.zst: not there" in await reason(store.get("objects/b.zst", 4), NotFound)
        assert "there already" in await reason(store.put("objects/a.zst", b"", create=True), Existing)
        results = await asyncio.gather(*(store.put("new", b"%d" % at, create=True) for at in range(5)), return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["Existing"] * 4 + ["NoneType"]
        await store.put("objects/nested/c", b"")
        assert sorted((path, size) for path, size, _ in await store.list("objects")) == [
            ("objects/a.zst", 5),
            ("objects/nested/c", 0),
        ]
        assert await store.list("none") == []
        for path in ("objects/a.zst", "objects/a.zst", "objects/nested/c", "new"):
            await store.delete(path)
        assert await store.list("objects") == []

    asyncio.run(use())


def test_s3_fails(tmp_path: Path, s3: str) -> None:
    """A server that is away, a bucket that is not there and keys that cannot be read are said in words, without secrets."""
    keys = tmp_path / "keys"
    for content in (None, "secret", "[default]\naws_access_key_id = secret\n"):
        if content is not None:
            keys.write_text(content)
        with pytest.raises(ObjectStoreError, match="credentials_file") as caught:
            open_store("s3://fleet", s3, "", str(keys))
        assert "secret" not in str(caught.value).replace("aws_secret_access_key", "")
    keys.write_text(KEYS)
    away = open_store("s3://fleet", "http://127.0.0.1:1", "", str(keys))
    asyncio.run(reason(away.get("x", 1), Unreachable))
    asyncio.run(reason(open_store("s3://another", s3, "", str(keys)).put("x", b""), ObjectStoreError))


def test_unusable_urls(tmp_path: Path) -> None:
    """A directory that does not exist, and another kind of URL, are refused."""
    for url, why in (((tmp_path / "none").as_uri(), "not a directory"), ("ftp://x/", "neither file://")):
        with pytest.raises(ObjectStoreError, match=why):
            open_store(url)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/fleet/moved":
            self.send_response(302)
            self.send_header("Location", "/fleet/there")
            self.end_headers()
        elif self.path in ("/fleet/401", "/fleet/503"):
            self.send_error(int(self.path[-3:]))
        elif self.headers.get("If-None-Match") == '"1"':
            self.send_response(304)
            self.end_headers()
        elif self.path == "/fleet/there":
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.end_headers()
            self.wfile.write(b"content")
        else:
            self.send_error(404)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    certificate = make_certificate(tmp_path_factory.mktemp("certificate"))
    assert certificate is not None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}/fleet", certificate
    server.shutdown()
    server.server_close()


def _using(web: tuple[str, Path], ask: Callable[[ObjectStore], Awaitable[None]], *, trusted: bool = True) -> None:
    async def use() -> None:
        store = open_store(web[0], ca_file=str(web[1]) if trusted else "")
        try:
            await ask(store)
        finally:
            await store.close()

    asyncio.run(use())


def test_web_server(web: tuple[str, Path]) -> None:
    """A web server is read with a bound and a condition; redirects and errors are refused, and nothing can be written."""

    async def ask(store: ObjectStore) -> None:
        assert await store.get("there", 7) == (b"content", '"1"')
        assert abs(store.date_s - time.time()) < 600
        assert isinstance((await store.get("there", 7, '"1"'))[0], NotModified)
        await reason(store.get("there", 6), TooLarge)
        await reason(store.get("none", 6), NotFound)
        await reason(store.get("401", 6), Denied)
        assert "said 503" in await reason(store.get("503", 6), Unreachable)
        assert "said 302" in await reason(store.get("moved", 6), Unreachable)
        for refused in (store.put("x", b""), store.list("x"), store.delete("x")):
            await reason(refused, BadRequest)

    _using(web, ask)


def test_unknown_certificate(web: tuple[str, Path]) -> None:
    """A server that this machine does not trust is not read."""

    async def ask(store: ObjectStore) -> None:
        assert "no trusted TLS connection" in await reason(store.get("there", 7), Unreachable)

    _using(web, ask, trusted=False)
