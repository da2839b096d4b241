"""Files that are there and cannot be read, as after a restore by root: nothing is written over them, and what they say counts
once they can be read.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from feeds.activation import Activation
from feeds.commands import CommandRunner
from feeds.publisher import Publisher
from feeds.quarantine import Quarantine
from feeds.quarantine_commands import QuarantineCommands
from feeds.refresher import FeedRefresher
from feeds.refusals import RefusedError
from feeds.store import RECORD, FeedStore
from feeds.suffixes import is_public_suffix
from pdns.config.schema import Feed
from pdns.files import records
from pdns.files.records import SECOND_COPY, LockedError
from pdns.state import feed_hits, overrides
from pdns.state.commands import Command
from pdns.state.feed_hits import FeedHits, HitBook, Hits
from pdns.state.overrides import Overrides
from tests.unit.feeds.test_commands import Feeds
from tests.unit.feeds.test_store import URL, content, keep

OWNER = 12345
is_public_suffix("é.example")  # reads its list and codecs when it is first asked, which another user may not do below /root

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to somebody else")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A directory of a user who is not root; the test runs as that user."""
    directory = Path(tempfile.mkdtemp(prefix="pdns-unreadable-", dir="/var/tmp"))
    os.chown(directory, OWNER, OWNER)
    os.seteuid(OWNER)
    try:
        yield directory
    finally:
        os.seteuid(0)
        shutil.rmtree(directory)


@contextmanager
def root() -> Iterator[None]:
    os.seteuid(0)
    try:
        yield
    finally:
        os.seteuid(OWNER)


def lock(*paths: Path) -> None:
    """As root restores them."""
    with root():
        for path in paths:
            os.chown(path, 0, 0)
            path.chmod(0o600)


def unlock(*paths: Path) -> None:
    with root():
        for path in paths:
            os.chown(path, OWNER, OWNER)


def both(path: Path) -> tuple[Path, Path]:
    return path, path.with_name(path.name + SECOND_COPY)


def raw_content(*paths: Path) -> list[bytes]:
    with root():
        return [path.read_bytes() for path in paths]


def test_local_entries_stay_until_they_can_be_read(state: Path) -> None:
    """Commands are refused with the file and the command that mends it, and nothing is shown as in force. Afterwards all is."""
    block = Command(command="block", user="ann", name="x.example", reason="x")
    assert asyncio.run(CommandRunner(state, Feeds()).carry_out(block)).done
    files = both(state / overrides.FILE_NAME)
    before = raw_content(*files)
    lock(*files)
    runner = CommandRunner(state, Feeds())
    assert runner.overrides() == Overrides()
    with pytest.raises(LockedError, match="As root: chown"):
        overrides.read(state)
    for order in (block, Command(command="allow", user="ann", name="y.example", reason="y")):
        outcome = asyncio.run(runner.carry_out(order))
        assert not outcome.done
        assert outcome.text.startswith(f"nothing is changed: {files[0]}: cannot be read (Permission denied). As root: chown ")
        assert outcome.text.endswith(f"--reference={state} {files[0]}")
    runner.mend()
    assert raw_content(*files) == before
    unlock(*files)
    assert asyncio.run(runner.look())
    assert [entry.name for entry in runner.overrides().indicators] == ["x.example"]
    assert asyncio.run(runner.carry_out(Command(command="allow", user="ann", name="y.example", reason="y"))).done
    assert {entry.name for entry in overrides.read(state).indicators} == {"x.example", "y.example"}


def test_a_second_copy_that_cannot_be_read_stays(state: Path) -> None:
    """The file itself is written."""
    block = Command(command="block", user="ann", name="x.example", reason="x")
    runner = CommandRunner(state, Feeds())
    assert asyncio.run(runner.carry_out(block)).done
    file, second = both(state / overrides.FILE_NAME)
    before = raw_content(second)
    lock(second)
    assert asyncio.run(runner.carry_out(Command(command="remove", user="ann", name="x.example", reason="x"))).done
    assert raw_content(second) == before != raw_content(file)


def test_decisions_about_a_feed_stay_until_they_can_be_read(state: Path) -> None:
    """What was frozen is frozen again, and no new decision takes its place meanwhile."""
    store = FeedStore(state / "feed")
    store.prepare()
    Quarantine(store, URL).freeze("a reason")
    files = both(store.directory / "hold.json")
    before = raw_content(*files)
    lock(*files)
    quarantine = Quarantine(store, URL)
    assert quarantine.frozen == ""
    with pytest.raises(LockedError, match=r"hold\.json: cannot be read"):
        quarantine.freeze("another reason")
    with pytest.raises(LockedError, match=r"hold\.json: cannot be read"):
        quarantine.require_known()
    quarantine.mend()
    assert raw_content(*files) == before
    unlock(*files)
    assert quarantine.damaged
    quarantine.mend()
    assert quarantine.frozen == "a reason"
    assert raw_content(*files) == before


