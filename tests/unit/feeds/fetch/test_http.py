"""Fetching over http and https, against a real server on loopback."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import ssl
import time
import tracemalloc
import zlib
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from aiohttp import web

import pdns
from feeds.fetch import Fetched, Unchanged, Validators
from feeds.fetch.http import fetch
from feeds.fetch.network import Network
from pdns.config.schema import Feed
from pdns.errors import FeedError
from tests.unit.feeds import feedserver
from tests.unit.feeds.feedserver import FeedServer, Handler

LIST = b"bad.example\nworse.example\n"


def get(
    url: str, into: Path, known: Validators | None = None, *, max_bytes: int = 1_000_000, timeout_s: float = 5.0,
    tls: ssl.SSLContext | None = None,
) -> Fetched | Unchanged:  # fmt: skip
    feed = Feed(name="sample", url=url, max_bytes=max_bytes, timeout_s=timeout_s)

    async def run() -> Fetched | Unchanged:
        try:
            trusted = tls or ssl.create_default_context()
            return await fetch(feed, known, into, Network((), trusted, trusted))
        finally:
            await asyncio.sleep(0.1 if url.startswith("https") else 0.001)  # TLS says goodbye, sockets close

    return asyncio.run(run())


def refused(url: str, into: Path, known: Validators | None = None, *, max_bytes: int = 1_000_000, timeout_s: float = 5.0) -> str:
    with pytest.raises(FeedError) as caught:
        get(url, into, known, max_bytes=max_bytes, timeout_s=timeout_s)
    assert not into.exists(), "a failed fetch leaves no file"
    return caught.value.reason


def test_a_body_arrives_whole(server: FeedServer, tmp_path: Path) -> None:
    """The body is in the file, and what is said of it is true."""
    server.serve("/list", LIST)
    fetched = get(server.url("/list"), tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == LIST
    assert isinstance(fetched, Fetched)
    assert (fetched.size_bytes, fetched.sha256) == (len(LIST), hashlib.sha256(LIST).hexdigest())


def test_it_says_who_it_is_and_carries_nothing_else(server: FeedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The User-Agent names program and version; no cookie is sent back; proxies of the environment are ignored."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.serve("/list", LIST, Set_Cookie="a=b")
    server.redirect("/from", "/list", 307)
    get(server.url("/list"), tmp_path / "new")
    get(server.url("/from"), tmp_path / "new")
    assert {seen.headers["User-Agent"] for seen in server.seen} == {f"pdns/{pdns.__version__}"}
    assert not any("Cookie" in seen.headers for seen in server.seen)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(LIST)),
        ("x-gzip", gzip.compress(LIST[:5]) + gzip.compress(LIST[5:])),
        ("deflate", zlib.compress(LIST)),
        ("deflate", zlib.compress(LIST)[2:-4]),
        ("identity", LIST),
    ],
    ids=["gzip", "gzip of two members", "deflate", "deflate without header", "identity"],
)
def test_compressed_bodies_are_decoded(server: FeedServer, tmp_path: Path, encoding: str, body: bytes) -> None:
    """Both gzip and deflate are asked for and understood in every form in which servers send them."""
    server.serve("/list", body, Content_Encoding=encoding)
    get(server.url("/list"), tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == LIST


def test_conditional_requests(server: FeedServer, tmp_path: Path) -> None:
    """Both validators of the first answer go into the next request; a 304 means that nothing changed and makes no file."""
    server.serve("/list", LIST, etag='"one"', Last_Modified="Sat, 01 Aug 2026 00:00:00 GMT")
    first = get(server.url("/list"), tmp_path / "new")
    assert first.validators == Validators(etag='"one"', last_modified="Sat, 01 Aug 2026 00:00:00 GMT")
    second = get(server.url("/list"), tmp_path / "again", first.validators)
    assert second == Unchanged(first.validators)
    assert server.seen[1].headers["If-None-Match"] == '"one"'
    assert server.seen[1].headers["If-Modified-Since"] == "Sat, 01 Aug 2026 00:00:00 GMT"
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("says", ["304 with its date", "304 without", "304 without, no HEAD"])
def test_an_older_list_is_fetched(server: FeedServer, tmp_path: Path, says: str) -> None:
    """A publisher who goes back to an older list is believed, though a server that knows dates only says 304 to that.

    While the date is the same nothing is fetched again, unless the server can't be asked for its date.
    """
    newer, older = "Sun, 02 Aug 2026 00:00:00 GMT", "Sat, 01 Aug 2026 00:00:00 GMT"
    now = {"date": newer, "list": LIST.decode()}

    async def page(request: web.Request) -> web.StreamResponse:
        dated = {"Last-Modified": now["date"]}
        if request.method == "HEAD":
            return web.Response(status=405) if "no HEAD" in says else web.Response(headers=dated)
        since = request.headers.get("If-Modified-Since", "")
        if since and parsedate_to_datetime(now["date"]) <= parsedate_to_datetime(since):
            return web.Response(status=304, headers=dated if says == "304 with its date" else {})
        return web.Response(body=now["list"].encode(), headers=dated)

    server.pages["/list"] = page
    first = get(server.url("/list"), tmp_path / "new")
    if "no HEAD" not in says:
        assert get(server.url("/list"), tmp_path / "same", first.validators) == Unchanged(first.validators)
        assert not (tmp_path / "same").exists()
    now.update(date=older, list="older.example\n")
    second = get(server.url("/list"), tmp_path / "older", first.validators)
    assert second.validators == Validators(last_modified=older)
    assert (tmp_path / "older").read_bytes() == b"older.example\n"


def test_a_304_that_was_not_asked_for_is_an_error(server: FeedServer, tmp_path: Path) -> None:
    """Without a copy there is nothing that could be unchanged."""
    server.status("/list", 304, b"")
    assert "304" in refused(server.url("/list"), tmp_path / "new")


@pytest.mark.parametrize("status", [201, 204, 206, 300, 400, 401, 403, 404, 410, 429, 500, 503])
def test_every_other_status_is_an_error(server: FeedServer, tmp_path: Path, status: int) -> None:
    """Only 200 and 304 say something about the list; the reason quotes what the server said."""
    server.status("/list", status, b"" if status == 204 else LIST)
    assert f"the server said {status}" in refused(server.url("/list"), tmp_path / "new")


def test_a_404_says_what_to_do(server: FeedServer, tmp_path: Path) -> None:
    """The reason of a common error names the remedy."""
    assert refused(server.url("/gone"), tmp_path / "new").endswith(
        "the list has moved or ended; ask its publisher for the new url"
    )


@pytest.mark.parametrize("page", [feedserver.truncate, feedserver.truncate_chunked])
def test_a_truncated_body_is_an_error(server: FeedServer, tmp_path: Path, page: Handler) -> None:
    """A body shorter than announced is never taken for the list."""
    server.pages["/list"] = page
    assert "cut short" in refused(server.url("/list"), tmp_path / "new")


def test_a_truncated_gzip_body_is_an_error(server: FeedServer, tmp_path: Path) -> None:
    """A compressed stream that ends early is an error even when the HTTP body is complete."""
    server.serve("/list", gzip.compress(LIST * 100)[:-9], Content_Encoding="gzip")
    assert refused(server.url("/list"), tmp_path / "new") == "the compressed body ends in the middle"


def test_damaged_and_unknown_encodings_are_errors(server: FeedServer, tmp_path: Path) -> None:
    """What cannot be decoded is not stored as it is."""
    server.serve("/damaged", b"this is not gzip", Content_Encoding="gzip")
    server.serve("/brotli", LIST, Content_Encoding="br")
    assert "damaged" in refused(server.url("/damaged"), tmp_path / "new")
    assert "'br'" in refused(server.url("/brotli"), tmp_path / "new")


@pytest.mark.parametrize("page", [feedserver.hang, feedserver.hang_in_body, feedserver.drip])
def test_a_slow_server_holds_nothing_longer_than_the_timeout(server: FeedServer, tmp_path: Path, page: Handler) -> None:
    """`timeout_s` bounds the whole transfer, however the server spends it; the reason names the setting."""
    server.pages["/list"] = page
    began = time.monotonic()
    assert "timeout_s = 0.3" in refused(server.url("/list"), tmp_path / "new", timeout_s=0.3)
    assert time.monotonic() - began < 60


def test_a_server_that_hangs_up_is_an_error(server: FeedServer, tmp_path: Path) -> None:
    """No answer is not an empty list."""
    server.pages["/list"] = feedserver.disconnect
    assert "closed the connection without an answer" in refused(server.url("/list"), tmp_path / "new")


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (feedserver.endless_headers, "its answer is not HTTP: Too many headers"),
        (feedserver.babble, "its answer is not HTTP: Bad status line"),
        (feedserver.reset, "12 bytes received"),
    ],
)
def test_what_is_not_http_is_an_error(server: FeedServer, tmp_path: Path, page: Handler, reason: str) -> None:
    """Nonsense, header fields without end and a reset connection each end the attempt, with a reason."""
    server.pages["/list"] = page
    assert reason in refused(server.url("/list"), tmp_path / "new")


def test_nobody_listening_is_an_error(tmp_path: Path) -> None:
    """The reason names host and port."""
    with FeedServer() as gone:
        url = gone.url("/list")
        port = gone.port
    assert refused(url, tmp_path / "new").startswith(f"no connection to 127.0.0.1 port {port}: ")


def test_a_body_over_max_bytes_is_an_error(server: FeedServer, tmp_path: Path) -> None:
    """Announced or endless, not more than `max_bytes` is received; exactly `max_bytes` is fine."""
    server.serve("/list", LIST)
    server.pages["/endless"] = feedserver.endless
    assert "max_bytes = 25" in refused(server.url("/list"), tmp_path / "new", max_bytes=len(LIST) - 1)
    assert "max_bytes = 50,000" in refused(server.url("/endless"), tmp_path / "new", max_bytes=50_000)
    get(server.url("/list"), tmp_path / "new", max_bytes=len(LIST))


def test_a_gzip_bomb_costs_neither_disk_nor_memory(server: FeedServer, tmp_path: Path) -> None:
    """`max_bytes` bounds the content too, and no more of it than a piece is ever in memory."""
    one = gzip.compress(bytes(50_000_000), 9)

    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(body=one, headers={"Content-Encoding": "gzip"})

    server.pages["/list"] = page
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        assert "max_bytes = 1,000,000" in refused(server.url("/list"), tmp_path / "new", max_bytes=1_000_000)
        assert tracemalloc.get_traced_memory()[1] - before < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(server: FeedServer, tmp_path: Path, status: int) -> None:
    """Relative or absolute, five in a row; the conditions go with them."""
    server.serve("/5", LIST, etag='"x"')
    for step in range(5):
        server.redirect(f"/{step}", f"{step + 1}" if step % 2 else server.url(f"/{step + 1}"), status)
    get(server.url("/0"), tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == LIST
    assert isinstance(get(server.url("/0"), tmp_path / "new", Validators(etag='"x"')), Unchanged)


def test_redirects_end(server: FeedServer, tmp_path: Path) -> None:
    """A loop is an error after five."""
    server.redirect("/loop", "/loop")
    assert "more than 5 redirects" in refused(server.url("/loop"), tmp_path / "new")
    assert len(server.seen) == 6


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/list", "data:,bad.example", "", "http://["])
def test_redirects_lead_to_http_only(server: FeedServer, tmp_path: Path, location: str) -> None:
    """A publisher cannot make us read a local file."""
    server.redirect("/list", location)
    assert "redirected to" in refused(server.url("/list"), tmp_path / "new")


def test_https_and_what_it_forbids(server: FeedServer, tmp_path: Path, certificate: Path) -> None:
    """A trusted certificate is enough, an unknown one is an error, and nothing leads from https down to http."""
    trusting = ssl.create_default_context(cafile=str(certificate))
    server.serve("/list", LIST)
    with FeedServer(certificate) as secure:
        secure.serve("/list", LIST)
        secure.redirect("/down", server.url("/list"))
        server.redirect("/up", secure.url("/list"))
        get(secure.url("/list"), tmp_path / "new", tls=trusting)
        get(server.url("/up"), tmp_path / "new", tls=trusting)
        assert (tmp_path / "new").read_bytes() == LIST
        (tmp_path / "new").unlink()
        assert "no trusted TLS connection" in refused(secure.url("/list"), tmp_path / "new")
        with pytest.raises(FeedError, match="redirected from https to http:"):
            get(secure.url("/down"), tmp_path / "new", tls=trusting)
    assert [seen.path for seen in server.seen] == ["/up"]


def test_secrets_in_a_url_stay_out_of_reasons(tmp_path: Path, server: FeedServer) -> None:
    """A password or key in a URL is not shown in errors."""
    server.redirect("/list", "ftp://user:hunter2@127.0.0.1/?key=hunter2")
    assert "hunter2" not in refused(server.url("/list"), tmp_path / "new")
