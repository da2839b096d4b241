"""DNS over QUIC, byte by byte: what is a query, and what ends the connection."""

from __future__ import annotations

from itertools import pairwise

import dns.edns
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.quic.doq import DoqStream, DoqViolation, framed, has_keepalive, read_query

QUERY = dns.message.make_query("www.council.example", "A", id=0).to_wire()


def _option(number: int, data: bytes) -> dns.edns.GenericOption:
    return dns.edns.GenericOption(dns.edns.OptionType(number), data)


KEEPALIVE = dns.message.make_query(
    "www.council.example", "A", id=0, use_edns=0, options=[_option(10, bytes(8)), _option(11, b"")]
).to_wire()


@given(st.lists(st.integers(0, len(QUERY) + 2)))
def test_a_query_may_come_in_any_pieces(cuts: list[int]) -> None:
    """It is there with the end of the stream, and not before."""
    data, stream = framed(QUERY), DoqStream(0.0)
    edges = [0, *sorted(cuts), len(data)]
    for start, end in pairwise(edges):
        assert stream.feed(data[start:end], ended=False) is None
    assert stream.feed(b"", ended=True) == QUERY


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "ends within"),
        (b"\0", "ends within"),
        (framed(QUERY)[:-1], "ends within"),
        (framed(QUERY) + b"\0", "more than one"),
        (framed(QUERY) * 2, "more than one"),
        (framed(b"\0\1" + QUERY[2:]), "message ID"),
        (framed(b"\1\0" + QUERY[2:]), "message ID"),
        (framed(bytes(11)), "no DNS message"),
        (framed(b""), "no DNS message"),
        (framed(KEEPALIVE), "keepalive"),
    ],
)
def test_what_breaks_the_protocol(data: bytes, why: str) -> None:
    """RFC 9250, 4.2, 4.2.1, 4.3.3 and 5.5.2."""
    with pytest.raises(DoqViolation, match=why):
        DoqStream(0.0).feed(data, ended=True)


def test_a_second_query_is_found_before_the_end() -> None:
    """A client that never ends a stream cannot fill it."""
    with pytest.raises(DoqViolation, match="more than one"):
        DoqStream(0.0).feed(framed(QUERY) + b"\0", ended=False)


def test_other_options_are_no_keepalive() -> None:
    """A cookie, and bytes of another option that look like one."""
    looks_like = _option(12, b"\0\x0b\0\0")
    cookie = dns.message.make_query("a.example", "A", id=0, use_edns=0, options=[looks_like]).to_wire()
    assert read_query(cookie) == cookie
    assert has_keepalive(KEEPALIVE)


@given(st.binary(max_size=80))
def test_any_bytes_are_looked_at_safely(data: bytes) -> None:
    """No message makes the search for the option raise or go on for ever."""
    has_keepalive(QUERY[:12] + data)
    has_keepalive(b"\0\0\1\0\0\1\0\0\0\0\0\1" + data)
