"""Padding: multiples of 468 bytes, only where EDNS is, and never above 65,535 bytes."""

from __future__ import annotations

import dns.edns
import dns.message
import pytest

from pdns.wire.padding import ANSWER_BLOCK_BYTES, QUERY_BLOCK_BYTES, padded
from tests.wire import query_wire


@pytest.mark.parametrize("block", [ANSWER_BLOCK_BYTES, QUERY_BLOCK_BYTES])
@pytest.mark.parametrize("labels", [1, 8, 30])
def test_a_message_with_edns_fills_whole_blocks(block: int, labels: int) -> None:
    """The same message otherwise, with one option of zeros; its options before stay."""
    wire = query_wire(".".join(["abcdefg"] * labels), edns=1232)
    got = padded(wire, block)
    assert len(got) % block == 0
    assert 0 <= len(got) - len(wire) - 4 < block
    before, after = dns.message.from_wire(wire), dns.message.from_wire(got)
    assert (after.question, after.ednsflags, after.payload) == (before.question, before.ednsflags, before.payload)
    (option,) = after.options
    assert option.otype == dns.edns.OptionType.PADDING
    assert not any(option.to_wire() or b"")


def test_a_message_of_whole_blocks_gets_another() -> None:
    """Four bytes of option do not fit into what is full."""
    wire = padded(query_wire("www.example"))
    assert len(padded(wire)) == 2 * ANSWER_BLOCK_BYTES


def test_a_message_without_edns_stays() -> None:
    """So do broken ones, and those that end in something else than OPT."""
    plain = query_wire("www.example", edns=None)
    sound = query_wire("www.example")
    for wire in (plain, b"", bytes(12), sound[:-1], sound + b"\0", sound[:12]):
        assert padded(wire) == wire


@pytest.mark.parametrize("free", range(8))
def test_the_longest_message_has_65535_bytes(free: int) -> None:
    """A message near the limit is padded to it; one without room for the option stays."""
    message = dns.message.make_query("www.example", "TXT", use_edns=0)
    wire = message.to_wire()
    rest = 65535 - free - len(wire) - 4
    message.use_edns(0, options=[dns.edns.GenericOption(dns.edns.OptionType.make(65001), bytes(rest))])
    wire = message.to_wire(max_size=65535)
    assert len(wire) == 65535 - free
    assert len(padded(wire)) == (65535 if free >= 4 else len(wire))
