"""One refresh of every feed: what goes live, what fails, and what costs nothing because it is unchanged."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from feeds.refresh import build_once, publishing
from feeds.scheduler import Scheduler
from pdns.config.schema import Feed
from pdns.state.feed_status import FeedStatus, SkippedLines, read
from tests.unit.feeds import feedserver
from tests.unit.feeds.configs import blockers, configuration, files, kept, live
from tests.unit.feeds.feedserver import FeedServer, Handler
from tests.unit.feeds.prepared import GOOD, Served, refresh


def page(status: int = 200, body: bytes = b"", **headers: str) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


def test_a_first_fetch_goes_live(server: FeedServer, tmp_path: Path) -> None:
    """The list blocks, and the status says everything there is to say about it."""
    server.serve("/list", GOOD, etag='"1"')
    feed = Feed(name="sample", url=server.url("/list"), category="phishing", mode="monitor", required=True)
    status = build_once(configuration(tmp_path, feed))
    assert blockers(tmp_path, "www.bad.example") == {"sample"}
    assert status == read(tmp_path)
    assert (status.generation, status.entries) == (live(tmp_path).generation, 2)
    said = status.feeds["sample"]
    assert said == FeedStatus(
        url=feed.url,
        category="phishing",
        mode="monitor",
        required=True,
        loaded=True,
        format="domains",
        entries=2,
        unique_entries=2,
        last_attempt_s=said.last_attempt_s,
        last_success_s=said.last_attempt_s,
        last_changed_s=said.last_attempt_s,
        last_result="updated",
        results={"updated": 1},
        odd={"address": SkippedLines(count=1, examples=["line 3: 192.0.2.1"])},
    )
    assert status.written_s >= said.last_attempt_s > 0


BAD_ANSWERS = {
    "404": (page(404, GOOD), "the server said 404"),
    "500": (page(500, GOOD), "the server said 500"),
    "web page": (page(body=b"<!DOCTYPE html>\n<html>\nevil.example\n</html>"), "a web page, not a list"),
    "empty": (page(body=b""), "the list is empty"),
    "only comments": (page(body=b"# gone\n# moved\n"), "no names in 2 lines"),
    "no names": (page(body=b"192.0.2.1\n192.0.2.2\n"), "most often address, as in line 1: 192.0.2.1"),
    "truncated": (feedserver.truncate, "cut short"),
    "truncated chunks": (feedserver.truncate_chunked, "cut short"),
    "hang": (feedserver.hang, "timeout_s = 0.4"),
    "hang in body": (feedserver.hang_in_body, "timeout_s = 0.4"),
    "drip": (feedserver.drip, "timeout_s = 0.4"),
    "endless": (feedserver.endless, "max_bytes = 100,000"),
    "bomb": (feedserver.bomb(1_000_000), "max_bytes = 100,000"),
    "redirect loop": (feedserver.redirect_to_itself, "more than 5 redirects"),
    "not gzip": (page(body=b"bad.example\n", Content_Encoding="gzip"), "the compressed body is damaged"),
}


@pytest.mark.parametrize(("answer", "reason"), BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_a_bad_answer_changes_nothing(one_feed: Served, tmp_path: Path, answer: Handler, reason: str) -> None:
    """Blockset, copy and entries stay byte for byte; the status names the reason and keeps the time of the last success."""
    before = one_feed.status.feeds["sample"]
    on_disk = files(tmp_path / "feeds"), files(tmp_path / "blocksets")
    one_feed.server.pages["/sample"] = answer
    after = refresh(tmp_path, msgspec.structs.replace(one_feed.feed, timeout_s=0.4))["sample"]
    assert reason in after.last_error
    assert (after.last_result, after.results) == ("error", {"error": 1})
    assert (after.loaded, after.entries, after.last_success_s) == (True, 2, before.last_success_s)
    assert after.last_attempt_s > before.last_attempt_s
    assert (files(tmp_path / "feeds"), files(tmp_path / "blocksets")) == on_disk
    assert blockers(tmp_path, "bad.example") == {"sample"}


@pytest.mark.long
def test_one_bad_feed_harms_no_other(server: FeedServer, tmp_path: Path) -> None:
    """Many failing feeds beside a good one: the good one loads, and none of the others' names are lost."""
    server.serve("/list", GOOD)
    feeds = [
        Feed(name=f"feed{number}", url=server.url(f"/{number}"), max_bytes=100_000, timeout_s=1)
        for number in range(len(BAD_ANSWERS))
    ]
    for number in range(len(feeds)):
        server.serve(f"/{number}", f"{number}.example\n".encode())
    refresh(tmp_path, *feeds)
    for number, (answer, _) in enumerate(BAD_ANSWERS.values()):
        server.pages[f"/{number}"] = answer
    said = refresh(tmp_path, Feed(name="good", url=server.url("/list")), *feeds)
    assert said.pop("good").last_result == "updated"
    assert {feed.last_result for feed in said.values()} == {"error"}
    assert all(feed.loaded for feed in said.values())
    assert blockers(tmp_path, "bad.example") == {"good"}
    assert all(blockers(tmp_path, f"{number}.example") == {f"feed{number}"} for number in range(len(feeds)))


