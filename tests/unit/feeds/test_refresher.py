"""A feed's last-good copy: when it is fetched again, when it is only read again, and when it belongs to another source."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from feeds.entries import Entries, whole, write_entries
from feeds.refresh import build_once
from feeds.store import RECORD
from pdns.blockset.annotations import DAY_S
from pdns.config.schema import Feed
from tests.unit.feeds.configs import blockers, configuration, kept, live
from tests.unit.feeds.feedserver import FeedServer
from tests.unit.feeds.prepared import GOOD, Prepared, Served, refresh


@pytest.mark.long
def test_only_what_changed_is_parsed_again(two_feeds: Served, tmp_path: Path) -> None:
    """A new version of one list leaves the parsed entries of the other alone."""
    untouched = {path: path.stat().st_mtime_ns for path in (tmp_path / "feeds" / "b").glob("*.parsed")}
    two_feeds.server.serve("/a", b"new.example\n")
    refresh(tmp_path, *two_feeds.feeds)
    assert blockers(tmp_path, "new.example") == {"a"}
    assert not blockers(tmp_path, "a.example")
    assert untouched
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "feeds" / "b").glob("*.parsed")} == untouched


@pytest.mark.long
def test_damaged_entries_are_parsed_again(two_feeds: Served, tmp_path: Path) -> None:
    """The parsed entries are a cache: when they cannot be read, the copy itself is."""
    two_feeds.server.serve("/a", b"a.example\n")
    (parsed,) = (tmp_path / "feeds" / "a").glob("*.parsed")
    parsed.write_bytes(parsed.read_bytes()[:-1] + b"?")
    two_feeds.server.serve("/b", b"new.example\n")
    refresh(tmp_path, *two_feeds.feeds)
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


def test_another_url_is_another_source(one_feed: Served, tmp_path: Path) -> None:
    """Until a new URL delivers the feed is not loaded, yet what the old one listed goes on blocking; then it is gone."""
    server, old = one_feed.server, one_feed.feed
    new = msgspec.structs.replace(old, url=server.url("/new"))
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


def test_entries_of_another_program_are_not_used(one_feed_offline: Prepared, tmp_path: Path) -> None:
    """After an upgrade that reads lists otherwise, the copy is read again; no network needed."""
    feed, generation = one_feed_offline.feed, one_feed_offline.status.generation
    copy = kept(tmp_path, feed)
    assert copy is not None
    old = msgspec.structs.replace(copy, reading=msgspec.structs.replace(copy.reading, reader="0.0.1", entries=77))
    (tmp_path / "feeds" / "sample" / RECORD).write_bytes(msgspec.json.encode(old))
    (tmp_path / "feeds" / "sample" / old.reading.parsed).write_bytes(b"of another form")
    (tmp_path / "feeds" / "compiled.json").unlink()
    status = build_once(configuration(tmp_path, feed))
    assert (status.generation, status.feeds["sample"].entries) == (generation + 1, 2)
    assert kept(tmp_path, feed) == msgspec.structs.replace(copy, last_success_s=copy.last_success_s)


@pytest.mark.long
def test_the_first_day_stays(one_feed: Served, tmp_path: Path) -> None:
    """A new copy of a list, and the same one under a new url, keep the day on which each name was first seen."""
    server = one_feed.server
    (path,) = (tmp_path / "feeds" / "sample").glob("*.parsed")
    write_entries(path, whole(Entries(path)), None, 100, 0)
    server.serve("/sample", GOOD + b"third.example\n")
    server.serve("/moved", GOOD + b"fourth.example\n")
    for url, last in (("/sample", "third"), ("/moved", "fourth")):
        refresh(tmp_path, msgspec.structs.replace(one_feed.feed, url=server.url(url)))
        (path,) = (tmp_path / "feeds" / "sample").glob("*.parsed")
        days = {
            key.rpartition(b"example")[2][1:]: day
            for block in Entries(path).names()
            for key, day in zip(block.keys, block.first_days, strict=True)
        }
        assert days[b"bad"] == days[b"worse"] == 100
        assert days[last.encode()] == int(time.time() // DAY_S)
