"""What is kept of the entries of a list, from one copy to the next."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.annotations import NameAnnotation
from feeds.entries import (
    BLOCK_ENTRIES,
    GONE_KEPT_DAYS,
    GONE_KEPT_LEAST,
    DamagedEntries,
    Entries,
    EntryChanges,
    whole,
    write_entries,
)
from feeds.parse import ParsedFeed
from pdns.core.listing import BLOCK_NAME, BLOCK_SUBTREE
from tests.unit.feeds.reading import read

SOME = b"\4test\3one"


def listing(keys: set[bytes], networks: set[bytes] | None = None) -> ParsedFeed:
    return ParsedFeed(format="domains", lines=9, names=dict.fromkeys(keys, BLOCK_SUBTREE), networks=networks or set(), odd={})


def seen(entries: Entries) -> dict[bytes, tuple[int, int]]:
    """Of each name: first day, and last day if it is gone."""
    return {
        key: (first, last)
        for block in entries.names()
        for key, first, last in zip(block.keys, block.first_days, block.last_days, strict=True)
    }


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """A parsed list that is written and read again has the same names, networks, skipped lines and details."""
    parsed = read("one.test\n*.two.test\n8.8.8.8\n2001:db8::/32\nword\n", addresses=True)
    details = [NameAnnotation("Emotet", "https://example.org/1"), NameAnnotation("QakBot", expires_s=5.0)]
    parsed = msgspec.structs.replace(parsed, details=details, detail_of={SOME: 1, bytes((8, 8, 8, 8, 32)): 0})
    write_entries(tmp_path / "a", parsed, None, 100, 0)
    assert whole(Entries(tmp_path / "a")) == msgspec.structs.replace(parsed, size_bytes=0)


def test_first_days_are_carried_over(tmp_path: Path) -> None:
    """What stays keeps its first day, what leaves its last, what comes back both its first day and its place in the list."""
    write_entries(tmp_path / "1", listing({b"\1a", b"\1b", b"\1c"}), None, 10, 0)
    sought = [b"\1a", b"\1c", b"\1d", b"\1z"]
    names, networks = write_entries(tmp_path / "2", listing({b"\1a", b"\1d"}), Entries(tmp_path / "1"), 20, 19, sought)
    assert (names, networks) == (EntryChanges(1, 2, 1, {b"\1a", b"\1c"}), EntryChanges(0, 0, 0, set()))
    second = Entries(tmp_path / "2")
    assert seen(second) == {b"\1a": (10, 0), b"\1b": (10, 19), b"\1c": (10, 19), b"\1d": (20, 0)}
    assert set(whole(second).names) == {b"\1a", b"\1d"}
    names, _ = write_entries(tmp_path / "3", listing({b"\1b", b"\1e"}), second, 30, 30, sought)
    assert names == EntryChanges(2, 2, 1, {b"\1a", b"\1d"})  # b is back, and not new
    assert seen(Entries(tmp_path / "3")) == {
        b"\1a": (10, 30),
        b"\1b": (10, 0),
        b"\1c": (10, 19),
        b"\1d": (20, 30),
        b"\1e": (30, 0),
    }


def test_networks_have_a_history_too(tmp_path: Path) -> None:
    """An address that stays listed keeps the day it was first listed."""
    network = bytes((192, 0, 2, 0, 24))
    write_entries(tmp_path / "1", listing({b"\1a"}, {network}), None, 10, 0)
    write_entries(tmp_path / "2", listing({b"\1a"}, {network, bytes(5)}), Entries(tmp_path / "1"), 20, 20)
    (block,) = Entries(tmp_path / "2").networks()
    assert dict(zip(block.keys, block.first_days, strict=True)) == {network: 10, bytes(5): 20}


def test_what_is_gone_is_forgotten_in_the_end(tmp_path: Path) -> None:
    """After some 400 days a name that left is no longer known, and comes as a new one."""
    write_entries(tmp_path / "1", listing({b"\1a", b"\1b"}), None, 10, 0)
    write_entries(tmp_path / "2", listing({b"\1a"}), Entries(tmp_path / "1"), 20, 20)
    write_entries(tmp_path / "3", listing({b"\1a"}), Entries(tmp_path / "2"), 20 + GONE_KEPT_DAYS, 20)
    assert seen(Entries(tmp_path / "3")) == {b"\1a": (10, 0), b"\1b": (10, 20)}
    write_entries(tmp_path / "4", listing({b"\1a"}), Entries(tmp_path / "3"), 21 + GONE_KEPT_DAYS, 20)
    assert seen(Entries(tmp_path / "4")) == {b"\1a": (10, 0)}


def test_what_is_gone_has_a_bound(tmp_path: Path) -> None:
    """A list whose names change all the time does not grow without end: the longest gone go first."""
    half = GONE_KEPT_LEAST // 2 + 1
    before = None
    for day in range(4):
        write_entries(
            tmp_path / f"{day}", listing({b"\7%07d" % (day * half + at) for at in range(half)}), before, 10 + day, 9 + day
        )
        before = Entries(tmp_path / f"{day}")
    assert before is not None
    assert before.gone() == {12: half, 11: half}
    write_entries(tmp_path / "4", listing({b"\1x"}), before, 20, 13)
    assert Entries(tmp_path / "4").gone() == {13: half, 12: half}


@given(st.lists(st.tuples(st.sets(st.integers(0, 30)), st.integers(0, 3)), min_size=1, max_size=6))
def test_history_is_true(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[set[int], int]]) -> None:
    """Over any sequence of lists: the days are those on which each name was first and last listed."""
    directory = tmp_path_factory.mktemp("entries")
    today, before = 1, None
    expected: dict[bytes, tuple[int, int]] = {}
    listed: set[bytes] = set()
    for number, (names, later) in enumerate(steps):
        now = {b"\3%03d" % name for name in names}
        for key in listed - now:
            expected[key] = (expected[key][0], today)
        fresh = len(now - expected.keys())
        for key in now:
            expected[key] = (expected[key][0] if key in expected else today + later, 0)
        changes, _ = write_entries(directory / f"{number}", listing(now), before, today + later, today)
        assert changes == EntryChanges(len(now - listed), len(listed - now), fresh, set())
        before, listed, today = Entries(directory / f"{number}"), now, today + later
        assert seen(before) == expected
        keys = [key for block in before.names() for key in block.keys]
        assert keys == sorted(keys)


@pytest.mark.parametrize("harm", ["cut", "emptied", "changed", "of another kind"])
def test_damage_is_noticed(tmp_path: Path, harm: str) -> None:
    """A file that is not what was written never passes for one; as the copy before it only loses the history."""
    names = {b"\7%07d" % at for at in range(3 * BLOCK_ENTRIES)}
    write_entries(tmp_path / "1", listing(names), None, 10, 0)
    data = (tmp_path / "1").read_bytes()
    at = len(data) // 2
    damaged = {
        "cut": data[:at],
        "emptied": b"",
        "changed": data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :],
        "of another kind": b"x" * 999,
    }
    (tmp_path / "2").write_bytes(damaged[harm])
    with pytest.raises(DamagedEntries, match="2"):
        whole(Entries(tmp_path / "2"))
    if harm in ("cut", "changed"):
        write_entries(tmp_path / "3", listing(names), Entries(tmp_path / "2"), 20, 20)
        days = [first for first, _ in seen(Entries(tmp_path / "3")).values()]
        assert len(days) == len(names)
        assert set(days) == {10, 20}


def test_bits_are_kept(tmp_path: Path) -> None:
    """The rule of each name is that of the list, whatever it was before."""
    write_entries(tmp_path / "1", listing({b"\1a", b"\1b"}), None, 10, 0)
    changed = msgspec.structs.replace(listing(set()), names={b"\1a": BLOCK_NAME, b"\1b": BLOCK_SUBTREE})
    write_entries(tmp_path / "2", changed, Entries(tmp_path / "1"), 20, 20)
    assert whole(Entries(tmp_path / "2")).names == changed.names
