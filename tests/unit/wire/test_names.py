"""Wire names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.errors import InvalidName
from pdns.wire import names

labels = st.lists(st.binary(min_size=1, max_size=63), max_size=4).filter(lambda parts: sum(len(part) + 1 for part in parts) < 255)


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("example.com", b"\7example\3com\0"),
        ("Example.COM.", b"\7example\3com\0"),
        (".", b"\0"),
        (r"a\.b.test", b"\3a.b\4test\0"),
        (r"\097\\.test", b"\2a\\\4test\0"),
        ("bücher.test", b"\x0dxn--bcher-kva\4test\0"),
        ("_dmarc.x-y.test", b"\6_dmarc\3x-y\4test\0"),
    ],
)
def test_text_becomes_wire(text: str, wire: bytes) -> None:
    """Case, the last dot, escapes and U-labels all end in one lower-case wire form."""
    assert names.from_text(text) == wire


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("a..b", "empty label"),
        (".a", "empty label"),
        ("x" * 64 + ".test", "label over 63 bytes"),
        (".".join(["x" * 63] * 4), "name over 255 bytes"),
        (r"a\999.test", "escape over 255"),
        ("a\\", "unfinished escape"),
        ("\u2488.test", "not a valid internationalised name"),
    ],
)
def test_bad_text_is_refused_with_a_reason(text: str, reason: str) -> None:
    """What is no name raises InvalidName, and its reason is one that can be counted by."""
    with pytest.raises(InvalidName) as caught:
        names.from_text(text)
    assert caught.value.reason == reason


@given(labels)
def test_text_round_trip(parts: list[bytes]) -> None:
    """Any name survives the way to text and back."""
    wire = names.from_labels(parts)
    assert names.from_text(names.to_text(wire)) == wire


@given(labels)
def test_key_round_trip(parts: list[bytes]) -> None:
    """Any name survives the way to its reversed key and back."""
    wire = names.from_labels(parts)
    assert names.from_reversed_key(names.reversed_key(wire)) == wire


@given(labels, labels)
def test_key_prefix_means_at_or_below(left: list[bytes], right: list[bytes]) -> None:
    """A key is a prefix of another exactly when the other name is at or below it."""
    upper, lower = names.from_labels(left), names.from_labels(left[:1] + right)
    for above, below in ((upper, lower), (lower, upper), (names.from_labels(right), lower)):
        assert names.reversed_key(below).startswith(names.reversed_key(above)) == names.is_at_or_below(below, above)


def test_ancestors_end_at_the_root() -> None:
    """Ancestors start with the name itself and end with the root."""
    assert list(names.ancestors(names.from_text("a.b.test"))) == [names.from_text(n) for n in ("a.b.test", "b.test", "test", ".")]
    assert names.parent(names.from_text("a.test")) == names.from_text("test")
    assert names.parent(names.ROOT) == names.ROOT


def test_labels_do_not_match_across_their_ends() -> None:
    """notevil.test is not below evil.test, nor is the single label `x.evil` below `evil`."""
    assert not names.is_at_or_below(names.from_text("notevil.test"), names.from_text("evil.test"))
    assert not names.is_at_or_below(names.from_text(r"x\.evil.test"), names.from_text("evil.test"))


def test_symbols_that_browsers_look_up() -> None:
    """A heart, which IDNA 2008 refuses and UTS 46 does not, is encoded: such names exist."""
    assert names.from_text("\u2665.test") == names.from_text("xn--g6h.test") == b"\x07xn--g6h\x04test\0"
    assert names.from_text("A\u2665.Test") == names.from_text("xn--a-n3p.test")


@pytest.mark.parametrize("text", ["ab--\u2665.test", "-\u2665.test", "\u2665-.test", "\u2665\u200d.test", "\u2665 .test"])
def test_symbols_beside_what_no_label_may_have(text: str) -> None:
    """A heart is encoded, but not beside hyphens, joiners or spaces where none may be (UTS 46, 4.1)."""
    with pytest.raises(InvalidName):
        names.from_text(text)
