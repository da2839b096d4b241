"""Names that their publisher lists for some time only."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from feeds.annotations import NameAnnotation
from feeds.entries import Entries, whole, write_entries
from feeds.refresh import publishing
from feeds.scheduler import Scheduler
from pdns.config.schema import Feed
from tests.unit.feeds.configs import blockers, configuration, live


def test_names_leave_when_their_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An expired name is live until a new blockset may be made, and gone after; nothing is fetched or parsed for it."""
    (tmp_path / "list").write_text("bad.example\nworse.example\n")
    feed = Feed(name="a", url=f"file://{tmp_path}/list")

    async def run() -> None:
        scheduler = Scheduler(tmp_path / "state")
        async with publishing(scheduler):
            await in_force(scheduler)

    async def in_force(scheduler: Scheduler) -> None:
        await scheduler.configure(configuration(tmp_path / "state", feed))
        await scheduler.refresh_once()
        (path,) = (tmp_path / "state" / "feeds" / "a").glob("*.parsed")
        entries = whole(Entries(path))
        until = NameAnnotation("Emotet", expires_s=time.time() + 0.5)
        key = next(key for key in entries.names if b"worse" in key)
        write_entries(path, msgspec.structs.replace(entries, details=[until], detail_of={key: 0}), None, 1, 1)
        await scheduler.configure(configuration(tmp_path / "state", msgspec.structs.replace(feed, category="phishing")))
        assert blockers(tmp_path / "state", "worse.example") == {"a"}
        generation = live(tmp_path / "state").generation
        await asyncio.sleep(0.6)
        scheduler.expire()
        assert not scheduler._publisher._dirty.is_set(), "too soon after the last"
        assert live(tmp_path / "state").generation == generation
        monkeypatch.setattr("feeds.live_blockset.EXPIRY_EVERY_S", 0.0)
        scheduler.expire()
        assert scheduler._publisher._dirty.is_set()
        await scheduler._publisher.published()
        assert blockers(tmp_path / "state", "worse.example") == set()
        assert blockers(tmp_path / "state", "bad.example") == {"a"}
        assert (scheduler.status().feeds["a"].entries, scheduler.status().feeds["a"].expired_entries) == (1, 1)
        scheduler.expire()
        assert not scheduler._publisher._dirty.is_set()
        await scheduler._publisher.published()
        assert live(tmp_path / "state").generation == generation + 1

    asyncio.run(run())
