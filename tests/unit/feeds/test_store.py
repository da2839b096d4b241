"""Last-good copies on disk, whatever interrupts their replacement."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import msgspec
import pytest

import feeds
from feeds.fetch import FileStamp, Validators
from feeds.store import READERS, RECORD, Copy, FeedStore, Reading, reader_version, remove_unconfigured
from pdns.files.records import SECOND_COPY
from pdns.files.safe_files import write_whole
from pdns.state.feed_status import SkippedLines

BACKUP = RECORD + SECOND_COPY
URL = "https://lists.example/bad"


def a_copy(content: str, url: str = URL) -> Copy:
    return Copy(
        url=url,
        raw=f"{content}.raw",
        sha256=content,
        size_bytes=len(content),
        validators=Validators(etag='"1"', last_modified="yesterday", stamp=FileStamp(1, 2, 3)),
        last_success_s=2.5,
        last_changed_s=1.5,
        reading=Reading(
            source="s", reader="r", parsed=f"{content}.parsed", format="hosts", lines=3, entries=2, addresses=1,
            odd={"url": SkippedLines(count=1, examples=["line 1: x"])},
        ),
    )  # fmt: skip


def keep(store: FeedStore, content: str) -> Copy:
    store.prepare()
    raw, parsed = store.new_file(), store.new_file()
    raw.write_text(content)
    parsed.write_text(f"entries of {content}")
    store.keep(a_copy(content), raw=raw, parsed=parsed)
    return a_copy(content)


def content(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    """A copy, its entries, its validators and its times survive the process, and nothing else is left in the directory."""
    copy = keep(FeedStore(tmp_path / "feed"), "one")
    store = FeedStore(tmp_path / "feed")
    assert store.load() == copy
    assert store.raw_path(copy).read_text() == "one"
    assert store.parsed_path(copy).read_text() == "entries of one"
    assert content(tmp_path / "feed") == {"one.raw", "one.parsed", RECORD, BACKUP}
    assert (tmp_path / "feed").stat().st_mode & 0o077 == 0


def test_a_new_copy_replaces_the_old(tmp_path: Path) -> None:
    """The old files go when the new ones count."""
    store = FeedStore(tmp_path)
    keep(store, "one")
    assert store.load() == a_copy("one")
    assert keep(store, "two") == store.load()
    assert content(tmp_path) == {"two.raw", "two.parsed", RECORD, BACKUP}


@pytest.mark.parametrize("step", [1, 2, 3])
def test_an_interrupted_replacement_leaves_the_old_copy(tmp_path: Path, step: int) -> None:
    """Before the record is replaced the old copy counts and is whole; what was unfinished goes at the next start."""
    store = FeedStore(tmp_path)
    keep(store, "one")
    raw, parsed = store.new_file(), store.new_file()
    raw.write_text("two")
    parsed.write_text("entries of two")
    if step > 1:
        raw.replace(tmp_path / "two.raw")
    if step > 2:
        parsed.replace(tmp_path / "two.parsed")
    (tmp_path / f"{RECORD}.1.tmp").write_bytes(b'{"url"')
    found = FeedStore(tmp_path)
    assert found.load() == a_copy("one")
    found.tidy(a_copy("one"))
    assert content(tmp_path) == {"one.raw", "one.parsed", RECORD, BACKUP}


def test_work_in_progress_is_not_swept_away(tmp_path: Path) -> None:
    """Keeping one copy does not touch a body that is on trial at the same time."""
    store = FeedStore(tmp_path)
    other = store.new_file()
    other.write_text("on trial")
    keep(store, "one")
    assert other.read_text() == "on trial"


@pytest.mark.parametrize("damage", ["no record", "record cut short", "another form", "copy cut short", "copy missing"])
def test_a_damaged_copy_is_recovered(tmp_path: Path, damage: str) -> None:
    """The record has a second copy. A list that is not whole is not read again, but its entries stay in use."""
    copy = keep(FeedStore(tmp_path), "one")
    record, raw = tmp_path / RECORD, tmp_path / "one.raw"
    match damage:
        case "no record":
            record.unlink()
        case "record cut short":
            record.write_bytes(record.read_bytes()[:-5])
        case "another form":
            record.write_bytes(b'{"url": 5}')
        case "copy cut short":
            raw.write_text("o")
        case _:
            raw.unlink()
    store = FeedStore(tmp_path)
    assert store.load() == copy
    assert store.is_whole(copy) == (damage not in ("copy cut short", "copy missing"))
    assert keep(store, "two") == store.load()


def test_without_a_list_and_its_entries_there_is_no_copy(tmp_path: Path) -> None:
    """What is left of it does not stand in the way of the next one."""
    keep(FeedStore(tmp_path), "one")
    (tmp_path / "one.raw").unlink()
    (tmp_path / "one.parsed").unlink()
    store = FeedStore(tmp_path)
    assert store.load() is None
    assert keep(store, "two") == store.load()


ROOT = Path(feeds.__file__).parents[1]


def run(code: str, root: Path) -> subprocess.CompletedProcess[str]:
    libraries = {"PYTHONPATH": sysconfig.get_path("purelib")}  # without `site`, which may add where the program is installed
    command = [sys.executable, "-S", "-c", code]
    return subprocess.run(command, cwd=root, env=os.environ | libraries, capture_output=True, text=True, check=False)


@pytest.fixture
def source_copy(tmp_path: Path) -> Path:
    """The source of both packages, as it would be installed."""
    for package in ("pdns", "feeds"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


VERSION = "from feeds.store import reader_version; print(reader_version(), end='')"


CHANGE_EACH = """
from pathlib import Path
from feeds.store import READERS, reader_version
for module in READERS:
    place = Path(*module.split("."))
    for path in sorted(place.glob("*.py")) or [place.with_suffix(".py")]:
        path.write_text(path.read_text() + "# changed")
        print(path, reader_version())
