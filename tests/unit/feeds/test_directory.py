"""Feeds that are directories of files."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from feeds.annotations import NameAnnotation
from feeds.directory import parse_all
from feeds.fetch import Fetched, Unchanged, file
from feeds.fetch.candidate import Candidate
from feeds.pack import MAGIC, MAX_FILES, header
from feeds.refresh import build_once
from feeds.store import FeedStore
from pdns.config.schema import Feed
from pdns.errors import FeedError
from pdns.state.feed_status import FeedStatus
from tests.cost import cpu_s
from tests.fakes.hostile import linked_tar, sparse_tar
from tests.unit.feeds.configs import blockers, configuration, files, kept


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """A hosts file and a list of names, without a line end at its end."""
    directory = tmp_path / "lists"
    directory.mkdir()
    (directory / "b.txt").write_bytes(b"0.0.0.0 hosts.example\n0.0.0.0 192.0.2.1\n")
    (directory / "a.txt").write_bytes(b"plain.example\n||odd^\nbad..name\n")
    return directory


def feed_of(directory: Path, **more: object) -> Feed:
    return Feed(name="lists", url=directory.as_uri(), **more)  # type: ignore[arg-type]


def refresh(tmp_path: Path, feed: Feed) -> FeedStatus:
    return build_once(configuration(tmp_path / "state", feed)).feeds["lists"]


def test_all_files_are_one_list(tmp_path: Path, lists: Path) -> None:
    """Each is read in its own format. Examples of skipped lines name the file. No unfinished file stays."""
    said = refresh(tmp_path, feed_of(lists))
    assert (said.last_error, said.entries, said.format) == ("", 2, "mixed")
    assert blockers(tmp_path / "state", "hosts.example") == {"lists"}
    assert blockers(tmp_path / "state", "plain.example") == {"lists"}
    assert any(example.startswith("a.txt, line 3: bad..name") for odd in said.odd.values() for example in odd.examples)
    assert not list(tmp_path.rglob("*.tmp"))
    assert refresh(tmp_path, feed_of(lists)).last_result == "unchanged"


def test_what_is_no_list_is_left_out(tmp_path: Path, lists: Path) -> None:
    """Hidden, unfinished and backup files, and directories below, are not read; a link to a file is."""
    for name in (".hidden", "c.txt~", "d.tmp", ".e.swp"):
        (lists / name).write_bytes(b"left-out.example\n")
    (lists / "below").mkdir()
    (lists / "below" / "f.txt").write_bytes(b"left-out.example\n")
    (tmp_path / "target").write_bytes(b"linked.example\n")
    (lists / "g.txt").symlink_to(tmp_path / "target")
    (lists / "empty.txt").touch()
    assert [path.name for path, _ in file.members(lists)] == ["a.txt", "b.txt", "empty.txt", "g.txt"]
    assert refresh(tmp_path, feed_of(lists)).entries == 3
    assert blockers(tmp_path / "state", "linked.example") == {"lists"}
    assert not blockers(tmp_path / "state", "left-out.example")


def test_a_file_name_may_be_any_bytes(tmp_path: Path, lists: Path) -> None:
    """Names that are not UTF-8, or would act on a terminal, are shown spelled out, in what was odd and in errors."""
    strange = os.fsdecode(b"\xa2\x1b[31m.txt")
    (lists / strange).write_bytes(b"strange.example\n||odd^\n")
    said = refresh(tmp_path, feed_of(lists))
    assert (said.last_error, said.entries) == ("", 3)
    assert any(example.startswith("\\xa2\\x1b[31m.txt, line 2") for odd in said.odd.values() for example in odd.examples)
    (lists / strange).write_bytes(b"<html>")
    assert refresh(tmp_path, feed_of(lists)).last_error == "\\xa2\\x1b[31m.txt: a web page, not a list"
    assert file._changed(lists / strange).startswith(f"{lists}/??[31m.txt: changed while")


def test_any_change_is_noticed(lists: Path) -> None:
    """A file that is new, gone, renamed, longer or touched changes what `look` returns; a second look does not."""
    seen = [file.look(lists)]
    assert file.look(lists) == seen[0]
    (lists / "c.txt").write_bytes(b"c.example\n")
    seen.append(file.look(lists))
    (lists / "c.txt").rename(lists / "d.txt")
    seen.append(file.look(lists))
    (lists / "d.txt").write_bytes(b"c.example\nd.example\n")
    seen.append(file.look(lists))
    os.utime(lists / "d.txt", ns=(1, 1))
    seen.append(file.look(lists))
    (lists / "d.txt").unlink()
    assert len(set(seen)) == 5
    assert file.look(lists) == seen[0]


def test_the_same_files_make_the_same_copy(tmp_path: Path, lists: Path) -> None:
    """Times and owners do not count: touched files are fetched again, and are what they were."""
    feed = feed_of(lists)
    first = file.fetch(feed, lists, None, tmp_path / "new")
    assert isinstance(file.fetch(feed, lists, first.validators, tmp_path / "again"), Unchanged)
    os.utime(lists / "a.txt", ns=(1, 1))
    second = file.fetch(feed, lists, first.validators, tmp_path / "again")
    assert isinstance(first, Fetched)
    assert isinstance(second, Fetched)
    assert first.sha256 == second.sha256


def test_one_bad_file_holds_all(tmp_path: Path, lists: Path) -> None:
    """An error page among them changes nothing, and is named; so are too many bytes, an empty directory, and none."""
    refresh(tmp_path, feed_of(lists))
    before = files(tmp_path / "state" / "feeds")
    (lists / "c.txt").write_bytes(b"<!DOCTYPE html><html></html>")
    assert refresh(tmp_path, feed_of(lists)).last_error == "c.txt: a web page, not a list"
    assert "max_bytes = 10" in refresh(tmp_path, feed_of(lists, max_bytes=10)).last_error
    for path in lists.iterdir():
        path.unlink()
    assert refresh(tmp_path, feed_of(lists)).last_error == f"{lists}: no files in it"
    lists.rmdir()
    assert refresh(tmp_path, feed_of(lists)).last_error == f"{lists}: No such file or directory"
    assert files(tmp_path / "state" / "feeds") == before
    assert blockers(tmp_path / "state", "plain.example") == {"lists"}


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path, lists: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer, shorter or otherwise: the whole is refused, and the file named."""
    written = Candidate.write
    for content in (b"longer.example\n" * 1000, b"x", (lists / "b.txt").read_bytes().upper()):

        def write_and_meddle(candidate: Candidate, data: bytes, content: bytes = content) -> None:
            written(candidate, data)
            (lists / "b.txt").write_bytes(content)

        monkeypatch.setattr(Candidate, "write", write_and_meddle)
        (lists / "a.txt").write_bytes(b"plain.example\n" * 2000)  # more than one record of a tar file
        with pytest.raises(FeedError, match=r"b.txt: changed while it was read"):
            file.fetch(feed_of(lists), lists, None, tmp_path / "new")
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", [sparse_tar(1 << 33), linked_tar(b"link"), linked_tar(b"nothing")])
def test_a_file_is_no_directory_whatever_is_in_it(tmp_path: Path, content: bytes) -> None:
    """A tar archive is refused with the next step; what it says of itself is not looked at, and nothing is written."""
    (tmp_path / "list").write_bytes(content)
    feed = Feed(name="lists", url=(tmp_path / "list").as_uri(), max_bytes=1_000_000)
    assert refresh(tmp_path, feed).last_error == "a tar archive, not a list: unpack it, and set url to the directory"
    (tmp_path / "list").write_bytes(MAGIC + header("a.txt", 1 << 40) + b"\nplain.example\n")
    assert refresh(tmp_path, feed).format == "domains"  # lines like any other
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda pack: pack[:-1], "cut short"),
        (lambda pack: pack[: len(MAGIC) + 5], "cut short"),
        (lambda pack: pack[1:], "does not begin as one"),
        (lambda pack: MAGIC + header("a.txt", 1 << 62), "cut short"),
        (lambda pack: MAGIC + header("", 0) * (MAX_FILES + 1), "more than 20,000 files"),
    ],
)
def test_a_damaged_copy_is_refused(tmp_path: Path, lists: Path, damage: Callable[[bytes], bytes], reason: str) -> None:
    """What does not hold together is not read, however much it says that there is."""
    feed = feed_of(lists)
    file.fetch(feed, lists, None, tmp_path / "new")
    (tmp_path / "new").write_bytes(damage((tmp_path / "new").read_bytes()))
    with pytest.raises(FeedError, match=f"its copy is damaged .*{reason}"):
        parse_all(tmp_path / "new", feed)


