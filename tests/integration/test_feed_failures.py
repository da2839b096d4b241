"""A healthy set of feeds through one failure after another: the same names are blocked after each, and the operator is told."""

from __future__ import annotations

import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec
import pytest

from pdns.state import feed_status
from pdns.state.feed_status import FeedStatus
from tests.integration.running import ROOT, SINKHOLE, RunningPdns, UpstreamThread
from tests.unit.feeds.feedserver import FeedServer, bomb, drip, parts, redirect_to_itself, truncate

HEALTHY = [f"bad{number}.evil.example" for number in range(400)]
OTHER = [f"other{number}.evil.example" for number in range(5)]
SIGNED = ["signed.evil.example"]
ASKED = ("bad0.evil.example", "x.bad399.evil.example", "other4.evil.example")
INNOCENT = ("www.example.net", "www.bbc.co.uk", "google.com", "ec2.compute.amazonaws.com")
FLOOD_NAMES = 1_000_000 if os.environ.get("PDNS_FULL") else 50_000


def body(names: list[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


class Healthy:
    """A resolver whose two feeds are loaded, and the server that they come from."""

    def __init__(self, pdns: RunningPdns, server: FeedServer) -> None:
        self.pdns = pdns
        self.server = server

    def cli(self, *words: str) -> tuple[int, str]:
        """`pdns WORDS`, and what it printed."""
        command = [sys.executable, "-m", "pdns", *words, "-c", str(self.pdns.config_path)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
        return done.returncode, done.stdout + done.stderr

    def feed(self, name: str = "main") -> FeedStatus:
        status = feed_status.read(self.pdns.state_dir)
        assert status is not None
        return status.feeds[name]

    def update(self) -> FeedStatus:
        """Have every feed asked now; returns how the one under test fared."""
        self.cli("feeds", "update")
        return self.feed()

    def assert_protected(self) -> None:
        """Blocked as ever, and nothing else is."""
        for name in ASKED:
            assert self.pdns.addresses(name) == [SINKHOLE], name
        for name in INNOCENT:
            assert self.pdns.addresses(name) not in ([SINKHOLE], []), name

    def wait_blocked(self, name: str) -> None:
        """Return when the worker of `name` has what is live."""
        self.pdns.wait_for(lambda: self.pdns.addresses(name) == [SINKHOLE], f"{name} blocked")

    def wait_not_blocked(self, name: str) -> None:
        """Return when the worker of `name` no longer has what blocked it."""
        self.pdns.wait_for(lambda: self.pdns.addresses(name) != [SINKHOLE], f"{name} not blocked")

    def within_a_second(self, condition: Callable[[], bool], what: str) -> float:
        """How long it took; it may take a machine that is busy some time longer than promised."""
        began_s = time.monotonic()
        self.pdns.wait_for(condition, what, 10.0)
        return time.monotonic() - began_s


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Healthy]:
    directory = tmp_path_factory.mktemp("failures")
    token = directory / "token"
    token.write_text("a-token-of-some-length\n")
    with FeedServer() as server, UpstreamThread() as upstream:
        server.serve("/main", body(HEALTHY), etag='"healthy"')
        server.serve("/other", body(OTHER), etag='"other"')
        server.serve("/signed", body(SIGNED))
        server.serve("/sum", hashlib.sha256(body(SIGNED)).hexdigest().encode())
        config: dict[str, Any] = {
            "upstream": {"servers": [upstream.address]},
            "feed": [
                {"name": "main", "url": server.url("/main"), "required": True, "timeout_s": 5.0, "max_bytes": 50_000_000},
                {"name": "other", "url": server.url("/other"), "required": True},
                {"name": "signed", "url": server.url("/signed"), "checksum_url": server.url("/sum"), "required": True},
            ],
            "admin": {"listen": "127.0.0.1:0", "token_file": str(token)},
        }
        with RunningPdns(directory, config) as pdns:
            yield Healthy(pdns, server)


@pytest.fixture
def healthy(running: Healthy) -> Healthy:
    """Everything as it should be, whatever a test did before."""
    running.server.serve("/main", body(HEALTHY), etag='"healthy"')
    assert running.update().last_result in ("updated", "unchanged")
    assert running.feed().held == 0
    for name in ASKED:
        running.wait_blocked(name)
    for name in INNOCENT:
        running.wait_not_blocked(name)
    running.assert_protected()
    return running


def shuffled(count: int, suffix: str) -> list[str]:
    draw = random.Random(count)
    return [f"{draw.getrandbits(60):015x}.{suffix}" for _ in range(count)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("names", "kind", "said"),
    [
        pytest.param(HEALTHY[:150], "shrink", "150 entries instead of 400: 62% gone, 30% may be", id="half"),
        pytest.param(HEALTHY + shuffled(3600, "more.example"), "growth", "4,000 entries instead of 400: 900% more", id="tenfold"),
        pytest.param(shuffled(FLOOD_NAMES, "github.io"), "growth", f"{FLOOD_NAMES:,} entries instead of 400", id="flood"),
    ],
)  # fmt: skip
def test_an_update_that_looks_wrong_is_held(healthy: Healthy, names: list[str], kind: str, said: str) -> None:
    """Half as many, ten times as many, a flood below one public suffix: held as a whole, counted, shown with examples; asked
    again, it is held without being fetched again.
    """
    healthy.server.serve("/main", body(names), etag=f'"{kind}{len(names)}"')
    feed = healthy.update()
    assert (feed.last_result, feed.last_error, feed.held) == ("held", "", 1)
    assert feed.held_update is not None
    assert feed.held_update.finding.kind == kind
    assert said in feed.held_update.finding.reason
    assert feed.held_update.finding.examples
    assert healthy.pdns.value("feed_held", feed="main") == 1
    assert healthy.pdns.value("feed_held", feed="other") == 0
    assert healthy.pdns.value("feed_update_held_seconds", feed="main") >= 1
    assert healthy.pdns.value("feed_update_held_seconds", feed="other") == 0
    assert f"feed main: update held: {said}" in healthy.pdns.log
    code, told = healthy.cli("feeds", "held")
    assert code == 1
    assert said in told
    assert feed.held_update.finding.examples[0] in told
    healthy.assert_protected()
    assert healthy.update().last_result == "held"
    assert [seen.status for seen in healthy.server.seen if seen.path == "/main"][-1] == 304
    healthy.assert_protected()


@pytest.mark.long
@pytest.mark.parametrize(
    ("page", "said"),
    [
        pytest.param((404, b"gone"), "the server said 404", id="404"),
        pytest.param((200, b"<!doctype html><html><body>Sign in</body></html>"), "a web page, not a list", id="error-page"),
        pytest.param((200, b""), "the list is empty", id="empty"),
        pytest.param(truncate, "", id="truncated"),
        pytest.param(drip, "timeout_s", id="hanging"),
        pytest.param(redirect_to_itself, "more than 5 redirects", id="redirect-loop"),
        pytest.param(bomb(60_000_000), "max_bytes = 50,000,000", id="gzip-bomb"),
        pytest.param(
            parts(60_000), "too many parts for its size (more than 1,000 that unpack to less than 4,096 bytes)", id="gzip-parts"
        ),
    ],
)
def test_a_source_that_fails_changes_nothing(healthy: Healthy, page: Any, said: str) -> None:
    """404, an error page with status 200, a body empty, cut, endless or exploding, a redirect loop: an error, told, counted."""
    before = healthy.pdns.value("feed_refresh_total", feed="main", result="error")
    if callable(page):
        healthy.server.pages["/main"] = page
    else:
        healthy.server.status("/main", page[0], page[1])
    feed = healthy.update()
    assert (feed.last_result, feed.held) == ("error", 0)
    assert said in feed.last_error
    assert feed.last_error in healthy.cli("feeds", "status")[1]
    assert healthy.pdns.value("feed_refresh_total", feed="main", result="error") > before
    healthy.assert_protected()


@pytest.mark.long
def test_a_list_that_is_newer_than_its_signature_changes_nothing(healthy: Healthy) -> None:
    """What is published of a list is the checksum of the one before: a result of its own, until both fit again."""
    newer = body([*SIGNED, "unsigned.evil.example"])
    healthy.server.serve("/signed", newer)
    healthy.update()
    feed = healthy.feed("signed")
    assert (feed.last_result, feed.entries) == ("signature", 1)
    assert feed.last_error in healthy.cli("feeds", "status")[1]
    assert healthy.pdns.value("feed_refresh_total", feed="signed", result="signature") == 1
    assert healthy.pdns.addresses("unsigned.evil.example") != [SINKHOLE]
    assert healthy.pdns.addresses("signed.evil.example") == [SINKHOLE]
    healthy.assert_protected()
    healthy.server.serve("/sum", hashlib.sha256(newer).hexdigest().encode())
    healthy.update()
    assert healthy.feed("signed").last_result == "updated"
    healthy.wait_blocked("unsigned.evil.example")


@pytest.mark.long
def test_protected_names_are_held_and_the_rest_goes_live(healthy: Healthy) -> None:
    """`com`, a public suffix, a giant and what is above one are taken out of an update; its other names are blocked at once,
    and what lies below a giant too. Released, a name is blocked; dropped, no more is said of it.
    """
    bad = ["com", "co.nz", "google.com", "amazonaws.com", "windows.net", "bad.blob.core.windows.net", "new.evil.example"]
    healthy.server.serve("/main", body([*HEALTHY, *bad]), etag='"protected"')
    feed = healthy.update()
    assert feed.last_result == "updated"
    assert set(feed.held_names.names) == {"co.nz", "google.com", "amazonaws.com", "windows.net"}
    assert "a public suffix" in feed.held_names.names["co.nz"]
    assert feed.odd["single_label"].count == 1
    assert healthy.pdns.value("feed_held", feed="main") == 4
    for name in ("new.evil.example", "x.bad.blob.core.windows.net"):
        healthy.wait_blocked(name)
    healthy.assert_protected()
    told = healthy.cli("feeds", "status")[1]
    assert "main: 4 names held, the rest is in force" in told
    assert "google.com  (giant: google.com: too many depend on it)" in told
    assert healthy.cli("feeds", "held")[0] == 0  # no update is

    assert healthy.cli("feeds", "release", "main", "--name", "windows.net", "--reason", "test")[0] == 0
    healthy.pdns.wait_for(lambda: healthy.pdns.addresses("a.windows.net") == [SINKHOLE], "released")
    assert healthy.cli("feeds", "drop", "main", "--name", "co.nz")[0] == 0
    assert healthy.feed().held == 2
    healthy.assert_protected()
    code, told = healthy.cli("feeds", "release", "main", "--name", "nobody.example")
    assert (code, "is not held" in told) == (1, True)

    assert healthy.cli("feeds", "release", "--reason", "provider")[0] == 2  # of what?
    code, told = healthy.cli("feeds", "release", "--category", "ads")
    assert (code, "nothing of that is held" in told) == (1, True)
    assert healthy.cli("feeds", "release", "--kind", "giant") == (0, "released: 0 updates, 2 names\n")
    healthy.pdns.wait_for(lambda: healthy.pdns.addresses("a.amazonaws.com") == [SINKHOLE], "released in bulk")
    assert healthy.feed().held == 0


@pytest.mark.long
def test_a_release_goes_live_without_a_fetch_and_stays_released(healthy: Healthy) -> None:
    """What is released is in force at once; the same content is not held again, not even after another came between."""
    half = body(HEALTHY[:150])
    healthy.server.serve("/main", half, etag='"release"')
    assert healthy.update().last_result == "held"
    fetched = len(healthy.server.seen)
    code, told = healthy.cli("feeds", "release", "main", "--reason", "they cleaned up")
    assert (code, told) == (0, "feed main: the update is released: 150 names\n")
    assert len(healthy.server.seen) == fetched
    healthy.pdns.wait_for(lambda: healthy.pdns.addresses("bad399.evil.example") != [SINKHOLE], "the release live")
    healthy.pdns.wait_for(lambda: healthy.pdns.addresses("bad150.evil.example") != [SINKHOLE], "the release live")
    assert healthy.pdns.addresses("bad149.evil.example") == [SINKHOLE]
    assert healthy.feed().held == 0
    healthy.server.serve("/main", body(HEALTHY), etag='"healthy"')
    assert healthy.update().last_result == "updated"  # more than twice as many, and no more than there were
    healthy.server.serve("/main", half, etag='"release"')
    assert healthy.update().last_result == "updated"
    healthy.server.serve("/main", body(HEALTHY), etag='"healthy"')
    assert healthy.update().last_result == "updated"


@pytest.mark.long
def test_what_was_dropped_is_not_offered_again(healthy: Healthy) -> None:
    """A dropped update leaves what was in force, and the same content changes nothing when it comes again."""
    tiny = body(HEALTHY[:7])
    healthy.server.serve("/main", tiny, etag='"tiny"')
    assert healthy.update().last_result == "held"
    assert healthy.cli("feeds", "drop", "main", "--reason", "their server was ill")[0] == 0
    assert healthy.feed().held == 0
    healthy.server.serve("/main", body(HEALTHY), etag='"in between"')
    assert healthy.update().last_result == "unchanged"
    healthy.server.serve("/main", tiny, etag='"tiny again"')
    assert healthy.update().last_result == "unchanged"
    assert healthy.pdns.value("feed_held", feed="main") == 0
    healthy.assert_protected()


def test_the_kill_switch(healthy: Healthy) -> None:
    """A feed that is switched off blocks nothing, in every worker, within a second and without a compile; by itself it comes
    back; it is on record.
    """
    generation = healthy.pdns.value("blockset_generation")
    assert healthy.cli("feeds", "disable", "main", "--for", "6s", "--reason", "false positives")[0] == 0
    assert all(healthy.pdns.addresses(name) != [SINKHOLE] for name in ASKED[:2]) or healthy.within_a_second(
        lambda: all(healthy.pdns.addresses(name) != [SINKHOLE] for name in ASKED[:2]), "off"
    )
    assert healthy.pdns.addresses(ASKED[2]) == [SINKHOLE]
    assert healthy.pdns.value("feed_disabled", feed="main") == 1
    assert "main: switched off until" in healthy.cli("feeds", "status")[1]
    healthy.within_a_second(lambda: healthy.pdns.value("feed_disabled", feed="main") == 0, "the end")
    for name in ASKED:
        healthy.wait_blocked(name)
    assert healthy.pdns.value("blockset_generation") == generation
    lines = [msgspec.json.decode(line) for line in (healthy.pdns.state_dir / "audit.jsonl").read_bytes().splitlines()]
    (line,) = [line for line in lines if line["command"] == "disable"]
    assert (line["feed"], line["reason"], line["done"]) == ("main", "false positives", True)
    assert line["user"]


def test_local_indicators(healthy: Healthy) -> None:
    """A name is blocked or allowed here in every worker, whatever feeds say, with the reason told to the client; listed,
    exported, and taken back.
    """
    names = [f"w{number}.example.net" for number in range(8)]  # on both workers
    before = [healthy.pdns.addresses(name) for name in names]
    assert [SINKHOLE] not in before
    assert healthy.cli("block", "example.net", "--reason", "wave of today")[0] == 0
    healthy.within_a_second(lambda: all(healthy.pdns.addresses(name) == [SINKHOLE] for name in names), "blocked")
    (option,) = healthy.pdns.ask(names[0]).options
    assert option.text == "local: wave of today (example.net)"
    assert healthy.cli("allow", "bad0.evil.example", "--reason", "a customer", "--for", "1h")[0] == 0
    healthy.within_a_second(lambda: healthy.pdns.addresses("bad0.evil.example") != [SINKHOLE], "allowed")
    assert "wave of today" in healthy.cli("indicators", "list")[1]
    assert healthy.cli("indicators", "export", "--format", "csv")[1].startswith("name,action,reason,author,added_s,expires_s\n")
    exported = msgspec.json.decode(healthy.cli("indicators", "export")[1])
    assert [(entry["name"], entry["action"]) for entry in exported] == [("example.net", "block"), ("bad0.evil.example", "allow")]
    assert healthy.pdns.value("local_indicators", action="block") == 1
    assert healthy.pdns.value("blocked_total", feed="local") > 0
    for name in ("example.net", "bad0.evil.example"):
        assert healthy.cli("indicators", "remove", name)[0] == 0
    healthy.within_a_second(lambda: [SINKHOLE] not in [healthy.pdns.addresses(name) for name in names], "taken back")
    healthy.within_a_second(lambda: healthy.pdns.addresses("bad0.evil.example") == [SINKHOLE], "blocked again")


def call(port: int, path: str, token: str = "", body_: object = None, method: str = "GET") -> tuple[int, Any]:
    """What the API says."""
    data = None if body_ is None else msgspec.json.encode(body_)
    request = Request(f"http://127.0.0.1:{port}{path}", data=data, method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urlopen(request, timeout=60) as response:
            said = response.read()
            return response.status, msgspec.json.decode(said) if said.startswith((b"{", b"[")) else said.decode()
    except HTTPError as error:
        with error:
            return error.code, msgspec.json.decode(error.read())


def test_the_api_does_what_the_command_line_does(healthy: Healthy) -> None:
    """Without the token no route tells or does anything; with it orders take effect and go on record as the API's."""
    found = re.search(r"the admin API listens on 127\.0\.0\.1 port (\d+)", healthy.pdns.log)
    assert found is not None
    port, token = int(found[1]), "a-token-of-some-length"
    for path, method in (
        ("/api/feeds", "GET"), ("/api/feeds/held", "GET"), ("/api/feeds/main/disable", "POST"), ("/api/indicators", "GET"),
        ("/api/indicators", "POST"), ("/api/indicators/x.example", "DELETE"), ("/api/explain?name=x.example", "GET"),
        ("/", "GET"),
    ):  # fmt: skip
        for wrong in ("", "a-token-of-some-lengt", "another-token-altogether"):
            assert call(port, path, wrong, {} if method == "POST" else None, method)[0] == 401, (path, wrong)
    assert healthy.pdns.get("/api/feeds")[0] == 404  # not on the page of metrics

    wide = {"action": "block", "name": "co.uk", "reason": "by a program"}
    code, said = call(port, "/api/indicators", token, wide, "POST")
    assert (code, said["done"]) == (409, False)
    assert said["text"] == 'every name below co.uk would be blocked: it is a public suffix; use "force": true to do it anyway'

    order = {"action": "block", "name": "api.example.net", "reason": "by a program", "for": "1h", "user": "soc"}
    code, said = call(port, "/api/indicators", token, order, "POST")
    assert (code, said["done"]) == (200, True)
    healthy.within_a_second(lambda: healthy.pdns.addresses("x.api.example.net") == [SINKHOLE], "blocked")
    code, said = call(port, "/api/indicators", token)
    assert [(entry["name"], entry["author"]) for entry in said] == [("api.example.net", "api: soc")]
    assert call(port, "/api/indicators?format=csv", token)[1].startswith("name,action,")
    code, said = call(port, "/api/explain?name=www.api.example.net", token)
    assert said["local"] == {"name": "api.example.net", "action": "block", "reason": "by a program"}
    assert "EDE 15: local: by a program" in said["answers"]["A"]
    told = healthy.cli("explain", "www.api.example.net", "--json")[1]
    assert said["answers"] == msgspec.json.decode(told)["answers"]
    said = call(port, "/api/explain?name=www.api.example.net&client=203.0.113.7", token)[1]
    assert set(said["answers"]) == {"any type"}
    assert "REFUSED" in said["answers"]["any type"]  # nobody who may ask
    for wrong in ("client=somebody", "tenant=unknown", "tenant=unknown&client=127.0.0.1"):
        assert call(port, f"/api/explain?name=x.example&{wrong}", token)[0] == 400
    assert call(port, "/api/indicators/api.example.net", token, method="DELETE")[0] == 200

    assert call(port, "/api/feeds/main/disable", token, {"for": "1h"}, "POST")[0] == 409  # no reason
    assert call(port, "/api/feeds/main/disable", token, {"for": "soon", "reason": "x"}, "POST")[0] == 400
    assert call(port, "/api/feeds/main/explode", token, {}, "POST")[0] == 404
    assert call(port, "/api/feeds/main/disable", token, {"for": "1h", "reason": "x"}, "POST")[0] == 200
    healthy.within_a_second(lambda: healthy.pdns.addresses(ASKED[0]) != [SINKHOLE], "off")
    code, said = call(port, f"/api/explain?name={ASKED[0]}", token)
    assert [(listing["feed"], listing["disabled"], listing["rule"]) for listing in said["said"]] == [("main", True, "subtree")]
    assert call(port, "/api/feeds/main/enable", token, {}, "POST")[0] == 200
    healthy.within_a_second(lambda: healthy.pdns.addresses(ASKED[0]) == [SINKHOLE], "on")

    healthy.server.serve("/main", body(HEALTHY[:30]), etag='"api"')
    healthy.update()
    code, said = call(port, "/api/feeds/held", token)
    assert said["main"]["update"]["finding"]["kind"] == "shrink"
    assert call(port, "/api/feeds/main/drop", token, {"reason": "no"}, "POST")[0] == 200
    assert "main" not in call(port, "/api/feeds/held", token)[1]
    audited = (healthy.pdns.state_dir / "audit.jsonl").read_text()
    assert '"user":"api: soc"' in audited
    assert '"user":"api"' in audited


@pytest.mark.realtime
@pytest.mark.long
def test_no_command_waits_behind_slow_ones(healthy: Healthy) -> None:
    """While a parser hangs and more commands wait for it than a pool has threads, a feed is switched off over HTTP and a name
    let through by the command line; each answer comes when every worker does as it says; the slow ones are done afterwards.
    """
    found = re.search(r"the admin API listens on 127\.0\.0\.1 port (\d+)", healthy.pdns.log)
    assert found is not None
    port, token = int(found[1]), "a-token-of-some-length"
    names = HEALTHY[10 : 10 + min(32, (os.cpu_count() or 1) + 4) + 2]
    order = {"reason": "x"}
    healthy.server.serve("/other", body([*OTHER, *shuffled(50_000, "slow.example")]), etag='"slow"')
    asked = threading.Thread(target=healthy.update)
    asked.start()
    parser = 0
    while not parser:
        parser = next(iter(healthy.pdns.children("feeds.build", healthy.pdns.feeds_pid)), 0)
    os.kill(parser, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(len(names)) as pool:
            slow = [pool.submit(call, port, "/api/feeds/main/hold", token, {"name": name, **order}, "POST") for name in names]
            healthy.pdns.wait_for(
                lambda: len(list((healthy.pdns.state_dir / "requests").glob("*.order"))) == len(names), "all have been given"
            )
            for _ in range(3):
                assert call(port, "/api/feeds/main/disable", token, {"for": "1h", "reason": "x"}, "POST")[0] == 200
                assert healthy.pdns.addresses(ASKED[0]) != [SINKHOLE]
                assert call(port, "/api/feeds/main/enable", token, {}, "POST")[0] == 200
                assert healthy.pdns.addresses(ASKED[0]) == [SINKHOLE]
            assert healthy.cli("allow", ASKED[0], "--reason", "x")[0] == 0
            assert healthy.pdns.addresses(ASKED[0]) != [SINKHOLE]
            assert healthy.cli("indicators", "remove", ASKED[0])[0] == 0
            assert healthy.pdns.addresses(ASKED[0]) == [SINKHOLE]
            assert not any(one.done() for one in slow)
            os.kill(parser, signal.SIGCONT)
            assert {one.result()[0] for one in slow} == {200}
    finally:
        with suppress(ProcessLookupError):
            os.kill(parser, signal.SIGCONT)
        asked.join()
        healthy.server.serve("/other", body(OTHER), etag='"other"')
        healthy.cli("feeds", "drop", "other", "--reason", "x")
    assert all(healthy.pdns.addresses(name) != [SINKHOLE] for name in names)
    assert call(port, "/api/feeds/main/release", token, {"name": names[0]}, "POST")[0] == 200
    assert healthy.pdns.addresses(names[0]) == [SINKHOLE]
    for name in names[1:]:
        assert call(port, "/api/feeds/main/release", token, {"name": name}, "POST")[0] == 200


@pytest.mark.long
def test_everything_is_kept_across_a_restart(tmp_path: Path) -> None:
    """Held updates, decisions, local entries and the kill switch are as they were when the program comes back."""
    with FeedServer() as server, UpstreamThread() as upstream:
        server.serve("/main", body(HEALTHY), etag='"healthy"')
        config = {
            "upstream": {"servers": [upstream.address]},
            "feed": [{"name": "main", "url": server.url("/main"), "required": True}],
        }
        pdns = RunningPdns(tmp_path, config)
        with pdns:
            running = Healthy(pdns, server)
            server.serve("/main", body(HEALTHY[:100]), etag='"half"')
            assert running.update().last_result == "held"
            assert running.cli("feeds", "disable", "main", "--for", "1h", "--reason", "test")[0] == 0
            assert running.cli("block", "example.net", "--reason", "test")[0] == 0
        server.stop()
        assert Healthy(pdns, server).cli("block", "example.org", "--reason", "while it is stopped")[0] == 0
        with pdns:
            assert pdns.addresses("bad0.evil.example") not in ([SINKHOLE], [])
            assert pdns.addresses("www.example.net") == pdns.addresses("www.example.org") == [SINKHOLE]
            assert pdns.value("feed_held", feed="main") == 1
            assert Healthy(pdns, server).cli("feeds", "enable", "main")[0] == 0
            pdns.wait_for(lambda: pdns.addresses("bad399.evil.example") == [SINKHOLE], "on again")


@pytest.mark.long
def test_expired_names_leave(tmp_path: Path) -> None:
    """Past `expire_after_s` without its source a feed blocks nothing more, and says so everywhere; the source back, it does."""
    with FeedServer() as server, UpstreamThread() as upstream:
        server.serve("/main", body(HEALTHY))
        server.serve("/other", body(OTHER))
        config = {
            "upstream": {"servers": [upstream.address]},
            "feed": [
                {"name": "main", "url": server.url("/main"), "expire_after_s": 4},
                {"name": "other", "url": server.url("/other")},
            ],
        }
        with RunningPdns(tmp_path, config) as pdns:
            running = Healthy(pdns, server)
            pdns.wait_for(lambda: pdns.addresses(ASKED[0]) == [SINKHOLE], "blocked")
            server.status("/main", 503)
            pdns.wait_for(lambda: pdns.value("feed_expired", feed="main") == 1, "expired")
            pdns.wait_for(lambda: pdns.addresses(ASKED[0]) != [SINKHOLE], "gone")
            assert pdns.addresses(ASKED[2]) == [SINKHOLE]
            pdns.wait_for(lambda: pdns.value("feed_loaded", feed="main") == 0, "counted as gone")
            assert "feed main: its source has been silent for expire_after_s" in pdns.log
            assert "main: EXPIRED" in running.cli("feeds", "status")[1]
            server.serve("/main", body(HEALTHY))
            running.update()
            pdns.wait_for(lambda: pdns.addresses(ASKED[0]) == [SINKHOLE], "back")


@pytest.mark.long
def test_a_monitored_feed_is_logged_within_bounds(tmp_path: Path) -> None:
    """What a feed in monitor mode would have blocked is in the log, without clients unless so configured, no more than so many
    lines a minute, and is counted all the same.
    """
    with UpstreamThread() as upstream, FeedServer() as server:
        server.serve("/main", body(HEALTHY))
        config = {
            "upstream": {"servers": [upstream.address]},
            "feed": [{"name": "main", "url": server.url("/main"), "required": True, "mode": "monitor"}],
            "log": {"monitored_per_minute": 4},
        }
        with RunningPdns(tmp_path, config) as pdns:
            for name in HEALTHY[:40]:
                assert pdns.addresses(name) not in ([SINKHOLE], [])
            assert pdns.value("would_block_total", feed="main") == 40
            lines = [line for line in pdns.log.splitlines() if "would block bad" in line]
            assert 1 <= len(lines) <= 4
            assert "listed by main (malware)" in lines[0]
            assert "127.0.0.1" not in lines[0]
