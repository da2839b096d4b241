"""Padding, compiled and Python: the same bytes, whatever the message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pdns.fast.encrypted import padded as compiled
from pdns.wire.padding import ANSWER_BLOCK_BYTES, padded
from tests.wire import query_wire, response_wire

NAMES = st.lists(st.text("abcdefghij", min_size=1, max_size=20), min_size=1, max_size=9).map(".".join)
QUERIES = st.builds(query_wire, NAMES, edns=st.sampled_from([None, 512, 1232]), do=st.booleans())
ANSWERS = st.builds(lambda name, edns: response_wire(name, "A", f"{name}. 60 IN A 192.0.2.1", edns=edns), NAMES, st.booleans())


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A message with some bytes changed, or cut, or with something behind it."""
    wire = bytearray(draw(st.one_of(QUERIES, ANSWERS)))
    for _ in range(draw(st.integers(0, 4))):
        wire[draw(st.integers(0, len(wire) - 1))] = draw(st.integers(0, 255))
    return bytes(wire[: draw(st.one_of(st.none(), st.integers(0, len(wire))))]) + draw(st.binary(max_size=40))


@given(st.one_of(QUERIES, ANSWERS, damaged(), st.binary(max_size=80)))
def test_twins_pad_alike(wire: bytes) -> None:
    """And what is padded is not shorter, and fills blocks."""
    got = compiled(wire)
    assert got == padded(wire)
    assert got == wire or (len(got) % ANSWER_BLOCK_BYTES == 0 and len(got) >= len(wire) + 4)


def test_a_label_may_end_with_zero() -> None:
    """It is no end of the name."""
    wire = query_wire("ab.example", edns=1232).replace(b"\x02ab", b"\x02a\0")
    assert compiled(wire) == padded(wire)
    assert len(compiled(wire)) == ANSWER_BLOCK_BYTES


@given(st.integers(64900, 65535), st.binary(max_size=3))
def test_twins_agree_on_the_longest(size: int, tail: bytes) -> None:
    """Near 65,535 bytes, where there may be no room."""
    query = query_wire("www.example")
    option = size - len(query) - 4
    wire = query[:-2] + (option + 4).to_bytes(2) + b"\xfd\xe9" + option.to_bytes(2) + bytes(option) + tail
    wire = wire[:65535]
    assert compiled(wire) == padded(wire)
