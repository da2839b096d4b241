"""What holds for every domain name, in text, in wire form and as the key of a set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pdns.errors import InvalidName
from pdns.wire.names import (
    MAX_NAME_BYTES,
    ancestors,
    from_labels,
    from_reversed_key,
    from_text,
    is_at_or_below,
    labels_of,
    parent,
    reversed_key,
    to_text,
)

LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=8).filter(
    lambda labels: sum(len(label) + 1 for label in labels) < MAX_NAME_BYTES
)
NAMES = LABELS.map(from_labels)
CLOSE_NAMES = st.lists(st.sampled_from([b"a", b"b", b"ab", b"a.b", b"\x01a", b"\0"]), max_size=5).map(from_labels)


@given(NAMES)
def test_text_and_back(name: bytes) -> None:
    """Every name has a text that spells it, in printable ASCII, with or without the last dot."""
    text = to_text(name)
    assert text.isascii()
    assert text.isprintable()
    assert from_text(text) == name
    if name != b"\0":
        assert from_text(text + ".") == name


@given(LABELS)
def test_labels_and_back(labels: list[bytes]) -> None:
    """A name is its labels, in lower case."""
    assert labels_of(from_labels(labels)) == [label.lower() for label in labels]


@given(NAMES)
def test_key_and_back(name: bytes) -> None:
    """A key stands for one name."""
    assert from_reversed_key(reversed_key(name)) == name
    assert len(reversed_key(name)) == len(name) - 1


@given(CLOSE_NAMES, CLOSE_NAMES)
def test_key_prefix_means_below(name: bytes, other: bytes) -> None:
    """One key begins with another exactly when its name is the other or lies below it, whatever bytes the labels hold."""
    assert reversed_key(name).startswith(reversed_key(other)) == is_at_or_below(name, other)


@given(CLOSE_NAMES, CLOSE_NAMES)
def test_ancestors(name: bytes, other: bytes) -> None:
    """The ancestors of a name are those it is at or below: each the parent of the one before, the root last."""
    chain = list(ancestors(name))
    assert (other in chain) == is_at_or_below(name, other)
    assert [parent(link) for link in chain[:-1]] == chain[1:]
    assert parent(chain[-1]) == chain[-1] == b"\0"


@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    """Any text is a valid name or `InvalidName`."""
    try:
        name = from_text(text)
    except InvalidName:
        return
    assert len(name) <= MAX_NAME_BYTES
    assert from_labels(labels_of(name)) == name
