"""Filters of digests: what they hold, how often they are wrong, and their files."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pybloom_live import ScalableBloomFilter

from pdns.history.filters import ERROR_RATE, DamagedFilterError, DigestHashes, NameFilter
from tests.effort import examples

_KEY = bytes(range(32))


def digests(count: int, start: int = 0) -> list[bytes]:
    return [(number * 0x9E3779B97F4A7C15 % 2**128).to_bytes(16) for number in range(start, start + count)]


@examples(30)
@given(st.integers(0, 5000), st.sampled_from([1, 600, 4000]), st.sampled_from(["", "*"]))
def test_what_was_added_is_found(count: int, capacity: int, prefix: str) -> None:
    """However often it has grown, also after it was written and read, and by pybloom-live itself."""
    filter_ = NameFilter(prefix, capacity=capacity)
    added = digests(count)
    assert filter_.add(added) == len(filter_)
    content = filter_.encoded(_KEY)
    read = NameFilter.decoded(content, _KEY, prefix)
    for one in (filter_, read):
        assert one.find(DigestHashes(added, prefix)) == list(range(count))
    others = ScalableBloomFilter.fromfile(io.BytesIO(content))
    assert all(prefix + digest.hex() in others for digest in added[:200])
    assert len(read) == len(others) == len(filter_)
    assert count - 3 <= len(filter_) <= count


def test_what_is_known_is_not_added_again() -> None:
    """The same digests add nothing, nor do those that come twice."""
    filter_ = NameFilter()
    assert filter_.add(digests(100) * 2) == 100
    assert filter_.add(digests(100)) == 0


@pytest.mark.parametrize(("count", "capacity"), [(3000, 3000), (30_000, 30_000), (4000, 512)])
def test_the_stated_rate_is_the_real_one(count: int, capacity: int) -> None:
    """Of 300,000 digests that are not there, as many pass as the filter says: narrow hashes, wide ones, several parts."""
    filter_ = NameFilter(capacity=capacity)
    filter_.add(digests(count))
    passed = len(filter_.find(DigestHashes(digests(300_000, start=10**6))))
    expected = 300_000 * filter_.false_positives
    assert filter_.false_positives <= 4 * ERROR_RATE
    assert expected / 4 - 3 <= passed <= 4 * expected + 3


def test_prefixes_are_independent() -> None:
    """What passes by chance with one prefix does not pass with another."""
    plain, prefixed = NameFilter(capacity=512), NameFilter("*", capacity=512)
    for filter_ in (plain, prefixed):
        for part in range(0, 4096, 512):
            filter_.add(digests(512, part))
            filter_._parts = filter_._parts[:1]  # overfilled: much passes by chance
            filter_._parts[0].count = 0
    unknown = digests(20_000, start=10**6)
    by_one = set(plain.find(DigestHashes(unknown)))
    by_both = by_one & set(prefixed.find(DigestHashes(unknown, "*")))
    assert len(by_one) > 10_000
    assert len(by_both) < 0.95 * len(by_one)


def test_a_full_filter_takes_no_more() -> None:
    """It keeps what it has, and says how many it left out."""
    filter_ = NameFilter(most=1000)
    assert filter_.add(digests(1500)) == 1000
    assert filter_.left_out == 500
    assert filter_.add(digests(10, start=5000)) == 0
    assert filter_.find(DigestHashes(digests(1000))) == list(range(1000))


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "longer", "another key"])
def test_damage_is_noticed(damage: str, tmp_path: Path) -> None:
    """A file that is not what was written with this key is refused."""
    filter_ = NameFilter()
    filter_.add(digests(700))
    raw = filter_.encoded(bytes(32) if damage == "another key" else _KEY)
    raw = {"cut": raw[:-9], "empty": b"", "flipped": raw[:99] + bytes([raw[99] ^ 4]) + raw[100:], "longer": raw + b"x"}.get(
        damage, raw
    )
    with pytest.raises(DamagedFilterError):
        NameFilter.decoded(raw, _KEY)


def test_the_size_of_a_filter() -> None:
    """A million digests take 2.9 MB."""
    filter_ = NameFilter(capacity=100_000)
    filter_.add(digests(100_000))
    assert 280_000 <= filter_.size_bytes <= 300_000
