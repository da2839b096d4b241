"""What is live stays live when the files that it was made of are lost, and no source answers."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import msgspec
import pytest

from feeds.activation import RECORD
from feeds.refresh import build_once, carry_out_once, publishing
from feeds.refresher import FeedRefresher
from feeds.scheduler import Scheduler
from pdns.blockset.annotations import Annotations
from pdns.blockset.generations import all_generations, blocksets_directory, current_generation
from pdns.blockset.layout import MANIFEST_FILE
from pdns.blockset.reader import Blockset
from pdns.config.schema import Feed
from pdns.files.safe_files import remove
from pdns.state.commands import Command, Outcome
from pdns.state.feed_status import FeedsStatus
from pdns.wire.names import from_text
from tests.unit.feeds.configs import blockers, configuration, live

pytestmark = pytest.mark.long

LIST = "bad.example\n*.below.example\n192.0.2.77\n198.51.100.0/24\n2001:db8:1::/48\n"


class Lists:
    """Lists in files, and a state directory."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path
        self.state = tmp_path / "state"
        (tmp_path / "lists").mkdir()
        self.feeds: list[Feed] = []

    def add(self, name: str, text: str, **keys: object) -> None:
        self.file(name).write_text(text)
        self.feeds.append(Feed(name=name, url=self.file(name).as_uri(), **keys))  # type: ignore[arg-type]  # of Feed

    def file(self, name: str) -> Path:
        return self.path / "lists" / name

    def refresh(self) -> FeedsStatus:
        return build_once(configuration(self.state, *self.feeds))

    def start(self, in_memory: int) -> Scheduler:
        """As the process does, up to its first fetch."""

        async def configure() -> Scheduler:
            scheduler = Scheduler(self.state, in_memory=in_memory)
            async with publishing(scheduler):
                await scheduler.configure(configuration(self.state, *self.feeds))
            return scheduler

        return asyncio.run(configure())

    def lose_source(self, name: str) -> None:
        self.file(name).unlink()

    def lose_copy(self, name: str, but: str = "") -> None:
        """All that is kept of it: the record, its second copy, the list, its entries. The file `but` stays."""
        for path in (self.state / "feeds" / name).iterdir():
            if path.name != but:
                path.unlink()

    def carry_out(self, command: Command) -> Outcome:
        return asyncio.run(carry_out_once(configuration(self.state, *self.feeds), command))


@pytest.fixture
def lists(tmp_path: Path) -> Lists:
    lists = Lists(tmp_path)
    lists.add("one", LIST, addresses=True)
    return lists


def listed(blockset: Blockset) -> tuple[object, ...]:
    """All that a blockset says, and what is known of it."""
    facts = Annotations(blockset)
    names = sorted(blockset.listings())
    return (
        names,
        [facts.of(listing) for listing in names],
        [blockset.lookup_address(bytes((192, 0, 2, 77))), blockset.lookup_address(bytes((198, 51, 100, 9)))],
        blockset.lookup_address(bytes.fromhex("20010db80001") + bytes(10)),
    )


def test_a_blockset_outlives_every_copy(lists: Lists, caplog: pytest.LogCaptureFixture) -> None:
    """The only feed's files are gone and its source is, too: no name leaves the blockset, and that is said."""
    lists.refresh()
    before = listed(live(lists.state))
    lists.lose_source("one")
    lists.lose_copy("one")
    for _ in range(2):
        status = lists.refresh()
        assert listed(live(lists.state)) == before
        assert status.feeds["one"].lost
        assert status.feeds["one"].loaded
        assert status.feeds["one"].entries == 2
        lost = "its names stay blocked from the blockset until the source answers again"
        assert f"feed one: its files are lost: {lost}" in caplog.text
    assert current_generation(lists.state) == 1


def test_the_feeds_beside_it_are_brought_up_to_date(lists: Lists) -> None:
    """Another feed changes, again and again: the lost one's names, networks and annotations move on into each new blockset."""
    lists.add("two", "first.example\nbad.example\n")
    lists.refresh()
    before = listed(live(lists.state))
    lists.lose_source("one")
    lists.lose_copy("one")
    for number in range(3):
        lists.file("two").write_text(f"first.example\nbad.example\nnew{number}.example\n")
        status = lists.refresh()
        assert blockers(lists.state, f"new{number}.example") == {"two"}
        assert blockers(lists.state, "bad.example") == {"one", "two"}
        assert blockers(lists.state, "x.below.example") == {"one"}
        assert not status.feeds["two"].lost
    after = listed(live(lists.state))
    assert after[2:] == before[2:]
    mine = {listing for listing in live(lists.state).listings() if listing.feed == "one"}
    assert len(mine) == 2


def test_it_ends_when_the_source_delivers(lists: Lists) -> None:
    """Then the source alone counts."""
    lists.refresh()
    lists.lose_source("one")
    lists.lose_copy("one")
    lists.refresh()
    lists.file("one").write_text("other.example\nbad.example\n")
    status = lists.refresh()
    assert not status.feeds["one"].lost
    assert blockers(lists.state, "other.example") == {"one"}
    assert blockers(lists.state, "x.below.example") == set()


