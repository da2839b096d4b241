"""Which messages answer a query, and which do not."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pdns.upstream.matching import MAX_UDP_BYTES, Mismatch, ReplyQuality, match, quality_of, refuses_edns
from pdns.wire.message import Message
from tests.effort import examples

ID = 0xBEEF
TAIL = b"\0\1\0\1"  # A, IN
QUESTION = b"\3wwW\7exAMple\4test\0" + TAIL
OTHER_CASE = b"\3wWw\7exAMple\4test\0" + TAIL
RECORD = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\7"


def message(
    query_id: int = ID,
    flags: int = 0x8180,
    question: bytes = QUESTION,
    body: bytes = RECORD,
    counts: tuple[int, int, int, int] = (1, 1, 0, 0),
) -> bytes:
    return struct.pack("!HHHHHH", query_id, flags, *counts) + question + body


GOOD = message()


def test_the_answer_is_accepted() -> None:
    """Right id, QR, opcode and question: the parsed message comes back."""
    matched = match(GOOD, ID, QUESTION, exact=True)
    assert isinstance(matched, Message)
    assert matched.wire == GOOD


@pytest.mark.parametrize(
    ("wire", "verdict"),
    [
        pytest.param(b"", Mismatch.MALFORMED, id="nothing"),
        pytest.param(GOOD[:11], Mismatch.MALFORMED, id="less than a header"),
        pytest.param(message(query_id=ID ^ 1), Mismatch.UNMATCHED, id="another id"),
        pytest.param(message(flags=0x0180), Mismatch.UNMATCHED, id="a query"),
        pytest.param(message(flags=0x8180 | 5 << 11), Mismatch.UNMATCHED, id="another opcode"),
        pytest.param(message(question=QUESTION[:-4] + b"\0\x1c\0\1"), Mismatch.UNMATCHED, id="another type"),
        pytest.param(message(question=QUESTION[:-1] + b"\3"), Mismatch.UNMATCHED, id="another class"),
        pytest.param(message(question=QUESTION.replace(b"wwW", b"wwX")), Mismatch.UNMATCHED, id="another name"),
        pytest.param(message(question=QUESTION[4:]), Mismatch.UNMATCHED, id="the name above"),
        pytest.param(message(question=b"", body=b"", counts=(0, 0, 0, 0)), Mismatch.NO_QUESTION, id="no question"),
        pytest.param(message(question=QUESTION * 2, counts=(2, 1, 0, 0)), Mismatch.UNUSABLE, id="two questions"),
        pytest.param(message(question=QUESTION * 2), Mismatch.UNUSABLE, id="two questions, one counted"),
        pytest.param(message(counts=(1, 2, 0, 0)), Mismatch.UNUSABLE, id="fewer records than counted"),
        pytest.param(message(body=b"\xc0\x22" + RECORD[2:]), Mismatch.UNUSABLE, id="a pointer to itself"),
        pytest.param(message(question=OTHER_CASE, counts=(1, 2, 0, 0)), Mismatch.MALFORMED, id="another case, and damaged"),
        pytest.param(message(question=b"\1x\0" + TAIL, counts=(2, 1, 0, 0)), Mismatch.MALFORMED, id="two questions of others"),
        pytest.param(message(question=OTHER_CASE), Mismatch.OTHER_CASE, id="another case"),
        pytest.param(message(question=OTHER_CASE, flags=0x8380), Mismatch.OTHER_CASE, id="another case, TC"),
        pytest.param(message(flags=0x8380, body=RECORD[:5]), Mismatch.TRUNCATED, id="TC, cut within a record"),
        pytest.param(message(body=RECORD * 90, counts=(1, 90, 0, 0)), Mismatch.TRUNCATED, id="longer than allowed"),
        pytest.param(message(flags=0x8181, question=b"", body=b"", counts=(0, 0, 0, 0)), Mismatch.BARE, id="bare FORMERR"),
        pytest.param(message(flags=0x8184, question=b"", body=b"", counts=(0, 0, 0, 0)), Mismatch.BARE, id="bare NOTIMP"),
    ],
)
def test_what_is_not_accepted(wire: bytes, verdict: Mismatch) -> None:
    """Everything that differs in a matched field, or is not sound, is distinguished."""
    assert match(wire, ID, QUESTION, exact=True) is verdict


def test_case_is_free_where_it_was_not_mixed() -> None:
    """Without 0x20 an upstream may answer in any case."""
    assert isinstance(match(message(question=OTHER_CASE), ID, QUESTION, exact=False), Message)
    assert match(message(question=OTHER_CASE, flags=0x8380), ID, QUESTION, exact=False) is Mismatch.TRUNCATED


def test_streams_may_carry_more() -> None:
    """The limit of our UDP queries does not hold over TCP."""
    long = message(body=RECORD * 90, counts=(1, 90, 0, 0))
    assert len(long) > MAX_UDP_BYTES
    assert isinstance(match(long, ID, QUESTION, exact=True, max_bytes=65535), Message)


mutations = st.one_of(
    st.tuples(st.just("set"), st.integers(0, len(GOOD) - 1), st.integers(0, 255)),
    st.tuples(st.just("cut"), st.integers(0, len(GOOD)), st.just(0)),
    st.tuples(st.just("insert"), st.integers(0, len(GOOD)), st.integers(0, 255)),
    st.tuples(st.just("delete"), st.integers(0, len(GOOD) - 1), st.just(0)),
)


@examples(500)
@given(changes=st.lists(mutations, min_size=1, max_size=4), exact=st.booleans())
@example(changes=[("set", 0, 0)], exact=True)
@example(changes=[("set", 14, 0x57)], exact=True)
@example(changes=[("set", 14, 0x57)], exact=False)
def test_no_mutation_is_accepted_that_touches_what_must_match(changes: list[tuple[str, int, int]], exact: bool) -> None:
    """Whatever bytes change, what is accepted has our id, QR=1, opcode 0, one question, and that question is ours."""
    wire = bytearray(GOOD)
    for kind, at, byte in changes:
        if kind == "set" and at < len(wire):
            wire[at] = byte
        elif kind == "cut":
            del wire[at:]
        elif kind == "insert":
            wire.insert(at, byte)
        elif at < len(wire):
            del wire[at]
    matched = match(bytes(wire), ID, QUESTION, exact=exact)
    if isinstance(matched, Message):
        assert wire[:2] == GOOD[:2]
        assert wire[2] & 0xF8 == 0x80
        assert wire[4:6] == b"\0\1"
        asked = QUESTION if exact else QUESTION.lower()
        assert matched.question == bytes(wire[12 : 12 + len(QUESTION)])
        assert (matched.question if exact else matched.question.lower()) == asked


@given(st.binary(max_size=600))
def test_noise_raises_nothing(noise: bytes) -> None:
    """Any bytes, with and without the right head before them, are given a verdict."""
    for wire in (noise, GOOD[:12] + noise, GOOD[: 12 + len(QUESTION)] + noise):
        assert isinstance(match(wire, ID, QUESTION, exact=True), Message | Mismatch)


NS_RECORD = b"\xc0\x10\0\2\0\1\0\0\1\x2c\0\4\2ns\0"
SOA_RECORD = b"\xc0\x10\0\6\0\1\0\0\1\x2c\0\x16\0\0" + bytes(20)
BADVERS_OPT = b"\0\0\x29\x04\xd0\1\0\0\0\0\0"
PLAIN_OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("wire", "quality"),
    [
        pytest.param(GOOD, ReplyQuality.OK, id="records"),
        pytest.param(message(flags=0x8183, body=SOA_RECORD, counts=(1, 0, 1, 0)), ReplyQuality.OK, id="NXDOMAIN"),
        pytest.param(message(body=SOA_RECORD, counts=(1, 0, 1, 0)), ReplyQuality.OK, id="NODATA"),
        pytest.param(message(body=b"", counts=(1, 0, 0, 0)), ReplyQuality.OK, id="NODATA without SOA"),
        pytest.param(message(body=NS_RECORD + SOA_RECORD, counts=(1, 0, 2, 0)), ReplyQuality.OK, id="NODATA with NS"),
        pytest.param(message(body=NS_RECORD, counts=(1, 0, 1, 0)), ReplyQuality.OK, id="NODATA with NS and no SOA"),
        pytest.param(message(flags=0x8100, body=NS_RECORD, counts=(1, 0, 1, 0)), ReplyQuality.ERROR, id="referral"),
        pytest.param(message(flags=0x8182, body=b"", counts=(1, 0, 0, 0)), ReplyQuality.SERVFAIL, id="SERVFAIL"),
        pytest.param(message(flags=0x8181, body=b"", counts=(1, 0, 0, 0)), ReplyQuality.FORMERR, id="FORMERR"),
        pytest.param(message(flags=0x8185, body=b"", counts=(1, 0, 0, 0)), ReplyQuality.REFUSED, id="REFUSED"),
        pytest.param(message(flags=0x8184, body=b"", counts=(1, 0, 0, 0)), ReplyQuality.NOTIMP, id="NOTIMP"),
        pytest.param(message(body=BADVERS_OPT, counts=(1, 0, 0, 1)), ReplyQuality.ERROR, id="BADVERS"),
    ],
)
def test_what_answers_are_worth(wire: bytes, quality: ReplyQuality) -> None:
    """NOERROR and NXDOMAIN are answers, referrals and all other rcodes are not."""
    matched = match(wire, ID, QUESTION, exact=True)
    assert isinstance(matched, Message)
    assert quality_of(matched) is quality


@pytest.mark.parametrize(
    ("wire", "refused"),
    [
        pytest.param(message(flags=0x8181, body=b"", counts=(1, 0, 0, 0)), True, id="FORMERR"),
        pytest.param(message(flags=0x8184, body=b"", counts=(1, 0, 0, 0)), True, id="NOTIMP"),
        pytest.param(message(body=BADVERS_OPT, counts=(1, 0, 0, 1)), True, id="BADVERS"),
        pytest.param(message(flags=0x8181, body=PLAIN_OPT, counts=(1, 0, 0, 1)), False, id="FORMERR with OPT"),
        pytest.param(message(flags=0x8182, body=b"", counts=(1, 0, 0, 0)), False, id="SERVFAIL"),
        pytest.param(GOOD, False, id="an answer without OPT"),
    ],
)
def test_what_refuses_edns(wire: bytes, refused: bool) -> None:
    """FORMERR and NOTIMP from a server without EDNS, and BADVERS, ask for the question without it."""
    matched = match(wire, ID, QUESTION, exact=True)
    assert isinstance(matched, Message)
    assert refuses_edns(matched) is refused