def test_unchanged_content_is_not_compiled(two_feeds: Served, tmp_path: Path) -> None:
    """Neither a 304 nor a 200 with the same bytes makes a new generation; both count as success."""
    before = two_feeds.status
    after = build_once(configuration(tmp_path, *two_feeds.feeds))
    assert after.generation == before.generation
    assert list(after.feeds) == ["a", "b"]
    for name, said in after.feeds.items():
        assert said.last_result == "unchanged"
        assert said.last_success_s > before.feeds[name].last_success_s
        assert said.last_changed_s == before.feeds[name].last_changed_s
    assert [seen.status for seen in two_feeds.server.seen if seen.path == "/a"] == [200, 304]


def test_a_list_of_addresses_counts_when_addresses_are_wanted(server: FeedServer, tmp_path: Path) -> None:
    """With `addresses` on, a list without a single name is a list."""
    server.serve("/list", b"198.51.100.7\n203.0.113.0/24\n")
    said = refresh(tmp_path, Feed(name="sample", url=server.url("/list"), addresses=True))["sample"]
    assert (said.loaded, said.addresses, said.entries) == (True, 2, 0)


def test_a_full_status_of_local_files(tmp_path: Path) -> None:
    """A file works like any other source; its error names the path; what is kept survives the file."""
    source = tmp_path / "list"
    source.write_bytes(GOOD)
    feed = Feed(name="local", url=source.as_uri())
    state_dir = tmp_path / "state"
    assert refresh(state_dir, feed)["local"].last_result == "updated"
    assert refresh(state_dir, feed)["local"].last_result == "unchanged"
    source.unlink()
    said = refresh(state_dir, feed)["local"]
    assert (said.last_error, said.loaded) == (f"{source}: No such file or directory", True)
    assert kept(state_dir, feed) is not None
    assert blockers(state_dir, "bad.example") == {"local"}


def test_a_state_directory_that_cannot_be_written_is_an_error_not_a_crash(tmp_path: Path) -> None:
    """Every feed says what to do about it."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "list").write_bytes(GOOD)
    said = refresh(tmp_path / "file", Feed(name="local", url=(tmp_path / "list").as_uri()))["local"]
    assert str(tmp_path / "file") in said.last_error
    assert not said.loaded


def test_what_a_server_says_cannot_act_on_a_terminal(server: FeedServer, tmp_path: Path) -> None:
    """Control characters in a list's or server's own words are not passed on."""
    server.serve("/list", b"\x1b[31mred\x1b[0m,\xc2\x9b\n")
    said = refresh(tmp_path, Feed(name="sample", url=server.url("/list")))["sample"]
    assert said.last_error.isprintable()


def test_an_unchanged_feed_costs_nothing(two_feeds: Served, tmp_path: Path) -> None:
    """When every source says what it said before, nothing is parsed, compiled or published."""
    generation = live(tmp_path).generation
    jobs: list[object] = []

    async def again() -> None:
        scheduler = Scheduler(tmp_path)
        scheduler._builder.parse = jobs.append  # type: ignore[method-assign,assignment]
        scheduler._builder.compile = jobs.append  # type: ignore[method-assign,assignment]
        async with publishing(scheduler):
            await scheduler.configure(configuration(tmp_path, *two_feeds.feeds))
            status = await scheduler.refresh_once()
        assert {name: feed.last_result for name, feed in status.feeds.items()} == {"a": "unchanged", "b": "unchanged"}

    asyncio.run(again())
    assert jobs == []
    assert live(tmp_path).generation == generation
