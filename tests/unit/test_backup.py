"""A backup has everything that cannot be made again, is whole or refused, and replaces nothing unasked."""

from __future__ import annotations

import gzip
import io
import os
import sqlite3
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from pdns import backup
from pdns.backup import MANIFEST, BackupError, BackupManifest, back_up, restore
from pdns.event_store.event import Hour
from pdns.event_store.queries import Window
from pdns.event_store.sqlite import SqliteStore
from pdns.event_store.sqlite_queries import SqliteQueries
from pdns.event_store.sqlite_schema import store_path
from pdns.files.safe_files import open_state

KEPT = {
    "overrides.json": b"1", "credentials.json": b"1c", "audit.jsonl": b"2\n", "conf.d/50-api.toml": b"3",
    "feeds/x/copy.json": b"4", "feeds/x/a.raw": b"5" * 70_000,
    "reports/reports.json": b"6", "client.key": b"7" * 32, "publish/z/zone": b"8",
}  # fmt: skip
LEFT_OUT = (
    "blocksets/1/manifest.json", "events/spool/1.seg", "events/names/2026-01-01/x.bloom", "requests/1.order", "names.key",
    "live.json", "in_force.json", "feeds.json", "feeds/compiled.json", "lock", "feeds/x/1-1.tmp", "overrides.json.damaged-2026",
    "before-restore-2026/x",
)  # fmt: skip


def hour(number: int) -> Hour:
    return Hour(id=number, start_s=3600.0 * number, end_s=3600.0 * number + 3600, node="n", tenant="*", queries=number)


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    for name in (*KEPT, *LEFT_OUT):
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(KEPT.get(name, b"made anew"))
    (made / "client.key").chmod(0o600)
    (made / "link").symlink_to("/etc/passwd")
    with SqliteStore(store_path(made)) as store:
        store.write([hour(1)])
    return made


def made(state_dir: Path) -> bytes:
    out = io.BytesIO()
    back_up(state_dir, out, 1000.0)
    return out.getvalue()


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def rewritten(raw: bytes, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None]) -> io.BytesIO:
    """The archive with each member as `change` returns it; None leaves it out."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(raw)) as old, tarfile.open(fileobj=out, mode="w:gz") as new:
        for member in old:
            file = old.extractfile(member) if member.isreg() else None
            if (changed := change(member, file.read() if file else b"")) is not None:
                changed[0].size = len(changed[1])
                new.addfile(changed[0], io.BytesIO(changed[1]))
    out.seek(0)
    return out


def test_what_cannot_be_made_again_comes_back(state_dir: Path, tmp_path: Path) -> None:
    """With its mode, and the events as they were; nothing else is in the archive, and no link is followed."""
    after = tmp_path / "after"
    after.mkdir()
    manifest, aside = restore(io.BytesIO(made(state_dir)), after)
    assert aside is None
    found = files(after)
    assert set(manifest.files) == set(found)
    found.pop("events/events.db")
    assert found == KEPT
    assert (after / "client.key").stat().st_mode & 0o777 == 0o600
    with closing(SqliteQueries(store_path(after))) as queries:
        assert [one.queries for one in queries.hours(Window(0.0, 1e6), None)] == [1]


def test_a_backup_is_made_while_files_change(state_dir: Path, tmp_path: Path) -> None:
    """A record and the file that it names are of the same moment, and the database is whole while it is written."""
    stop = threading.Event()

    def change() -> None:
        number = 0
        with SqliteStore(store_path(state_dir)) as store:
            while not stop.is_set():
                number += 1
                raw = state_dir / "feeds/x" / f"{number}.raw"
                raw.write_bytes(b"%d" % number)
                new = state_dir / "feeds/x" / "copy.tmp"
                new.write_bytes(b"%d" % number)
                new.replace(state_dir / "feeds/x/copy.json")
                raw.with_name(f"{number - 1}.raw").unlink(missing_ok=True)
                store.write([hour(number)])

    thread = threading.Thread(target=change)
    thread.start()
    try:
        archives = [made(state_dir) for _ in range(5)]
    finally:
        stop.set()
        thread.join()
    for number, raw in enumerate(archives):
        after = tmp_path / str(number)
        after.mkdir()
        restore(io.BytesIO(raw), after)
        named = (after / "feeds/x/copy.json").read_text()
        assert named == "4" or (after / "feeds/x" / f"{named}.raw").read_text() == named
        with closing(sqlite3.connect(store_path(after))) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_record_that_changes_meanwhile_is_read_again(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed is updated after the names of its files were read: the backup has the new record with the new list."""
    feed = state_dir / "feeds/x"
    changed: list[Path] = []

    def opened(path: Path) -> io.BufferedReader:
        if path.parent == feed and not changed:
            changed.append(path)
            (feed / "b.raw").write_bytes(b"new")
            (feed / "new").write_bytes(b"b.raw")
            (feed / "new").replace(feed / "copy.json")
            (feed / "a.raw").unlink()
        return open_state(path)

    monkeypatch.setattr(backup, "open_state", opened)
    with tarfile.open(fileobj=io.BytesIO(made(state_dir))) as archive:
        assert [name for name in archive.getnames() if name.startswith("feeds/x/")] == ["feeds/x/b.raw", "feeds/x/copy.json"]
        file = archive.extractfile("feeds/x/copy.json")
        assert file is not None
        assert file.read() == b"b.raw"
    assert changed


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_an_archive_that_was_cut_short_is_refused(state_dir: Path, tmp_path: Path, kept: float) -> None:
    """And the directory stays empty."""
    raw = made(state_dir)
    (tmp_path / "after").mkdir()
    with pytest.raises(BackupError):
        restore(io.BytesIO(raw[: int(kept * len(raw))]), tmp_path / "after")
    assert list((tmp_path / "after").iterdir()) == []


