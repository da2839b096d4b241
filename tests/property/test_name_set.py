"""Sets of names in compiled code against sets of Python."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.fast.name_set import NameSet
from pdns.wire.names import ROOT, from_labels

LABELS = st.one_of(st.sampled_from([b"a", b"b", b"com", b"x" * 63, b"\0"]), st.binary(min_size=1, max_size=12))
NAMES = st.lists(LABELS, max_size=3).map(from_labels)


@given(st.frozensets(NAMES, max_size=200), st.lists(NAMES, max_size=20))
def test_a_set_holds_what_was_put_in(names: frozenset[bytes], others: list[bytes]) -> None:
    """Every name of the set is found, whatever its size, and no other."""
    compiled = NameSet(names)
    for name in (*names, *others, ROOT):
        assert (name in compiled) is (name in names)


@pytest.mark.parametrize("name", [b"", b"x" * 256])
def test_a_set_refuses_what_is_no_name(name: bytes) -> None:
    """Its places have one byte for the size of a name."""
    with pytest.raises(ValueError, match="not a name"):
        NameSet({name})
