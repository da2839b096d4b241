"""Differences of sorted texts."""

from __future__ import annotations

import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.fleet import line_diff, packed
from feeds.fleet.line_diff import HEAD, BadDiff, DiffSummary

lines = st.sets(st.text(alphabet="abc+-\t\r", max_size=4).map(lambda text: text.encode() + b"\n"), max_size=12)


def text_of(of: set[bytes]) -> bytes:
    return b"".join(sorted(of))


def made(before: bytes, after: bytes) -> tuple[bytes, DiffSummary]:
    out = io.BytesIO()
    summary = line_diff.make(io.BytesIO(before), io.BytesIO(after), out)
    return out.getvalue(), summary


@given(lines, lines)
def test_apply_is_the_reverse_of_make(before: set[bytes], after: set[bytes]) -> None:
    """What `make` finds turns one text into the other, byte by byte, and counts what is different."""
    difference, summary = made(text_of(before), text_of(after))
    out = io.BytesIO()
    applied = line_diff.apply(io.BytesIO(text_of(before)), io.BytesIO(difference), out, 1000)
    assert out.getvalue() == text_of(after)
    assert applied == (hashlib.sha256(out.getvalue()).hexdigest(), len(out.getvalue()))
    assert summary == (len(before - after), len(after - before))


@given(lines, lines, lines)
def test_another_text(before: set[bytes], after: set[bytes], other: set[bytes]) -> None:
    """A difference to another text is refused where it matters."""
    difference, _ = made(text_of(before), text_of(after))
    fits = before - after <= other and not (after - before) & other
    try:
        line_diff.apply(io.BytesIO(text_of(other)), io.BytesIO(difference), io.BytesIO(), 1000)
    except BadDiff:
        assert not fits
    else:
        assert fits


def test_bounds_and_damage() -> None:
    """A text that becomes longer than it may, and a difference that is not one, are refused."""
    difference, _ = made(b"", b"a\nb\n")
    assert line_diff.apply(io.BytesIO(), io.BytesIO(difference), io.BytesIO(), 4).size_bytes == 4
    with pytest.raises(BadDiff, match="more than 3 bytes"):
        line_diff.apply(io.BytesIO(), io.BytesIO(difference), io.BytesIO(), 3)
    for bad in (b"", b"<html>", HEAD + b"a\n", HEAD + b"+a", HEAD + b"+b\n+a\n", HEAD + b"+a\n-a\n"):
        with pytest.raises(BadDiff):
            line_diff.apply(io.BytesIO(), io.BytesIO(bad), io.BytesIO(), 100)


def test_small_difference_of_a_long_text() -> None:
    """The delta of a list with few changes is a small part of the whole list, in packed bytes."""
    names = [hashlib.sha256(b"%d" % at).hexdigest()[:12].encode() for at in range(50_000)]
    before = {b"N3com<%b\t3\t20000\n" % name for name in names}
    after = set(sorted(before)[50:]) | {b"N3net7new%04d\t3\t20001\n" % at for at in range(100)}
    sizes = []
    for content in (text_of(after), made(text_of(before), text_of(after))[0]):
        out = io.BytesIO()
        stored = packed.pack(io.BytesIO(content), out)
        assert packed.unpack(out.getvalue(), stored).read() == content
        sizes.append(stored.bytes)
    assert sizes[1] <= sizes[0] / 100
