"""The live blockset: built again when it is damaged, old or lost, and cleared of feeds that are no longer configured."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from feeds.refresh import build_once
from pdns.blockset.generations import CURRENT, blocksets_directory
from pdns.errors import BlocksetError
from tests.unit.feeds.configs import blockers, configuration, live
from tests.unit.feeds.prepared import Prepared, Served, refresh


def test_blocksets_survive_the_feeds(one_feed_offline: Prepared, tmp_path: Path) -> None:
    """With every source gone, all is built again from the last-good copies, at a higher generation."""
    shutil.rmtree(tmp_path / "blocksets")
    status = build_once(configuration(tmp_path, one_feed_offline.feed))
    assert status.generation > one_feed_offline.status.generation
    assert status.feeds["sample"].loaded
    assert "no connection" in status.feeds["sample"].last_error
    assert blockers(tmp_path, "bad.example") == {"sample"}


@pytest.mark.parametrize("file", ["bloom.bin", "names.bin", "manifest.json"])
def test_a_damaged_blockset_is_built_anew(one_feed_offline: Prepared, tmp_path: Path, file: str) -> None:
    """A blockset that is not what its manifest says is replaced at the next start, without a network."""
    damaged = blocksets_directory(tmp_path) / CURRENT / file
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    refresh(tmp_path, one_feed_offline.feed)
    assert blockers(tmp_path, "bad.example") == {"sample"}


@pytest.mark.long
def test_lost_copies_are_asked_for_before_their_names_are_given_up(two_feeds: Served, tmp_path: Path) -> None:
    """Without its directory a feed is fetched first; until that was tried, its names stay live."""
    shutil.rmtree(tmp_path / "feeds")
    seen_live: list[set[str]] = []

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.5)
        seen_live.append(blockers(tmp_path, "a.example"))
        return web.Response(body=b"a.example\n")

    two_feeds.server.pages["/a"] = slow
    refresh(tmp_path, *two_feeds.feeds)
    assert seen_live == [{"a"}]
    assert blockers(tmp_path, "a.example") == {"a"}


def test_unfinished_work_is_cleared_away(one_feed: Served, tmp_path: Path) -> None:
    """What a killed process left half done goes at the next start, even when nothing new is built."""
    whole = sorted(path.name for path in tmp_path.rglob("*"))
    (tmp_path / "blocksets" / ".building-9-1").mkdir()
    (tmp_path / "blocksets" / ".building-9-1" / "names.bin").write_bytes(b"half")
    (tmp_path / "feeds" / "sample" / "1-0.tmp").write_bytes(b"half")
    (tmp_path / "feeds.json.tmp").write_bytes(b"half")
    refresh(tmp_path, one_feed.feed)
    assert sorted(path.name for path in tmp_path.rglob("*")) == whole


@pytest.mark.long
def test_a_feed_that_is_no_longer_configured_leaves_no_trace(two_feeds: Served, tmp_path: Path) -> None:
    """Its names are in no blockset, its directory is gone."""
    stays, _goes = two_feeds.feeds
    refresh(tmp_path, stays)
    assert blockers(tmp_path, "a.example") == {"a"}
    assert not blockers(tmp_path, "b.example")
    assert [path.name for path in (tmp_path / "feeds").iterdir() if path.is_dir()] == ["a"]
    refresh(tmp_path)
    assert live(tmp_path).entries == 0


def test_a_blockset_of_an_earlier_form_is_built_anew(one_feed: Served, tmp_path: Path) -> None:
    """The blockset of an earlier version is replaced at the next start; until then reading it raises `BlocksetError`."""
    manifest = blocksets_directory(tmp_path) / CURRENT / "manifest.json"
    old = msgspec.json.decode(manifest.read_bytes())
    del old["counts"], old["checksum"]
    manifest.write_bytes(msgspec.json.encode(old | {"format": 1}))
    with pytest.raises(BlocksetError, match="format 4"):
        live(tmp_path)
    assert refresh(tmp_path, one_feed.feed)["sample"].loaded
    assert blockers(tmp_path, "bad.example") == {"sample"}
