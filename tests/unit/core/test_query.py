"""Queries: what is served, what is refused and how, what is met with silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.core.query import error_reply
from pdns.errors import WireError
from pdns.reference.query import parse_query
from pdns.wire import protocol as p
from tests.wire import query_wire, read

GOOD = query_wire("www.Example.com", "AAAA", do=True, cd=1)
PLAIN = query_wire("a.test", edns=None)
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


def refused(wire: bytes) -> WireError:
    with pytest.raises(WireError) as caught:
        parse_query(wire)
    return caught.value


def test_a_query_is_read() -> None:
    """Name, type, class and flags come out; the question is kept byte for byte, the name folded."""
    query = parse_query(GOOD)
    assert (query.id, query.qtype, query.qclass, query.rd, query.cd, query.do, query.edns) == (
        0x1234,
        p.AAAA,
        1,
        True,
        True,
        True,
        True,
    )
    assert query.qname == b"\3www\7example\3com\0"
    assert query.question.startswith(b"\3www\7Example\3com\0")
    assert query.udp_bytes == 1232


def test_without_edns_512_bytes() -> None:
    """A client without EDNS takes 512 bytes, and one that offers less than that as well."""
    assert parse_query(PLAIN).udp_bytes == 512
    assert parse_query(query_wire("a.test", edns=100)).udp_bytes == 512


def test_key_tells_do_and_cd_apart_but_not_case() -> None:
    """One cache key for one question: letter case does not split it, type, DO and CD do."""
    keys = {parse_query(query_wire("a.test", do=do, cd=cd)).key for do in (False, True) for cd in (0, 1)}
    assert len(keys) == 4
    assert parse_query(query_wire("A.TEST")).key == parse_query(query_wire("a.test", query_id=7, edns=512)).key
    assert parse_query(query_wire("a.test", "AAAA")).key not in keys


@pytest.mark.parametrize("size", range(12))
def test_less_than_a_header_gets_silence(size: int) -> None:
    """Nothing sensible can be said to less than twelve bytes."""
    assert refused(GOOD[:size]).rcode is None


def test_responses_get_silence() -> None:
    """A response sent as a query gets no reply, so two servers cannot be made to talk to each other for ever."""
    wire = bytes([*GOOD[:2], GOOD[2] | 0x80, *GOOD[3:]])
    error = refused(wire)
    assert error.rcode is None
    assert error_reply(wire, error) is None


def test_unknown_opcode_gets_notimp_with_clear_flags() -> None:
    """NOTIMP keeps the opcode and nothing else: RA, AD, CD and Z stay clear."""
    wire = bytes([*GOOD[:2], 0x29, 0x70, *GOOD[4:]])
    reply = error_reply(wire, refused(wire))
    assert reply is not None
    assert reply[:4] == bytes([0x12, 0x34, 0xA8, p.NOTIMP])


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(PLAIN[:4] + b"\0\0" + PLAIN[6:], id="no question"),
        pytest.param(PLAIN[:4] + b"\0\2" + PLAIN[6:] + PLAIN[12:], id="two questions"),
        pytest.param(PLAIN[:6] + b"\0\1" + PLAIN[8:], id="a lying ANCOUNT"),
        pytest.param(PLAIN[:8] + b"\0\1" + PLAIN[10:], id="a lying NSCOUNT"),
        pytest.param(PLAIN[:10] + b"\0\1" + PLAIN[12:], id="a lying ARCOUNT"),
        pytest.param(PLAIN[:12] + b"\xc0\x0c\0\1\0\1", id="a pointer to itself"),
        pytest.param(PLAIN[:12] + b"\x40abc\0\0\1\0\1", id="an unknown label type"),
        pytest.param(PLAIN[:-1], id="question cut short"),
        pytest.param(PLAIN[:14], id="name cut short"),
        pytest.param(PLAIN[:12] + b"\x3f" + b"x" * 63 + (b"\x3f" + b"x" * 63) * 3 + b"\0\0\1\0\1", id="a name over 255 bytes"),
        pytest.param(PLAIN[:10] + b"\0\2" + PLAIN[12:] + OPT + OPT, id="two OPT records"),
        pytest.param(PLAIN[:10] + b"\0\1" + PLAIN[12:] + b"\1x" + OPT, id="an OPT record that is not at the root"),
        pytest.param(PLAIN[:10] + b"\0\1" + PLAIN[12:] + OPT[:-2] + b"\0\4\0\7\0\4", id="an option that leaves its record"),
        pytest.param(PLAIN[:10] + b"\0\1" + PLAIN[12:] + OPT[:-2] + b"\0\2\0\7", id="an option cut short"),
        pytest.param(PLAIN[:10] + b"\0\1" + PLAIN[12:] + OPT[:-2] + b"\0\7", id="RDATA that leaves the message"),
        pytest.param(PLAIN[:10] + b"\0\1" + PLAIN[12:] + OPT[:6], id="a record cut short"),
    ],
)
def test_malformed_queries_get_formerr(wire: bytes) -> None:
    """Each kind of broken query gets FORMERR, and the reply is itself well-formed."""
    error = refused(wire)
    assert error.rcode == p.FORMERR
    reply = error_reply(wire, error)
    assert reply is not None
    assert read(reply).header.rcode == p.FORMERR
    assert len(reply) <= len(wire)


@pytest.mark.parametrize("surplus", [b"\0", b"\1", b"surplus", bytes(500)])
@pytest.mark.parametrize("sound", [PLAIN, GOOD, PLAIN[:10] + b"\0\1" + PLAIN[12:] + OPT[:-2] + b"\0\5\xfd\xe9\0\1x"])
def test_surplus_bytes_are_ignored(sound: bytes, surplus: bytes) -> None:
    """A query with bytes after its last record is the query without them."""
    assert parse_query(sound + surplus).key == parse_query(sound).key
    assert parse_query(sound + surplus).edns == parse_query(sound).edns


NOTIFY = bytes([*PLAIN[:2], 0x24, 0, *PLAIN[4:]])
UPDATE = b"\x12\x34\x28\0\0\1\0\0\0\1\0\0" + PLAIN[12:] + b"\xc0\x0c\0\1\0\xff\0\0\0\0\0\0"


def with_opt(wire: bytes, opt: bytes = OPT) -> bytes:
    """`wire` with one more record in its additional section."""
    return wire[:10] + (int.from_bytes(wire[10:12]) + 1).to_bytes(2) + wire[12:] + opt


@pytest.mark.parametrize(
    ("wire", "rcode"),
    [
        pytest.param(NOTIFY, p.NOTIMP, id="NOTIFY"),
        pytest.param(UPDATE, p.NOTIMP, id="UPDATE"),
        pytest.param(PLAIN[:4] + b"\0\0" + PLAIN[6:12], p.FORMERR, id="no question"),
        pytest.param(PLAIN[:4] + b"\0\2" + PLAIN[6:] + PLAIN[12:], p.FORMERR, id="two questions"),
        pytest.param(PLAIN[:6] + b"\0\1" + PLAIN[8:] + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\0", p.FORMERR, id="an answer"),
        pytest.param(PLAIN[:12] + b"\xc0\x0c\0\1\0\1", p.FORMERR, id="a compressed question"),
    ],
)
def test_refusals_have_an_opt_record_when_the_query_has(wire: bytes, rcode: int) -> None:
    """A refused message gets an OPT record in the reply when it has one itself (RFC 6891, 6.1.1 and 7), and none otherwise."""
    for message, edns in ((wire, False), (with_opt(wire), True), (with_opt(wire) + b"surplus", True)):
        error = refused(message)
        assert error.rcode == rcode
        reply = error_reply(message, error)
        assert reply is not None
        assert len(reply) <= len(message)
        opts = [record for record in read(reply).ar if record.rtype == p.OPT]
        assert (len(opts), read(reply).header.rcode) == (int(edns), rcode)


@pytest.mark.parametrize("wire", [with_opt(PLAIN, OPT[:-2] + b"\0\4\0\7\0\4"), with_opt(with_opt(PLAIN))])
def test_a_refused_opt_record_still_gets_one(wire: bytes) -> None:
    """An OPT record with a broken option, and two OPT records: FORMERR comes with an OPT record (RFC 6891, 6.1.1)."""
    reply = error_reply(wire, refused(wire))
    assert reply is not None
    assert reply.endswith(OPT)


def test_edns_version_1_gets_badvers() -> None:
    """BADVERS carries its upper bits in an OPT record, echoes the question and answers nothing."""
    wire = PLAIN[:10] + b"\0\1" + PLAIN[12:] + b"\0\0\x29\x04\xd0\0\1\0\0\0\0"
    error = refused(wire)
    assert error.rcode == p.BADVERS
    reply = error_reply(wire, error)
    assert reply is not None
    parsed = read(reply)
    assert (parsed.header.rcode, parsed.ar[0].edns_rcode if hasattr(parsed.ar[0], "edns_rcode") else parsed.ar[0].ttl >> 24) == (
        0,
        1,
    )
    assert str(parsed.q.qname) == "a.test."
    assert not parsed.rr


def test_unknown_options_flags_and_tc_are_no_error() -> None:
    """Unknown EDNS options and flags, Z, TC and other additional records do not matter."""
    opt = b"\0\0\x29\x04\xd0\0\0\x7f\xff\0\5\xfd\xe9\0\1x"
    extra = b"\0\0\x10\0\1\0\0\0\0\0\1\0"
    query = parse_query(PLAIN[:2] + b"\x03\x40" + PLAIN[4:10] + b"\0\2" + PLAIN[12:] + extra + opt)
    assert query.edns
    assert not query.do


@given(st.binary(max_size=100))
def test_random_bytes_raise_only_wire_errors(wire: bytes) -> None:
    """Whatever arrives, the parser returns a query or raises WireError, and the reply to an error never raises."""
    try:
        parse_query(wire)
    except WireError as error:
        error_reply(wire, error)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.integers(0, len(GOOD)))
def test_mutated_queries_raise_only_wire_errors(at: int, byte: int, length: int) -> None:
    """A good query with one byte changed or its end cut off is read or refused, nothing else."""
    for wire in (GOOD[:at] + bytes([byte]) + GOOD[at + 1 :], GOOD[:length]):
        try:
            query = parse_query(wire)
        except WireError as error:
            error_reply(wire, error)
        else:
            assert query.qname.endswith(b"\0")
