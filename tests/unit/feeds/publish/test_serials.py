"""Serials always rise (RFC 1982), whatever the clock does."""

from __future__ import annotations

from feeds.publish.serials import is_newer, newest, next_serial


def test_serials_compare_in_a_circle() -> None:
    """A greater number, or a smaller one behind the end of the numbers."""
    assert is_newer(2, 1)
    assert is_newer(1, 2**32 - 1)
    assert is_newer(2**31, 1)
    assert not is_newer(1, 1)
    assert not is_newer(2**31 + 1, 1)
    assert not is_newer(2**32 - 1, 1)
    assert newest(None, 5, 2**32 - 1, None) == 5
    assert newest(None) is None


def test_the_next_serial_is_one_more() -> None:
    """Whether the clock jumps ahead or back; 0 is left out; the first is the time."""
    assert next_serial(None, 1_796_000_000.7) == 1_796_000_000
    assert next_serial(7, 1e9) == next_serial(7, 0.0) == next_serial(7, 1e12) == 8
    assert next_serial(2**32 - 1, 1e9) == 1
    assert is_newer(next_serial(2**32 - 1, 1e9), 2**32 - 1)
