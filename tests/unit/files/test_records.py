"""Records with a checksum and a second copy: what is read is what was written, or what was written before."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from feeds.update_limits import Usual
from pdns.files import records
from pdns.files.records import SECOND_COPY, DamagedError


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One of each kind of member that the program's records have."""

    name: str
    by_number: dict[int, Usual] = {}
    pairs: list[tuple[str, float]] = []
    version: int = 1


SAMPLE = Sample(name='a "quoted" name, \u00e9', by_number={7: Usual(low=1, high=3), -1: Usual(low=2, high=4)}, pairs=[("x", 1.5)])


def parse(raw: bytes) -> Sample:
    return records.decode(raw, Sample)


def test_what_is_written_is_read() -> None:
    """Also members that JSON has no keys for, such as numbers; with a checksum, and without one as earlier versions wrote it."""
    assert parse(records.encode(SAMPLE)) == SAMPLE
    assert parse(msgspec.json.encode(SAMPLE)) == SAMPLE


def test_no_flipped_bit_goes_unnoticed() -> None:
    """But for those that leave the checksum's name unreadable: they make it a file without one, whose content is as it was."""
    raw = records.encode(SAMPLE)
    for at in range(8 * len(raw)):
        damaged = bytearray(raw)
        damaged[at // 8] ^= 1 << at % 8
        with suppress(DamagedError):
            assert parse(bytes(damaged)) == SAMPLE, at


@pytest.mark.parametrize("size", [0, 1, 20, -2])
def test_a_short_record_is_damaged(size: int) -> None:
    """Cut anywhere."""
    with pytest.raises(DamagedError):
        parse(records.encode(SAMPLE)[:size])


@pytest.mark.parametrize("raw", [b"[]", b"7", b"\xff", b'{"name": 1}', b"[" * 100_000, b'{"name":"x","version":"one"}'])
def test_another_form_is_damaged(raw: bytes) -> None:
    """Whatever it is."""
    with pytest.raises(DamagedError):
        parse(raw)


def test_a_later_version_is_said() -> None:
    """It is not read in part."""
    with pytest.raises(DamagedError, match="version 2, which was written by a later version"):
        parse(records.encode(msgspec.structs.replace(SAMPLE, version=2)))


def test_the_second_copy_takes_the_place_of_a_damaged_file(tmp_path: Path) -> None:
    """For the one writer: the damaged file is kept aside. Readers change nothing."""
    path = tmp_path / "record.json"
    records.store(path, records.encode(SAMPLE))
    path.write_bytes(b"{")
    assert records.read(path, parse, 1000) == SAMPLE
    assert path.read_bytes() == b"{"
    found = records.recover(path, parse, 1000)
    assert (found.value, found.locked) == (SAMPLE, None)
    assert parse(path.read_bytes()) == SAMPLE
    assert [one.read_bytes() for one in tmp_path.glob("record.json.damaged-*")] == [b"{"]


@pytest.mark.parametrize("replaced_by", ["directory", "pipe", "link", "nothing"])
def test_what_is_no_file_is_put_aside(tmp_path: Path, replaced_by: str) -> None:
    """And nothing waits for it, follows it or writes through it."""
    path, other = tmp_path / "record.json", tmp_path / "other"
    records.store(path, records.encode(SAMPLE))
    other.write_bytes(records.encode(msgspec.structs.replace(SAMPLE, name="another")))
    before = other.read_bytes()
    path.unlink()
    if replaced_by == "directory":
        (path / "below").mkdir(parents=True)
    elif replaced_by == "pipe":
        os.mkfifo(path)
    elif replaced_by == "link":
        path.symlink_to(other)
    assert records.recover(path, parse, 1000).value == SAMPLE
    assert path.is_file()
    assert not path.is_symlink()
    assert other.read_bytes() == before
    assert len(list(tmp_path.glob("record.json.damaged-*"))) == (replaced_by != "nothing")


def test_without_a_second_copy_there_is_nothing(tmp_path: Path) -> None:
    """The damaged file is kept aside all the same."""
    path = tmp_path / "record.json"
    path.write_bytes(b"{")
    assert records.recover(path, parse, 1000).value is None
    assert not path.exists()
    assert len(list(tmp_path.glob("record.json.damaged-*"))) == 1
    (tmp_path / f"record.json{SECOND_COPY}").write_bytes(b"}")
    path.write_bytes(b"{")
    with pytest.raises(DamagedError):
        records.read(path, parse, 1000)
