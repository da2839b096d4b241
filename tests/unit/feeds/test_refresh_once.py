"""What becomes of copies and blocksets when sources behave, and when they do not."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from aiohttp import web

from feeds.entries import Entries, whole, write_entries
from feeds.refresh import build_once, publishing
from feeds.scheduler import Scheduler
from feeds.store import RECORD
from pdns.blockset.annotations import DAY_S
from pdns.blockset.generations import CURRENT, blocksets_directory
from pdns.config.schema import Feed
from pdns.errors import BlocksetError
from pdns.state.feed_status import FeedStatus, SkippedLines, read
from tests.unit.feeds import feedserver
from tests.unit.feeds.configs import blockers, configuration, files, kept, live
from tests.unit.feeds.feedserver import FeedServer, Handler

GOOD = b"bad.example\nworse.example\n192.0.2.1\n"


def page(status: int = 200, body: bytes = b"", **headers: str) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


def refresh(state_dir: Path, *feeds: Feed) -> dict[str, FeedStatus]:
    return build_once(configuration(state_dir, *feeds)).feeds


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


class Loaded(NamedTuple):
    """A state directory with one feed in force, to be copied."""

    server: FeedServer
    feed: Feed
    state_dir: Path
    status: FeedStatus


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    with FeedServer() as server:
        server.serve("/list", GOOD)
        feed = Feed(name="sample", url=server.url("/list"), max_bytes=100_000, timeout_s=0.4)
        state_dir = tmp_path_factory.mktemp("loaded")
        yield Loaded(server, feed, state_dir, refresh(state_dir, feed)["sample"])


@pytest.mark.parametrize(("answer", "reason"), BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_a_bad_answer_changes_nothing(loaded: Loaded, tmp_path: Path, answer: Handler, reason: str) -> None:
    """Blockset, copy and entries stay byte for byte; the status names the reason and keeps the time of the last success."""
    server, feed, state_dir, before = loaded
    shutil.copytree(state_dir, tmp_path, symlinks=True, dirs_exist_ok=True)
    on_disk = files(tmp_path / "feeds"), files(tmp_path / "blocksets")
    server.pages["/list"] = answer
    after = refresh(tmp_path, feed)["sample"]
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


def test_unchanged_content_is_not_compiled(server: FeedServer, tmp_path: Path) -> None:
    """Neither a 304 nor a 200 with the same bytes makes a new generation; both count as success."""
    server.serve("/tagged", GOOD, etag='"1"')
    server.serve("/plain", b"plain.example\n")
    feeds = Feed(name="tagged", url=server.url("/tagged")), Feed(name="plain", url=server.url("/plain"))
    before = build_once(configuration(tmp_path, *feeds))
    after = build_once(configuration(tmp_path, *feeds))
    assert after.generation == before.generation
    for name, said in after.feeds.items():
        assert said.last_result == "unchanged"
        assert said.last_success_s > before.feeds[name].last_success_s
        assert said.last_changed_s == before.feeds[name].last_changed_s
    assert [seen.status for seen in server.seen if seen.path == "/tagged"] == [200, 304]


@pytest.mark.long
def test_only_what_changed_is_parsed_again(server: FeedServer, tmp_path: Path) -> None:
    """A new version of one list leaves the parsed entries of the other alone."""
    server.serve("/a", b"a.example\n")
    server.serve("/b", b"b.example\n")
    feeds = Feed(name="a", url=server.url("/a")), Feed(name="b", url=server.url("/b"))
    refresh(tmp_path, *feeds)
    untouched = {path: path.stat().st_mtime_ns for path in (tmp_path / "feeds" / "b").glob("*.parsed")}
    server.serve("/a", b"new.example\n")
    refresh(tmp_path, *feeds)
    assert blockers(tmp_path, "new.example") == {"a"}
    assert not blockers(tmp_path, "a.example")
    assert untouched
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "feeds" / "b").glob("*.parsed")} == untouched


def test_blocksets_survive_the_feeds(server: FeedServer, tmp_path: Path) -> None:
    """With every source gone, all is built again from the last-good copies, at a higher generation."""
    server.serve("/list", GOOD)
    feed = Feed(name="sample", url=server.url("/list"))
    generation = build_once(configuration(tmp_path, feed)).generation
    server.stop()
    shutil.rmtree(tmp_path / "blocksets")
    status = build_once(configuration(tmp_path, feed))
    assert status.generation > generation
    assert status.feeds["sample"].loaded
    assert "no connection" in status.feeds["sample"].last_error
    assert blockers(tmp_path, "bad.example") == {"sample"}


@pytest.mark.parametrize("file", ["bloom.bin", "names.marisa", "manifest.json"])
def test_a_damaged_blockset_is_built_anew(server: FeedServer, tmp_path: Path, file: str) -> None:
    """A blockset that is not what its manifest says is replaced at the next start, without a network."""
    server.serve("/list", GOOD)
    feed = Feed(name="sample", url=server.url("/list"))
    refresh(tmp_path, feed)
    server.stop()
    damaged = blocksets_directory(tmp_path) / CURRENT / file
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    refresh(tmp_path, feed)
    assert blockers(tmp_path, "bad.example") == {"sample"}


@pytest.mark.long
def test_lost_copies_are_asked_for_before_their_names_are_given_up(server: FeedServer, tmp_path: Path) -> None:
    """Without its directory a feed is fetched first; until that was tried, its names stay live."""
    server.serve("/slow", GOOD)
    server.serve("/quick", b"quick.example\n")
    feeds = Feed(name="slow", url=server.url("/slow")), Feed(name="quick", url=server.url("/quick"))
    refresh(tmp_path, *feeds)
    shutil.rmtree(tmp_path / "feeds")
    seen_live: list[set[str]] = []

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.5)
        seen_live.append(blockers(tmp_path, "bad.example"))
        return web.Response(body=GOOD)

    server.pages["/slow"] = slow
    refresh(tmp_path, *feeds)
    assert seen_live == [{"slow"}]
    assert blockers(tmp_path, "bad.example") == {"slow"}


def test_unfinished_work_is_cleared_away(server: FeedServer, tmp_path: Path) -> None:
    """What a killed process left half done goes at the next start, even when nothing new is built."""
    server.serve("/list", GOOD)
    feed = Feed(name="sample", url=server.url("/list"))
    refresh(tmp_path, feed)
    whole = sorted(path.name for path in tmp_path.rglob("*"))
    (tmp_path / "blocksets" / ".building-9-1").mkdir()
    (tmp_path / "blocksets" / ".building-9-1" / "names.marisa").write_bytes(b"half")
    (tmp_path / "feeds" / "sample" / "1-0.tmp").write_bytes(b"half")
    (tmp_path / "feeds.json.tmp").write_bytes(b"half")
    refresh(tmp_path, feed)
    assert sorted(path.name for path in tmp_path.rglob("*")) == whole


@pytest.mark.long
def test_damaged_entries_are_parsed_again(server: FeedServer, tmp_path: Path) -> None:
    """The parsed entries are a cache: when they cannot be read, the copy itself is."""
    server.serve("/a", b"a.example\n")
    server.serve("/b", b"b.example\n")
    feeds = Feed(name="a", url=server.url("/a")), Feed(name="b", url=server.url("/b"))
    refresh(tmp_path, *feeds)
    (parsed,) = (tmp_path / "feeds" / "a").glob("*.parsed")
    parsed.write_bytes(parsed.read_bytes()[:-1] + b"?")
    server.serve("/b", b"new.example\n")
    refresh(tmp_path, *feeds)
    assert blockers(tmp_path, "a.example") == {"a"}
    assert blockers(tmp_path, "new.example") == {"b"}


def test_a_copy_cut_short_is_not_used(server: FeedServer, tmp_path: Path) -> None:
    """What a failing disk made of the copy is not read, and the list is asked for without conditions."""
    server.serve("/list", GOOD, etag='"1"')
    feed = Feed(name="sample", url=server.url("/list"))
    refresh(tmp_path, feed)
    (raw,) = (tmp_path / "feeds" / "sample").glob("*.raw")
    raw.write_bytes(GOOD[:5])
    refresh(tmp_path, feed)
    assert [seen.status for seen in server.seen] == [200, 200]
    assert blockers(tmp_path, "bad.example") == {"sample"}


@pytest.mark.long
def test_a_feed_that_is_no_longer_configured_leaves_no_trace(server: FeedServer, tmp_path: Path) -> None:
    """Its names are in no blockset, its directory is gone."""
    server.serve("/a", b"a.example\n")
    server.serve("/b", b"b.example\n")
    stays, goes = Feed(name="a", url=server.url("/a")), Feed(name="b", url=server.url("/b"))
    refresh(tmp_path, stays, goes)
    refresh(tmp_path, stays)
    assert blockers(tmp_path, "a.example") == {"a"}
    assert not blockers(tmp_path, "b.example")
    assert [path.name for path in (tmp_path / "feeds").iterdir() if path.is_dir()] == ["a"]
    refresh(tmp_path)
    assert live(tmp_path).entries == 0


def test_another_url_is_another_source(server: FeedServer, tmp_path: Path) -> None:
    """Until a new URL delivers the feed is not loaded, yet what the old one listed goes on blocking; then it is gone."""
    server.serve("/old", GOOD)
    old, new = (Feed(name="sample", url=server.url(path)) for path in ("/old", "/new"))
    refresh(tmp_path, old)
    generation = live(tmp_path).generation
    said = refresh(tmp_path, new)["sample"]
    assert (said.loaded, said.last_success_s) == (False, 0)
    assert blockers(tmp_path, "bad.example") == {"sample"}
    assert live(tmp_path).generation == generation, "nothing changed: nothing is built"
    assert refresh(tmp_path, old)["sample"].loaded
    server.serve("/new", b"other.example\n")
    assert refresh(tmp_path, new)["sample"].loaded
    assert (blockers(tmp_path, "bad.example"), blockers(tmp_path, "other.example")) == (set(), {"sample"})


def test_another_way_of_reading_needs_no_network(server: FeedServer, tmp_path: Path) -> None:
    """The same source under other settings is read again from its copy."""
    server.serve("/list", b"*.bad.example\n*.worse.example\n")
    feed = Feed(name="sample", url=server.url("/list"), wildcard_includes_apex=False)
    refresh(tmp_path, feed)
    assert not blockers(tmp_path, "bad.example")
    assert blockers(tmp_path, "www.bad.example") == {"sample"}
    server.stop()
    refresh(tmp_path, msgspec.structs.replace(feed, wildcard_includes_apex=True))
    assert blockers(tmp_path, "bad.example") == {"sample"}


def test_entries_of_another_program_are_not_used(server: FeedServer, tmp_path: Path) -> None:
    """After an upgrade that reads lists otherwise, the copy is read again; no network needed."""
    server.serve("/list", GOOD)
    feed = Feed(name="sample", url=server.url("/list"))
    generation = build_once(configuration(tmp_path, feed)).generation
    server.stop()
    copy = kept(tmp_path, feed)
    assert copy is not None
    old = msgspec.structs.replace(copy, reading=msgspec.structs.replace(copy.reading, reader="0.0.1", entries=77))
    (tmp_path / "feeds" / "sample" / RECORD).write_bytes(msgspec.json.encode(old))
    (tmp_path / "feeds" / "sample" / old.reading.parsed).write_bytes(b"of another form")
    (tmp_path / "feeds" / "compiled.json").unlink()
    status = build_once(configuration(tmp_path, feed))
    assert (status.generation, status.feeds["sample"].entries) == (generation + 1, 2)
    assert kept(tmp_path, feed) == msgspec.structs.replace(copy, last_success_s=copy.last_success_s)


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


def test_an_unchanged_feed_costs_nothing(server: FeedServer, tmp_path: Path) -> None:
    """When every source says what it said before, nothing is parsed, compiled or published."""
    server.serve("/list", GOOD, etag='"1"')
    server.serve("/other", b"other.example\n")
    feeds = [Feed(name="a", url=server.url("/list")), Feed(name="b", url=server.url("/other"))]
    refresh(tmp_path, *feeds)
    generation = live(tmp_path).generation
    jobs: list[object] = []

    async def again() -> None:
        keeper = Scheduler(tmp_path)
        keeper._builder.parse = jobs.append  # type: ignore[method-assign,assignment]
        keeper._builder.compile = jobs.append  # type: ignore[method-assign,assignment]
        async with publishing(keeper):
            await keeper.configure(configuration(tmp_path, *feeds))
            status = await keeper.refresh_once()
        assert {name: feed.last_result for name, feed in status.feeds.items()} == {"a": "unchanged", "b": "unchanged"}

    asyncio.run(again())
    assert jobs == []
    assert live(tmp_path).generation == generation


@pytest.mark.long
def test_the_first_day_stays(server: FeedServer, tmp_path: Path) -> None:
    """A new copy of a list, and the same one under a new url, keep the day on which each name was first seen."""
    server.serve("/list", GOOD)
    feed = Feed(name="a", url=server.url("/list"))
    refresh(tmp_path, feed)
    (path,) = (tmp_path / "feeds" / "a").glob("*.parsed")
    write_entries(path, whole(Entries(path)), None, 100, 0)
    server.serve("/list", GOOD + b"third.example\n")
    server.serve("/moved", GOOD + b"fourth.example\n")
    for url, last in (("/list", "third"), ("/moved", "fourth")):
        refresh(tmp_path, Feed(name="a", url=server.url(url)))
        (path,) = (tmp_path / "feeds" / "a").glob("*.parsed")
        days = {
            key.rpartition(b"example")[2][1:]: day
            for block in Entries(path).names()
            for key, day in zip(block.keys, block.first_days, strict=True)
        }
        assert days[b"bad"] == days[b"worse"] == 100
        assert days[last.encode()] == int(time.time() // DAY_S)


def test_a_blockset_of_an_earlier_form_is_built_anew(tmp_path: Path) -> None:
    """What an earlier program left live is replaced at the next start; until then nobody crashes on it."""
    (tmp_path / "list").write_text("bad.example\n")
    feed = Feed(name="a", url=f"file://{tmp_path}/list")
    refresh(tmp_path / "state", feed)
    manifest = blocksets_directory(tmp_path / "state") / CURRENT / "manifest.json"
    old = msgspec.json.decode(manifest.read_bytes())
    del old["counts"], old["checksum"]
    manifest.write_bytes(msgspec.json.encode(old | {"format": 1}))
    with pytest.raises(BlocksetError, match="format 2"):
        live(tmp_path / "state")
    assert refresh(tmp_path / "state", feed)["a"].loaded
    assert blockers(tmp_path / "state", "bad.example") == {"a"}
