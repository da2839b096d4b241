"""A healthy set of feeds through one failure after another: the same names are blocked after each, and the operator is told."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.healthyfeeds import ASKED, HEALTHY, OTHER, SIGNED, Healthy, body, healthy_feeds, shuffled
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread
from tests.unit.feeds.feedserver import FeedServer, bomb, drip, parts, redirect_to_itself, truncate


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Healthy]:
    with healthy_feeds(tmp_path_factory.mktemp("failures")) as started:
        yield started


@pytest.fixture
def healthy(started: Healthy) -> Healthy:
    started.restore()
    return started


FLOOD_NAMES = 1_000_000 if os.environ.get("PDNS_FULL") else 50_000


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
    healthy.pdns.wait_for_log(f"feed main: update held: {said}")
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
            feeds = Healthy(pdns, server)
            server.serve("/main", body(HEALTHY[:100]), etag='"half"')
            assert feeds.update().last_result == "held"
            assert feeds.cli("feeds", "disable", "main", "--for", "1h", "--reason", "test")[0] == 0
            assert feeds.cli("block", "example.net", "--reason", "test")[0] == 0
        server.stop()
        assert Healthy(pdns, server).cli("block", "example.org", "--reason", "while it is stopped")[0] == 0
        with pdns:
            assert pdns.addresses("bad0.evil.example") not in ([SINKHOLE], [])
            assert pdns.addresses("www.example.net") == pdns.addresses("www.example.org") == [SINKHOLE]
            pdns.wait_for_value(1, "feed_held", feed="main")
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
                {"name": "main", "url": server.url("/main"), "expire_after_s": 8},
                {"name": "other", "url": server.url("/other")},
            ],
        }
        with RunningPdns(tmp_path, config) as pdns:
            feeds = Healthy(pdns, server)
            pdns.wait_for(lambda: pdns.addresses(ASKED[0]) == [SINKHOLE], "blocked")
            server.status("/main", 503)
            pdns.wait_for(lambda: pdns.value("feed_expired", feed="main") == 1, "expired")
            pdns.wait_for(lambda: pdns.addresses(ASKED[0]) != [SINKHOLE], "gone")
            assert pdns.addresses(ASKED[2]) == [SINKHOLE]
            pdns.wait_for(lambda: pdns.value("feed_loaded", feed="main") == 0, "counted as gone")
            pdns.wait_for_log("feed main: no successful refresh within expire_after_s")
            assert "main: EXPIRED" in feeds.cli("feeds", "status")[1]
            server.serve("/main", body(HEALTHY))
            feeds.update()
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
            assert pdns.stop() == 0
            lines = [line for line in pdns.log.splitlines() if "would block bad" in line]
            assert 1 <= len(lines) <= 4
            assert "listed by main (malware)" in lines[0]
            assert "127.0.0.1" not in lines[0]
