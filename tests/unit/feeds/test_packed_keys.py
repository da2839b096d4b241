"""Keys in packed blocks: the same as in a sorted list."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feeds import packed_keys
from feeds.packed_keys import PackedKeys, different

KEY = st.binary(min_size=1, max_size=3)
KEYS = st.lists(KEY, unique=True, max_size=30).map(sorted)
SMALL_BLOCKS = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_keys, "BLOCK_KEYS", 4)


@SMALL_BLOCKS
@given(KEYS, st.integers(0, 30), KEY, st.integers(-32, 32), st.integers(-32, 32))
def test_packed_keys_are_a_list(keys: list[bytes], cut: int, other: bytes, start: int, stop: int) -> None:
    """Length, order, places, slices and searches, however the stretches are cut."""
    packed = PackedKeys([keys[:cut], keys[cut:]])
    assert len(packed) == len(keys)
    assert list(packed) == keys
    assert packed[start:stop] == keys[start:stop]
    assert [packed[at] for at in range(len(keys))] == keys
    for key in (*keys, other):
        assert packed.first_not_below(key) == bisect_left(keys, key)
        assert packed.first_above(key) == bisect_right(keys, key)


@SMALL_BLOCKS
@given(st.lists(KEYS, max_size=6))
def test_runs_are_merged(runs: list[list[bytes]]) -> None:
    """All keys of all runs, each once; the runs are empty then."""
    packed = [PackedKeys([run]) for run in runs]
    assert list(PackedKeys.merged(packed)) == sorted({key for run in runs for key in run})
    assert not any(packed)


def test_there_is_no_key_behind_the_last() -> None:
    """A place outside is an error, as in a list."""
    with pytest.raises(IndexError):
        PackedKeys([[b"a"]])[1]


@given(st.lists(KEY).map(sorted))
def test_different_keys(keys: list[bytes]) -> None:
    """Each of a sorted list once."""
    assert different(keys) == sorted(set(keys))