@pytest.mark.parametrize("held_before", [False, True], ids=["at once", "after it was held as an update"])
def test_a_held_feed_gets_its_copy_back(lists: Lists, monkeypatch: pytest.MonkeyPatch, held_before: bool) -> None:
    """Its updates are held by command. Content that is in force is no update: it becomes the copy again, and a change is held."""
    lists.refresh()
    assert lists.carry_out(Command(command="hold", user="ann", feed="one", reason="ticket 1")).done
    lists.lose_copy("one", but="hold.json")
    if held_before:
        with monkeypatch.context() as earlier:
            earlier.setattr(FeedRefresher, "_is_accepted", lambda *_: False)
            assert lists.refresh().feeds["one"].lost
    status = lists.refresh().feeds["one"]
    assert (status.lost, status.loaded, status.last_result, status.held_update) == (False, True, "updated", None)
    assert blockers(lists.state, "bad.example") == {"one"}
    lists.file("one").write_text("other.example\nbad.example\n")
    status = lists.refresh().feeds["one"]
    assert (status.lost, status.last_result, status.frozen) == (False, "held", "ticket 1")
    assert blockers(lists.state, "x.below.example") == {"one"}


def test_a_held_feed_that_lost_its_copy_holds_other_content(lists: Lists) -> None:
    """What its source says instead of what is in force is an update, and waits."""
    lists.refresh()
    assert lists.carry_out(Command(command="hold", user="ann", feed="one", reason="ticket 1")).done
    lists.lose_copy("one", but="hold.json")
    lists.file("one").write_text("other.example\n")
    status = lists.refresh().feeds["one"]
    assert (status.lost, status.last_result) == (True, "held")
    assert blockers(lists.state, "other.example") == set()
    assert blockers(lists.state, "bad.example") == {"one"}


def test_a_feed_that_is_no_longer_configured_is_not_kept(lists: Lists) -> None:
    """An administrator takes it out of the configuration: its names go, lost files or not."""
    lists.add("two", "first.example\n")
    lists.refresh()
    lists.lose_source("one")
    lists.lose_copy("one")
    lists.feeds.pop(0)
    lists.refresh()
    assert blockers(lists.state, "bad.example") == set()
    assert blockers(lists.state, "first.example") == {"two"}


def test_the_blockset_before_will_do(lists: Lists) -> None:
    """The live one is damaged, too: what is lost is taken from the one before it."""
    lists.add("two", "first.example\n")
    lists.refresh()
    lists.file("two").write_text("second.example\n")
    lists.refresh()
    lists.lose_source("one")
    lists.lose_copy("one")
    (blocksets_directory(lists.state) / "2" / "names.bin").write_bytes(b"damaged")
    lists.refresh()
    assert current_generation(lists.state) > 2
    assert blockers(lists.state, "bad.example") == {"one"}
    assert blockers(lists.state, "second.example") == {"two"}
    assert live(lists.state).lookup(from_text("first.example")) == ()


@pytest.mark.parametrize("record", [True, False])
def test_an_empty_blockset_takes_no_place(lists: Lists, record: bool) -> None:
    """No blockset is whole and no copy is left: none is made of nothing, for it would look as if all were well."""
    lists.refresh()
    lists.lose_source("one")
    lists.lose_copy("one")
    (blocksets_directory(lists.state) / "1" / "names.bin").write_bytes(b"damaged")
    if not record:
        remove(lists.state / "feeds" / "compiled.json")
    status = lists.refresh()
    assert current_generation(lists.state) == 1
    assert not status.feeds["one"].loaded
    assert "no new blockset" in status.feeds["one"].last_error
    lists.file("one").write_text("bad.example\n")
    lists.refresh()
    assert blockers(lists.state, "bad.example") == {"one"}


def test_what_can_be_had_is_made_when_nothing_else_is_left(lists: Lists) -> None:
    """At a start without any whole blockset, the feeds that have copies go live without the one that is lost."""
    lists.add("two", "first.example\n")
    lists.refresh()
    lists.lose_source("one")
    lists.lose_copy("one")
    shutil.rmtree(blocksets_directory(lists.state) / "1")
    lists.refresh()
    assert blockers(lists.state, "first.example") == {"two"}


def make_of_another_format(state: Path) -> int:
    """The live blockset, as another version of the program would have made it, and none before it. Its generation."""
    generation = current_generation(state)
    for earlier in set(all_generations(state)) - {generation}:
        remove(blocksets_directory(state) / str(earlier))
    manifest = blocksets_directory(state) / str(generation) / MANIFEST_FILE
    said = msgspec.json.decode(manifest.read_bytes())
    del said["checksum"]
    manifest.write_bytes(msgspec.json.encode({**said, "format": 99}))
    (state / "feeds" / RECORD).unlink()  # its form may be another one, too
    return generation


@pytest.mark.parametrize("held", [True, False], ids=["workers have it in memory", "no worker has it in memory"])
def test_the_blockset_of_another_version_is_made_anew(lists: Lists, held: bool) -> None:
    """One feed has lost its files and its source, another one has never loaded. As long as workers have the names of the lost one
    in memory, none is made without it; else the rest is not kept waiting. The old blockset stays on the disk in any case.
    """
    lists.add("two", "first.example\n")
    lists.refresh()
    lists.feeds.append(Feed(name="never", url=lists.file("never").as_uri()))
    lists.lose_source("one")
    lists.lose_copy("one")
    generation = make_of_another_format(lists.state)
    scheduler = lists.start(in_memory=generation if held else 0)
    if held:
        assert current_generation(lists.state) == generation
        assert scheduler.status().generation == 0
    else:
        assert blockers(lists.state, "first.example") == {"two"}
        assert scheduler.status().generation == current_generation(lists.state) > generation
    assert (blocksets_directory(lists.state) / str(generation) / MANIFEST_FILE).exists()


def test_a_feed_that_never_loaded_keeps_no_upgrade_waiting(lists: Lists) -> None:
    """Its files are not lost: there were none."""
    lists.refresh()
    lists.feeds.append(Feed(name="never", url=lists.file("never").as_uri()))
    generation = make_of_another_format(lists.state)
    lists.start(in_memory=generation)
    assert blockers(lists.state, "bad.example") == {"one"}
    assert current_generation(lists.state) > generation
