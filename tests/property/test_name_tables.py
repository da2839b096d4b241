"""Tables of names: what is written is found, and Python and the kernels agree on every byte, also of damaged ones."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.blockset.name_table import HEADER, NameHash, NameTable
from pdns.blockset.name_writer import NamesMaker
from pdns.blockset.name_writer import write_names as reference
from pdns.fast.name_writer import write_names as compiled
from tests.effort import examples
from tests.nametables import RECORDS, check_table, compiled_find, make_table

LABEL = st.sampled_from([b"a", b"b", b"ab", b"\x01a", b"\0", b"com", b"sevenby", b"eight-by", b"x" * 63, b"y" * 62 + b"\xff"])
KEY = st.lists(LABEL, max_size=4).map(lambda labels: b"".join(bytes((len(label),)) + label for label in labels)).filter(
    lambda key: len(key) <= 254
)  # fmt: skip
DEEP = b"\1a" * 127
NAMES = st.dictionaries(KEY | st.just(DEEP), st.integers(0, RECORDS - 1) | st.just(3), max_size=40)
SEED = st.builds(NameHash, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))


@examples(300)
@given(NAMES, SEED, st.integers(0, RECORDS - 1) | st.just(3))
def test_both_writers_write_the_same(names: dict[bytes, int], seed: NameHash, common: int) -> None:
    """Every byte, and the order of the names."""
    one, other = (make_table(names, common, write, seed) for write in (reference, compiled))
    assert bytes(one.content) == bytes(other.content)
    assert list(one.rows) == list(other.rows)


@examples(300)
@given(NAMES, st.lists(KEY, max_size=20))
def test_what_is_written_is_found(names: dict[bytes, int], asked: list[bytes]) -> None:
    """By both readers, for listed names, names below and above them and others; and every name has a number of its own."""
    made = make_table(names, 3)
    table = NameTable(memoryview(made.content), RECORDS)
    below = [key + b"\1a" for key in names if len(key) < 250]
    keys = [*names, *below, *asked, b"", *(key[: 1 + key[0]] for key in names if key)]
    expected = [[(size, names[key[:size]]) for size in reversed(ends(key)) if key[:size] in names] for key in keys]
    assert [table.find(key) for key in keys] == expected
    assert compiled_find(bytes(made.content), keys) == expected
    in_order = sorted(names)
    for key in keys:
        number = table.number(key)
        assert (number is not None) == (key in names)
        assert number is None or in_order[made.rows[number]] == key
    listed = list(table.all_names())
    assert [number for _, number, _ in listed] == list(range(len(names)))
    assert {key: record for key, _, record in listed} == names
    assert all(table.number(key) == number for key, number, _ in listed)


def ends(key: bytes) -> list[int]:
    """Where the key of each name above `key`, and its own, ends."""
    found = [0]
    while found[-1] < len(key):
        found.append(found[-1] + 1 + key[found[-1]])
    return found


@examples(500)
@given(NAMES, st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(1, 255)), min_size=1, max_size=6), st.booleans())
def test_damaged_tables_are_read_alike(names: dict[bytes, int], flips: list[tuple[int, int]], spares_header: bool) -> None:
    """Bytes are changed anywhere: the file is refused, or both readers find the same in it, within it, and come to an end."""
    content = bytearray(make_table(names, 3).content)
    for at, flip in flips:
        first = HEADER.size if spares_header else 0
        if len(content) > first:
            content[first + at % (len(content) - first)] ^= flip
    keys = [*names, *(key + b"\1a" for key in names if len(key) < 250), b"\3com\2ab", b""]
    check_table(bytes(content), keys)


@pytest.mark.parametrize("write", [reference, compiled])
def test_names_alone_decide_where_an_element_goes(write: NamesMaker) -> None:
    """One more name changes the seed, and with it the bucket of each other name: no list can crowd one with names of its own."""
    names = {b"\4test" + bytes((8,)) + b"%08d" % number: 0 for number in range(2000)}
    seeds = {bytes(make_table(part, write=write).content)[8:24] for part in (names, {**names, b"\3one": 0})}
    assert len(seeds) == 2


Reading: TypeAlias = "Callable[[], list[tuple[list[bytes], array[int]]]]"
NOT_NAMES: list[tuple[Reading, str]] = [
    (lambda: [([b"\1b", b"\1a"], array("I", [0, 0]))], "sorted"),
    (lambda: [([b"\1a", b"\1a"], array("I", [0, 0]))], "sorted"),
    (lambda: [([b"\1a\1b", b"\1a"], array("I", [0, 0]))], "sorted"),
    (lambda: [([b""], array("I", [0])), ([b""], array("I", [0]))], "sorted"),
    (lambda: [([b"\2a"], array("I", [0]))], "not the key"),
    (lambda: [([b"\0"], array("I", [0]))], "not the key"),
    (lambda: [([b"\x40" + b"a" * 64], array("I", [0]))], "not the key"),
    (lambda: [([b"\1a" * 128], array("I", [0]))], "too long"),
    (lambda: [([b"\1a"], array("I", [0, 0]))], "not a row for each"),
    (lambda: [([b"\1a"], array("I", [1]))], "without a record"),
]


@pytest.mark.parametrize(("read", "complaint"), NOT_NAMES)
def test_the_kernel_refuses_what_are_no_sorted_names(read: Reading, complaint: str) -> None:
    """Keys come from files that other processes write: those that cannot be end the compile."""
    with pytest.raises(ValueError, match=complaint):
        compiled(read, NameHash(1, 3), [0], 0)


def test_the_kernel_notices_other_names_the_next_time() -> None:
    """It goes through the names three times: others than the time before never lead it out of its memory, or to
    a file with gaps.
    """
    few, many = [b"\1a", b"\1b"], [bytes((1, letter, 1, letter, 1, letter)) for letter in range(1, 200)]
    for parts in (
        (few, many, many),
        (few, few, many),
        (many, few, few),
        (many, many, few),
        (many, many, many[1:]),
        (few, few, []),
    ):
        turns = iter([(part, array("I", bytes(4 * len(part)))) for part in parts])
        with pytest.raises(ValueError, match="other names than the time before"):
            compiled(partial(islice, turns, 1), NameHash(1, 3), [0], 0)