def test_a_release_of_everything_names_the_feeds_that_it_leaves_out(state: Path) -> None:
    """The others are released. The answer has the file and the command that mends it, and the feed is released afterwards."""
    feeds = [Feed(name=name, url=URL) for name in ("one", "two")]
    for feed in feeds:
        Quarantine(FeedStore(state / feed.name), URL).freeze("ticket 1")
    files = both(state / "two" / "hold.json")
    lock(*files)
    refreshers = {feed.name: FeedRefresher(feed, state / feed.name, Counter()) for feed in feeds}

    async def built() -> bool:
        return True

    async def release_all() -> str:
        publisher = Publisher(built)
        loop = asyncio.get_running_loop().create_task(publisher.run())
        try:
            return await QuarantineCommands(lambda: refreshers, publisher, Activation(state)).release_all("", "", "")
        finally:
            loop.cancel()
            await asyncio.wait([loop])

    reason = f"feed two: nothing is released: {files[0]}: cannot be read (Permission denied). As root: chown "
    for count in ("1 update, 0 names", "0 updates, 0 names"):
        with pytest.raises(RefusedError) as refused:
            asyncio.run(release_all())
        assert str(refused.value).startswith(f"released: {count}; {reason}")
        assert refreshers["one"].quarantine.frozen == ""
    unlock(*files)
    refreshers["two"].quarantine.mend()
    assert asyncio.run(release_all()) == "released: 1 update, 0 names"


@pytest.mark.parametrize(
    "names", [(RECORD, RECORD + SECOND_COPY), ("one.raw",), ("one.parsed",)], ids=["record", "list", "entries"]
)
def test_a_last_good_copy_stays_until_it_can_be_read(state: Path, names: tuple[str, ...]) -> None:
    """It is not used, nothing of it is removed or replaced, and a refresh says what to do."""
    copy = keep(FeedStore(state / "feed"), "one")
    files = sorted((state / "feed").iterdir())
    before = raw_content(*files)
    lock(*(state / "feed" / name for name in names))
    store = FeedStore(state / "feed")
    assert store.load() is None
    store.tidy(None)
    with pytest.raises(LockedError, match="As root: chown"):
        store.prepare()
    assert content(state / "feed") == {path.name for path in files}
    assert raw_content(*files) == before
    unlock(*(state / "feed" / name for name in names))
    assert store.load() == copy
    store.prepare()


def test_hits_stay_until_they_can_be_read(state: Path) -> None:
    """What was counted meanwhile is added to them."""
    HitBook(state, 5.0).write(Hits(since_s=5.0, feeds={"a": FeedHits(7, 3)}, names={1: 2}))
    files = both(state / feed_hits.FILE_NAME)
    before = raw_content(*files)
    lock(*files)
    book = HitBook(state, 9.0)
    book.saw([8], 86400.0)
    book.write(book.state([], 10.0))
    assert raw_content(*files) == before
    unlock(*files)
    for now_s in (11.0, 12.0):
        book.write(book.state([], now_s))
    found = feed_hits.read(state)
    assert found is not None
    assert (found.since_s, found.feeds, found.names) == (5.0, {"a": FeedHits(7, 3)}, {1: 2, 8: 1})


def test_a_disk_that_cannot_read_is_no_reason_to_write() -> None:
    """An error of the disk is told from missing rights: no command of root's would help."""
    with pytest.raises(LockedError, match=r"cannot be read \(Input/output error\)\. Check the disk"):
        records.require_readable(Path(f"/proc/{os.getpid()}/mem"))


def test_a_file_of_another_user_is_not_replaced_without_a_second_copy(state: Path) -> None:
    """It can be read, but its owner may not write here: a restore from another machine. With a second copy that is ours it is
    put aside, and the second copy counts.
    """
    block = Command(command="block", user="ann", name="x.example", reason="x")
    assert asyncio.run(CommandRunner(state, Feeds()).carry_out(block)).done
    file, second = both(state / overrides.FILE_NAME)
    before = raw_content(file, second)
    with root():
        for path in (file, second):
            os.chown(path, OWNER + 1, OWNER + 1)
    runner = CommandRunner(state, Feeds())
    outcome = asyncio.run(runner.carry_out(block))
    assert not outcome.done
    assert "it belongs to user 12346, who may not write in this directory" in outcome.text
    assert raw_content(file, second) == before
    unlock(second)
    runner = CommandRunner(state, Feeds())
    assert [entry.name for entry in runner.overrides().indicators] == ["x.example"]
    assert len(list(state.glob("overrides.json.damaged-*"))) == 1
