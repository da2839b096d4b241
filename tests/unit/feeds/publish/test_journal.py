"""The journal: its steps lead from any kept version to the newest, across restarts, damage and new beginnings."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from feeds.publish.journal import Journal, JournalPart
from feeds.publish.records import split
from feeds.publish.zone_file import write_blocks
from tests.effort import examples

ALL = [bytes((1, 97 + number)) + b"\xc0\x0c\0\x05\0\1\0\0\0\x3c\0\1\0" for number in range(20)]
VERSION = st.sets(st.sampled_from(ALL), max_size=20)
PLENTY = 1 << 30


def append(journal: Journal, directory: Path, serial: int, old: set[bytes], new: set[bytes], most_bytes: int = PLENTY) -> None:
    removed, added = directory / "removed", directory / "added"
    write_blocks(removed, sorted(old - new))
    write_blocks(added, sorted(new - old))
    journal.append(serial, serial + 1, removed, added, most_bytes)


def applied(part: JournalPart, version: set[bytes]) -> set[bytes]:
    """What a secondary with `version` has after the steps of `part`, each of which must fit."""
    for change in part.changes:
        removed = {record for block in part.removed(change) for record in split(block.data)}
        added = {record for block in part.added(change) for record in split(block.data)}
        assert removed <= version
        assert not added & version
        version = version - removed | added
    return version


@examples(100)
@given(st.lists(VERSION, min_size=2, max_size=8), st.sets(st.integers(1, 6)), st.integers(0, 2**32 - 1))
def test_any_split_of_the_steps_gives_the_set(versions: list[set[bytes]], restarts: set[int], first: int) -> None:
    """From each version to each later one, in one go or in two, with restarts on the way."""
    first = min(first, 2**32 - 20)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        journal = Journal(directory / "journal", first)
        for at, (old, new) in enumerate(pairwise(versions)):
            if at in restarts:
                journal = Journal(directory / "journal", first + at)
            append(journal, directory, first + at, old, new)
        last = len(versions) - 1
        for start in range(last):
            for end in range(start + 1, last + 1):
                part = journal.between(first + start, first + end)
                assert part is not None
                assert applied(part, versions[start]) == versions[end]
        assert journal.between(first + last, first + last) is None
        assert journal.between(first - 1, first + last) is None


def filled(directory: Path, steps: int, most_bytes: int = PLENTY) -> Journal:
    journal = Journal(directory / "journal", 1)
    for serial in range(1, steps + 1):
        append(journal, directory, serial, {ALL[serial % 20]}, {ALL[(serial + 1) % 20]}, most_bytes)
    return journal


def test_the_oldest_steps_are_dropped(tmp_path: Path) -> None:
    """The file has a bound; a reader that began before goes on reading what it had."""
    journal = filled(tmp_path, 20)
    part = journal.between(1, 21)
    assert part is not None
    for serial in range(21, 200):
        append(journal, tmp_path, serial, {ALL[serial % 20]}, {ALL[(serial + 1) % 20]}, 2000)
        assert (tmp_path / "journal").stat().st_size <= 2100
    assert applied(part, {ALL[1]}) == {ALL[1]}
    assert journal.between(1, 200) is None
    kept = journal.between(195, 200)
    assert kept is not None
    assert applied(kept, {ALL[15]}) == {ALL[0]}


def test_a_step_that_is_too_long_begins_anew(tmp_path: Path) -> None:
    """Such a step is not kept, and nothing before it; those after it are."""
    journal = filled(tmp_path, 5)
    append(journal, tmp_path, 6, set(), set(ALL), 100)
    assert journal.between(1, 7) is None
    append(journal, tmp_path, 7, set(ALL), set(ALL[1:]))
    part = journal.between(7, 8)
    assert part is not None
    assert applied(part, set(ALL)) == set(ALL[1:])


def test_a_step_that_was_never_served_is_dropped(tmp_path: Path) -> None:
    """After a crash between the step and the zone: the journal ends at the serial of the zone."""
    filled(tmp_path, 5)
    journal = Journal(tmp_path / "journal", 5)
    assert journal.between(1, 6) is None
    assert journal.between(1, 5) is not None
    assert Journal(tmp_path / "journal", 77).between(1, 5) is None


def test_damage_loses_only_what_cannot_be_used(tmp_path: Path) -> None:
    """For every byte that is changed, and every length: no step is wrong, and each that leads to the zone's serial is whole."""
    filled(tmp_path, 4)
    path = tmp_path / "journal"
    content = path.read_bytes()
    for at in range(0, len(content), 3):
        for changed in (content[:at], content[:at] + bytes((content[at] ^ 0x55,)) + content[at + 1 :]):
            path.write_bytes(changed)
            journal = Journal(path, 5)
            for start in range(1, 5):
                if (part := journal.between(start, 5)) is not None:
                    assert applied(part, {ALL[start]}) == {ALL[5]}