def test_packed_files_are_bounded_together(tmp_path: Path, lists: Path) -> None:
    """Files that each unpack to less than max_bytes must not come to more than that together."""
    for number in range(3):
        (lists / f"{number}.gz").write_bytes(gzip.compress(b"x.example\n" * 60_000))
    assert refresh(tmp_path, feed_of(lists, max_bytes=1_000_000)).last_error == "more than 1000000 bytes when unpacked"
    assert refresh(tmp_path, feed_of(lists, max_bytes=2_000_000)).last_error == ""


def test_what_is_in_a_directory_cannot_make_it_wait(tmp_path: Path, lists: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipes and devices are no lists; a file that becomes one, after the directory was looked at, is an error at once."""
    os.mkfifo(lists / "pipe")
    (lists / "device").symlink_to("/dev/zero")
    (lists / "loop").symlink_to("loop")
    assert [path.name for path, _ in file.members(lists)] == ["a.txt", "b.txt"]
    (lists / "sparse.txt").touch()
    os.truncate(lists / "sparse.txt", 1 << 40)
    with pytest.raises(FeedError, match="max_bytes"):
        file.fetch(feed_of(lists), lists, None, tmp_path / "new")
    (lists / "sparse.txt").unlink()
    found = file.members(lists)
    monkeypatch.setattr(file, "members", lambda _: found)
    (lists / "b.txt").unlink()
    os.mkfifo(lists / "b.txt")
    with pytest.raises(FeedError, match=r"b.txt: a pipe, not a regular file"):
        file.fetch(feed_of(lists), lists, None, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_too_many_files(tmp_path: Path, lists: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of files is bounded."""
    monkeypatch.setattr(file, "MAX_FILES", 1)
    with pytest.raises(FeedError, match="2 files, more than 1: put them together"):
        file.fetch(feed_of(lists), lists, None, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_looking_is_cheap(tmp_path: Path) -> None:
    """Each of three thousand files costs a few times as much as asking the kernel for it, and no more."""
    for number in range(3000):
        (tmp_path / f"{number}.txt").touch()

    def ask_only() -> None:
        with os.scandir(tmp_path) as entries:
            assert sum(entry.stat().st_size for entry in entries) == 0

    assert cpu_s(lambda: file.look(tmp_path)) < 12 * cpu_s(ask_only)


def test_facts_of_all_files_are_kept(tmp_path: Path, lists: Path) -> None:
    """What files say of a name is kept; of two the one that holds longest."""
    pattern = "[domain-name:value = 'stix.example']"
    for name, end in (("x.json", "2026-01-01"), ("y.json", "2026-03-01"), ("z.json", "2026-02-01")):
        indicator = {"type": "indicator", "pattern": pattern, "name": name, "valid_until": end}
        (lists / name).write_text(json.dumps({"type": "bundle", "objects": [indicator]}))
    feed = feed_of(lists)
    assert refresh(tmp_path, feed).last_error == ""
    copy = kept(tmp_path / "state", feed)
    assert copy is not None
    parsed = parse_all(FeedStore(tmp_path / "state/feeds/lists").raw_path(copy), feed)
    (number,) = parsed.detail_of.values()
    assert parsed.details[number] == NameAnnotation(threat="y.json", expires_s=1772323200.0)