def test_a_changed_archive_is_refused(state_dir: Path, tmp_path: Path) -> None:
    """A file that is missing, added, or other than the manifest says; no manifest; and paths that lead elsewhere."""
    raw = made(state_dir)
    (tmp_path / "after").mkdir()

    def refused(change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None], match: str) -> None:
        with pytest.raises(BackupError, match=match):
            restore(rewritten(raw, change), tmp_path / "after")
        assert list((tmp_path / "after").iterdir()) == []

    refused(lambda member, data: (member, b"x" if member.name == "overrides.json" else data), "overrides.json is not what")
    refused(lambda member, data: None if member.name == "audit.jsonl" else (member, data), "audit.jsonl is not what")
    refused(lambda member, data: None if member.name == MANIFEST else (member, data), "not a whole backup")
    refused(lambda member, data: (member.replace(name="../x") if member.name == "audit.jsonl" else member, data), "not a backup")
    refused(lambda member, data: (member.replace(name="/x") if member.name == "audit.jsonl" else member, data), "not a backup")

    def as_link(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if member.name == "audit.jsonl":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        return member, b"" if member.issym() else data

    refused(as_link, "not a backup")
    refused(lambda member, data: (member.replace(name="a/" * 9 + "x") if member.isdir() else member, data), "not a backup")
    with pytest.raises(BackupError):
        restore(io.BytesIO(b"no archive"), tmp_path / "after")


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    """An archive with these headers and contents, which need not agree."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="w") as file:
        for member, data in members:
            file.write(member.tobuf(tarfile.PAX_FORMAT) + data)
    out.seek(0)
    return out


def test_an_archive_does_not_fill_the_disk(tmp_path: Path) -> None:
    """A file that is too large is refused before it is written, and so is one that is mostly holes."""
    huge, holes = tarfile.TarInfo("overrides.json"), tarfile.TarInfo("overrides.json")
    huge.size = 1 << 60
    with pytest.raises(BackupError, match=r"overrides\.json needs 1,152,921,504,606,846,976 bytes, and .* has room for"):
        restore(packed((huge, b"")), tmp_path)
    holes.size = 512
    holes.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 30)}
    with pytest.raises(BackupError, match="not a backup"):
        restore(packed((holes, b"1\n0\n0\n".ljust(512, b"\0"))), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_modes_of_an_archive_open_nothing(state_dir: Path, tmp_path: Path) -> None:
    """Files and directories that all may write are its owner's afterwards."""

    def change(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
        return member.replace(mode=0o7777), data

    (tmp_path / "after").mkdir()
    mask = os.umask(0)
    try:
        restore(rewritten(made(state_dir), change), tmp_path / "after")
    finally:
        os.umask(mask)
    modes = {path.is_dir(): path.stat().st_mode & 0o7777 for path in (tmp_path / "after").rglob("*")}
    assert modes == {True: 0o755, False: 0o644}


def test_no_copy_of_the_events_fills_the_disk(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server writes to the same disk. Without them there is a backup."""
    monkeypatch.setattr(backup, "_RESERVE_BYTES", 1 << 60)
    with pytest.raises(BackupError, match=r"no room for a copy of events/events\.db .*--no-events leaves it out"):
        made(state_dir)
    assert "overrides.json" in back_up(state_dir, io.BytesIO(), 1000.0, events=False).files


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"version": 2, "program": "9.1"}, "pdns 9.1 or later"),
        ({"formats": {"overrides.json": 2}, "program": "9.1"}, "overrides.json: of"),
    ],
)
def test_a_later_backup_is_refused(state_dir: Path, tmp_path: Path, changes: dict[str, object], match: str) -> None:
    """It says which program reads it."""
    (tmp_path / "after").mkdir()

    def change(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if member.name == MANIFEST:
            data = msgspec.json.encode({**msgspec.json.decode(data), **changes})
        return member, data

    with pytest.raises(BackupError, match=match):
        restore(rewritten(made(state_dir), change), tmp_path / "after")


def test_nothing_is_replaced_unasked(state_dir: Path, tmp_path: Path) -> None:
    """A directory with files is refused; with force they are moved aside, and none is lost."""
    after = tmp_path / "after"
    after.mkdir()
    (after / "overrides.json").write_text("of today")
    (after / "lock").touch()
    raw = made(state_dir)
    with pytest.raises(BackupError, match=r"not empty \(it has overrides.json\)"):
        restore(io.BytesIO(raw), after)
    assert (after / "overrides.json").read_text() == "of today"
    _, aside = restore(io.BytesIO(raw), after, force=True)
    assert aside is not None
    assert (aside / "overrides.json").read_text() == "of today"
    assert (after / "overrides.json").read_bytes() == KEPT["overrides.json"]
    _, again = restore(io.BytesIO(raw), after, force=True)
    assert again not in (None, aside)
    assert (aside / "overrides.json").read_text() == "of today"


def test_the_manifest_says_what_made_it(state_dir: Path) -> None:
    """For people, and for the program that restores it."""
    with tarfile.open(fileobj=io.BytesIO(made(state_dir))) as archive:
        assert archive.getnames()[-1] == MANIFEST
        file = archive.extractfile(MANIFEST)
        assert file is not None
        manifest = msgspec.json.decode(file.read(), type=BackupManifest)
    assert (manifest.version, manifest.formats, manifest.made_s) == (backup.VERSION, backup.FORMATS, 1000.0)
