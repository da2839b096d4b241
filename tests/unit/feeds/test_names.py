"""Names in sorted lists: the same as in a dict, and many lines at once the same as one at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from feeds.names import KeyList, Names
from feeds.normalise import plain_key, plain_keys
from pdns.core.listing import ALLOW_SUBTREE, BLOCK_BELOW, BLOCK_NAME, BLOCK_SUBTREE
from tests.unit.feeds.reading import read

LABEL = st.text("abz01-_", min_size=1, max_size=5).filter(lambda text: text.strip("-") == text)
NAME = st.lists(LABEL, min_size=1, max_size=4).map(lambda labels: ".".join([*labels, "test"]))
KEY = st.binary(min_size=1, max_size=3)
BITS = st.sampled_from([BLOCK_NAME, BLOCK_BELOW, BLOCK_SUBTREE, ALLOW_SUBTREE])
# More than a stretch of lines that is read at once.
MANY = [f"host{number}.list{number % 7}.test" for number in range(1000)]


@given(st.lists(NAME, max_size=20))
def test_keys_at_once(names: list[str]) -> None:
    """The keys of many names are those of each."""
    encoded = [name.encode() for name in names]
    assert plain_keys(encoded) == [plain_key(name) for name in encoded]


@given(st.lists(st.one_of(NAME, st.sampled_from(["# comment", "", "8.8.8.8", "*.wild.test", "a..b", "Upper.test"])), max_size=30))
def test_many_lines_at_once_are_the_lines_one_at_a_time(lines: list[str]) -> None:
    """Lines with a blank before them are read one at a time, others in stretches: names, counts and numbers are the same.

    Before the lines stand enough names for stretches of their own, and behind them.
    """
    at_once = read("".join(f"{line}\n" for line in [*MANY, *lines, *MANY]), "domains")
    each = read("".join(f" {line}\n" for line in [*MANY, *lines, *MANY]), "domains")
    assert dict(at_once.names) == dict(each.names)
    assert at_once.lines == each.lines
    assert {reason: odd.count for reason, odd in at_once.odd.items()} == {reason: odd.count for reason, odd in each.odd.items()}


@given(st.lists(st.lists(KEY, max_size=6), max_size=5), BITS, st.dictionaries(KEY, BITS, max_size=6))
def test_a_key_list_is_a_dict(pieces: list[list[bytes]], bits: int, others: dict[bytes, int]) -> None:
    """Keys added in pieces, several times, with others of other bits: what a dict would hold, in order."""
    expected = dict(others)
    keys = KeyList()
    for piece in pieces:
        keys.extend(piece)
        for key in piece:
            expected[key] = others.get(key, 0) | bits
    assert list(keys.merged(bits, others).items()) == sorted(expected.items())


@given(st.dictionaries(KEY, BITS, max_size=12), KEY)
def test_names_are_a_mapping(names: dict[bytes, int], other: bytes) -> None:
    """Look-up, length and order."""
    held = Names.of(names)
    assert dict(held) == names
    assert list(held) == sorted(names)
    assert held.get(other) == names.get(other)
    assert (other in held) == (other in names)


@given(st.lists(st.lists(KEY, max_size=6), max_size=40), BITS, st.dictionaries(KEY, BITS, max_size=6))
def test_a_key_list_in_runs_is_a_dict(pieces: list[list[bytes]], bits: int, others: dict[bytes, int]) -> None:
    """So many keys that they are sorted in runs, and merged: what a dict would hold, in order."""
    keys = KeyList(run_keys=4)
    for piece in pieces:
        keys.extend(piece)
    expected = dict(others) | {key: others.get(key, 0) | bits for piece in pieces for key in piece}
    found = keys.merged(bits, others)
    assert list(found.items()) == sorted(expected.items())
    assert {key: found.get(key) for key in expected} == expected


def test_a_key_list_holds_what_is_different() -> None:
    """The same keys again and again, more than fit in a run: they are held once or twice, not each time."""
    keys = KeyList(run_keys=100)
    for _ in range(200):
        keys.extend([b"%04d" % number for number in range(150)])
    assert len(keys) <= 16 * 100
    assert len(keys.merged(BLOCK_SUBTREE, {})) == 150
