"""What is at or below a name, in presentation format."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.event_store.below import canonical, is_at_or_below
from pdns.wire import names

LABELS = st.lists(st.sampled_from((b"a", b"b", b"a.b", b"\\", b"a\\", b".", b"\n")), max_size=4)


@given(lower=LABELS, upper=LABELS)
def test_below_is_by_labels(lower: list[bytes], upper: list[bytes]) -> None:
    """As of the names in wire form, whatever dots and backslashes are in labels."""
    text, name = names.from_labels(lower), names.from_labels(upper)
    assert is_at_or_below(names.to_text(text), names.to_text(name)) == (name in names.ancestors(text))


@pytest.mark.parametrize(
    ("typed", "name"),
    [("Bad.Example.", "bad.example"), (".", "."), (r"a\.", r"a\."), (r"a\\.", r"a\\"), (" x ", "x"), ("", "")],
)
def test_canonical(typed: str, name: str) -> None:
    """Lower case, without the final dot, unless it is part of a label."""
    assert canonical(typed) == name
