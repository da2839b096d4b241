"""Responses of upstreams: sound in every record, or not believed at all."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.errors import WireError
from pdns.wire import protocol as p
from pdns.wire.message import build_query, parse_message, read_name
from tests.wire import read, response_wire

GOOD = response_wire(
    "www.a.test", "A", "www.a.test 60 IN CNAME b.test\nb.test 300 IN A 192.0.2.1", authority="a.test 60 IN NS ns.a.test",
    additional="ns.a.test 60 IN A 192.0.2.2", edns=True,
)  # fmt: skip
QUESTION = b"\1a\4test\0\0\1\0\1"
HEAD = b"\x12\x34\x81\x80\0\1\0\1\0\0\0\0" + QUESTION
RECORD = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"


def test_a_response_is_read() -> None:
    """Sections, owners, types and TTLs come out; the OPT record is not among the additional records."""
    message = parse_message(GOOD)
    assert [(r.owner, r.rtype, r.ttl_s) for r in message.answer] == [
        (b"\3www\1a\4test\0", p.CNAME, 60),
        (b"\1b\4test\0", p.A, 300),
    ]
    assert [r.rtype for r in message.authority] == [p.NS]
    assert [r.rtype for r in message.additional] == [p.A]
    assert message.edns
    assert message.question == b"\3www\1a\4test\0\0\1\0\1"


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"", id="empty"),
        pytest.param(HEAD, id="a lying ANCOUNT"),
        pytest.param(HEAD[:5] + b"\2" + HEAD[6:] + QUESTION + RECORD, id="two questions"),
        pytest.param(HEAD[:-2], id="question cut short"),
        pytest.param(HEAD + RECORD[:9], id="record cut short"),
        pytest.param(HEAD + RECORD[:-1], id="RDATA leaves the message"),
        pytest.param(HEAD + RECORD[:11] + b"\3\xc0\0\2", id="an A record of three bytes"),
        pytest.param(HEAD + b"\xc0\xff" + RECORD[2:], id="a pointer forward"),
        pytest.param(HEAD + b"\xc0\x17" + RECORD[2:], id="a pointer to itself"),
        pytest.param(HEAD + b"\xc0\x02" + RECORD[2:], id="a pointer into the header"),
        pytest.param(HEAD + b"\xc0", id="a pointer cut short"),
        pytest.param(HEAD + b"\x80\x0c" + RECORD[2:], id="an unknown label type"),
        pytest.param(HEAD + b"\5ab", id="a label that leaves the message"),
        pytest.param(HEAD + b"\1a", id="a name without an end"),
        pytest.param(HEAD + b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\2\xc0\x23", id="a CNAME that points at itself"),
        pytest.param(HEAD + b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\3\xc0\x0c\0", id="bytes after a CNAME's name"),
        pytest.param(HEAD + b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\1\xc0\x0c", id="a name that leaves its RDATA"),
        pytest.param(HEAD + b"\xc0\x0c\0\6\0\1\0\0\0\x3c\0\4\xc0\x0c\xc0\x0c", id="an SOA without its numbers"),
    ],
)
def test_unsound_responses_are_refused(wire: bytes) -> None:
    """Counts that lie, names that loop, records that overrun: none is believed."""
    with pytest.raises(WireError):
        parse_message(wire)


NS_RECORD = b"\xc0\x0c\0\2\0\1\0\0\0\x3c\0\2\xc0\x0c"
BROKEN_NS = NS_RECORD[:-2] + b"\xc0\xff"
OPT = b"\0\0\x29\4\xd0\0\0\0\0\0\0"
NO_COUNTS = HEAD[:6]


@pytest.mark.parametrize(
    ("counts", "behind", "edns"),
    [
        pytest.param((1, 0, 0), b"\0", False, id="a byte behind the last record"),
        pytest.param((1, 0, 0), RECORD * 3, False, id="records behind the last record"),
        pytest.param((1, 0, 2), OPT * 2, True, id="two OPT records"),
        pytest.param((1, 0, 1), OPT[:-2] + b"\0\3\0\1\0", True, id="an EDNS option cut short"),
        pytest.param((1, 1, 1), BROKEN_NS + OPT, False, id="a damaged authority section behind an answer"),
        pytest.param((1, 0, 2), OPT + BROKEN_NS, True, id="a damaged additional section"),
        pytest.param((1, 0, 9), OPT, True, id="fewer additional records than counted"),
    ],
)
def test_what_is_not_used_is_not_judged(counts: tuple[int, int, int], behind: bytes, edns: bool) -> None:
    """Bytes and damage where nothing is read from do not cost the answer."""
    wire = NO_COUNTS + b"".join(count.to_bytes(2) for count in counts) + HEAD[12:] + RECORD + behind
    message = parse_message(wire)
    assert (len(message.answer), message.rcode, message.edns) == (1, 0, edns)


def test_the_authority_section_of_a_negative_answer_is_judged() -> None:
    """Without an answer it is what is used."""
    with pytest.raises(WireError):
        parse_message(NO_COUNTS + b"\0\0\0\1\0\0" + HEAD[12:] + BROKEN_NS)


def test_a_pointer_chain_over_255_bytes_is_refused() -> None:
    """Pointers cannot add up to a name longer than names are."""
    wire = b"\0" * 12 + b"\x3f" + b"x" * 63 + b"\0"
    at = [12]
    for _ in range(4):
        at.append(len(wire))
        wire += b"\x3f" + b"y" * 63 + (0xC000 | at[-2]).to_bytes(2)
    with pytest.raises(WireError):
        read_name(wire, at[-1])
    assert len(read_name(wire, at[2])[0]) == 64 * 3 + 1


def test_extended_rcode_counts() -> None:
    """BADVERS is read from header and OPT record together."""
    wire = HEAD[:7] + b"\0\0\0\0\1" + QUESTION + b"\0\0\x29\4\xd0\1\0\0\0\0\0"
    assert parse_message(wire).rcode == p.BADVERS


def test_our_query_is_plain() -> None:
    """What we ask carries RD and AD, 1232 bytes, DO and CD as wanted, and no option."""
    record = read(build_query(77, QUESTION, do=True, cd=True))
    assert (record.header.id, record.header.rd, record.header.ad, record.header.cd) == (77, 1, 1, 1)
    assert (record.ar[0].rclass, record.ar[0].ttl, record.ar[0].rdata) == (1232, 0x8000, [])
    assert not read(build_query(77, QUESTION, do=True, cd=False, edns=False)).ar


@given(st.integers(12, len(GOOD) - 1), st.integers(0, 255), st.integers(0, len(GOOD)))
def test_mutated_responses_raise_only_wire_errors(at: int, byte: int, filter_key: int) -> None:
    """A response with one byte changed or its end cut off is read or refused, nothing else."""
    for wire in (GOOD[:at] + bytes([byte]) + GOOD[at + 1 :], GOOD[:filter_key]):
        try:
            parse_message(wire)
        except WireError:
            continue


@given(st.binary(max_size=200))
def test_random_bytes_raise_only_wire_errors(tail: bytes) -> None:
    """Random bytes behind a header that promises everything are read or refused, nothing else."""
    with suppress(WireError):
        parse_message(b"\0\1\x80\0\0\1\0\2\0\2\0\2" + tail)


def test_a_name_does_not_run_into_itself() -> None:
    """A pointer into the middle of a label makes one that takes in what follows: it would be another one beside other records."""
    question = b"\5cdn-7\7example\0\0\1\0\1"
    cname = b"\xc0\x0c\0\5\0\1\0\0\1\x2c\0\4\1b\xc0\x10"
    wire = b"\0\0\x81\x80\0\1\0\2\0\0\0\0" + question + cname + b"\xc0\x29\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1" + bytes(20)
    with pytest.raises(WireError, match="name leaves the message"):
        parse_message(wire)


def test_a_message_without_a_question() -> None:
    """A header alone is a message: some servers report an error so."""
    message = parse_message(b"\0\1\x81\x81" + bytes(8))
    assert (message.question, message.answer) == (b"", ())