"""


def test_a_changed_reader_reads_lists_again(source_copy: Path) -> None:
    """A change to any module that decides what a line means gives another version; so does each module of a package."""
    before = run(VERSION, source_copy).stdout
    assert before == reader_version()
    changed = dict(line.split() for line in run(CHANGE_EACH, source_copy).stdout.splitlines())
    assert len(changed) >= len(READERS) + len(list((ROOT / "feeds/formats").glob("*.py"))) - 1
    assert len({before, *changed.values()}) == len(changed) + 1


@pytest.mark.parametrize("module", ["feeds.formats", "feeds.entries"])
def test_a_missing_reader_is_an_error(source_copy: Path, module: str) -> None:
    """A module or a package that was moved or renamed ends the process, and the message names it and the list to correct."""
    place = source_copy.joinpath(*module.split("."))
    place.rename(place.with_name("moved")) if place.is_dir() else place.with_suffix(".py").unlink()
    done = run(VERSION, source_copy)
    assert done.stdout == ""
    assert done.returncode == 1
    assert f"feeds.store: READERS names {module}, which does not exist" in done.stderr


def test_all_code_that_reads_lists_is_in_the_version() -> None:
    """Every module of `feeds` that a parser imports, directly or not, is part of the version."""
    loaded = run("import sys, feeds.parse, feeds.directory, feeds.entries; print(*sys.modules)", ROOT).stdout.split()
    of_feeds = {name for name in loaded if name.startswith("feeds.")} - {"feeds.fetch"}  # its package is imported with a module
    assert len(of_feeds) > 20
    assert {name for name in of_feeds if name not in READERS and name.rpartition(".")[0] not in READERS} == set()


def test_directories_of_feeds_that_are_gone_are_removed(tmp_path: Path) -> None:
    """Only directories go, and only those of names that are not configured."""
    for name in ("stays", "goes"):
        keep(FeedStore(tmp_path / name), "one")
    (tmp_path / "compiled.json").write_bytes(b"{}")
    assert remove_unconfigured(tmp_path, {"stays"}) == ["goes"]
    assert content(tmp_path) == {"stays", "compiled.json"}
    assert remove_unconfigured(tmp_path / "none", set()) == []


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    """A write that fails leaves the old content and no temporary file."""
    path = tmp_path / "file"
    write_whole(path, b"old")
    path.chmod(0o600)
    with pytest.raises(TypeError):
        write_whole(path, msgspec.UNSET)  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert content(tmp_path) == {"file"}
