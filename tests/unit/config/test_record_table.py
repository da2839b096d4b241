"""The table of local records: every name that went in comes out, and no other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.record_table import Origin, RecordTable, Rrset, build, empty_nonterminals
from pdns.errors import ConfigError
from pdns.wire import names

LABELS = st.binary(min_size=1, max_size=3) | st.sampled_from([b"a", b"b", b"*", b"\0", b"\1a", b"x" * 63])
NAMES = st.lists(LABELS, min_size=1, max_size=3).map(names.from_labels)
RRSETS = st.builds(
    Rrset, st.integers(1, 65535), st.integers(0, 2**31 - 1), st.lists(st.binary(max_size=300), min_size=1, max_size=3).map(tuple)
)


@given(
    st.dictionaries(NAMES, st.tuples(st.integers(0, 65535), st.lists(RRSETS, min_size=1, max_size=3)), max_size=20),
    st.lists(NAMES),
)
def test_any_names(data: dict[bytes, tuple[int, list[Rrset]]], others: list[bytes]) -> None:
    """With their sources, types, TTLs and RDATA; names above them exist, and no others."""
    given_names = {name: Origin(*one) for name, one in data.items()}
    table = RecordTable(build(given_names))
    assert table.count == len(data)
    for name, (source, rrsets) in data.items():
        node = table.get(name)
        assert node is not None
        assert (node.name, node.source, list(node.rrsets)) == (name, source, rrsets)
    above = set(empty_nonterminals(given_names))
    for name in (*above, *others):
        assert (name in table) == (name in data or name in above)
        node = table.get(name)
        assert name in data or node is None or node.rrsets == ()
    keys = set(table.filter_keys())
    for name in data:
        plain = names.parent(name) if name.startswith(b"\1*") else name
        assert names.filter_key(plain) in keys
    assert len(keys) <= len(data)


def test_an_empty_table() -> None:
    """It has nothing, and takes nothing."""
    assert build({}) == b""
    table = RecordTable(b"")
    assert table.get(b"\1a\0") is None
    assert list(table.filter_keys()) == []


def test_a_table_of_another_version() -> None:
    """A supervisor that runs since before an upgrade: its worker refuses the table, and ends of no assertion."""
    block = bytearray(build({b"\1a\0": Origin(0, [Rrset(1, 300, (b"\0" * 4,))])}))
    block[12:16] = (2).to_bytes(4)
    with pytest.raises(ConfigError, match="another version"):
        RecordTable(bytes(block))
