"""The times of updates, for reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdns.state import block_times
from pdns.state.block_times import BlockTime


def test_times_are_kept_and_damage_is_left_out(tmp_path: Path) -> None:
    """A line that was cut short ends before the next one."""
    block_times.add(tmp_path, [BlockTime(1000.4, "x", 3.25)])
    path = tmp_path / block_times.FILE_NAME
    with path.open("ab") as file:
        file.write(b'[1e400,"x",1]\n["a"]\n[5,"x",-1]\n\xff')
    block_times.add(tmp_path, [BlockTime(2000.0, "y", 60.0)])
    assert block_times.read(tmp_path) == [(1000.0, "x", 3.25), (2000.0, "y", 60.0)]


def test_a_long_file_loses_its_oldest_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays bounded, and the newest ones are all there."""
    monkeypatch.setattr(block_times, "LONG_BYTES", 2000)
    for number in range(1000):
        block_times.add(tmp_path, [BlockTime(float(number), "x", 1.0)])
    assert (tmp_path / block_times.FILE_NAME).stat().st_size <= 2100
    known = [int(one.time_s) for one in block_times.read(tmp_path)]
    assert known == list(range(known[0], 1000))
    assert len(known) > 50


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    """That is no error: no update has come yet."""
    assert block_times.read(tmp_path) == []
