"""DNS over HTTPS, compiled and Python: the same queries, the same refusals, whatever comes, in whatever pieces."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import dns.message
from hypothesis import example, given
from hypothesis import strategies as st

from pdns.fast import doh as compiled
from pdns.fast.http2 import Http2Limits, Http2Session
from pdns.wire import doh as python
from pdns.wire.doh import DohQuery
from tests.http2frames import DATA, END_STREAM, Fields, Responses, frame, headers, start

BASE = b"/dns-query"
LIMITS = Http2Limits(100)
MESSAGES = st.binary(max_size=700)
DIGITS = st.text("ABCabc019-_=+/%.~", max_size=40).map(str.encode)
VALUES = st.one_of(MESSAGES.map(lambda message: urlsafe_b64encode(message).rstrip(b"=")), MESSAGES.map(urlsafe_b64encode), DIGITS)
DNS = VALUES.map(lambda value: b"dns=" + value)
PARAMETERS = st.lists(st.one_of(DNS, DNS, st.sampled_from([b"", b"name=x", b"dns"])), max_size=3).map(b"&".join)
TOKENS = st.one_of(DIGITS, st.sampled_from([b"", b"a" * 128, b"a" * 129]))
PATHS = st.one_of(
    st.just(BASE), st.just(BASE), TOKENS.map(lambda token: BASE + b"/" + token), st.sampled_from([b"/", b"/dns-quer", b"/doh"])
)
WHOLE_PATHS = st.one_of(
    st.tuples(PATHS, PARAMETERS).map(b"?".join),
    st.tuples(PATHS, PARAMETERS).map(b"?".join),
    st.just(BASE + b"?" + b"x" * 8192),
    PATHS,
)
TYPES = st.sampled_from([
    b"application/dns-message", b"application/dns-message", b"APPLICATION/dns-messagE; x=y", b"application/dns-message \t;",
    b"application/dns-messagex", b"application/dns-json", b";", b"application/dns-message, x",
])  # fmt: skip


@st.composite
def fields_of(draw: st.DrawFn) -> Fields:
    """The fields of a request, sound by the rules of HTTP/2."""
    method = draw(st.sampled_from([b"GET", b"GET", b"POST", b"POST", b"PUT", b"HEAD", b"get"]))
    fields = [(b":method", method), (b":scheme", b"https"), (b":authority", b"x"), (b":path", draw(WHOLE_PATHS))]
    fields = draw(st.permutations(fields))
    fields += [(b"content-type", value) for value in draw(st.lists(TYPES, max_size=2))]
    return fields + draw(st.sampled_from([[], [], [], [(b"cookie", b"x" * 9000)] * 2, [(b"a", b"")] * 480]))


REQUESTS = st.lists(st.tuples(fields_of(), st.one_of(st.just(b""), MESSAGES)), min_size=1, max_size=4)


def wire_of(requests: list[tuple[Fields, bytes]]) -> bytes:
    """All of it, as a client sends it."""
    wire = start()
    for number, (fields, body) in enumerate(requests):
        stream = 2 * number + 1
        wire += headers(stream, fields, ends=not body)
        parts = [body[at : at + 300] for at in range(0, len(body), 300)]
        wire += b"".join(frame(DATA, END_STREAM * (part is parts[-1]), stream, part) for part in parts)
    return wire


def outcomes(wire: bytes, cuts: list[int]) -> tuple[dict[int, DohQuery | int], Responses]:
    """What a session finds in `wire`, which comes in pieces. It answers each query with its own message."""
    session, responses = Http2Session(LIMITS, BASE, 0.0), Responses()
    found: dict[int, DohQuery | int] = {}
    ends = sorted({cut % (len(wire) + 1) for cut in cuts} | {len(wire)})
    for begin, end in zip([0, *ends], ends, strict=False):
        assert session.feed(wire[begin:end], 0.0) == ""
        for stream, message, token in session.requests():
            found[stream] = DohQuery(message, token)
            assert session.answer(stream, message, 5)
        responses.take(session.output())
    for stream in responses.fields:
        if responses.status(stream) != 200:
            found[stream] = responses.status(stream)
    return found, responses


@given(REQUESTS, st.lists(st.integers(0, 1 << 20), max_size=6))
@example(
    [([(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", BASE + b"?dns=" + b"A" * 8170)], b"")], []
)
def test_requests_are_read_alike(requests: list[tuple[Fields, bytes]], cuts: list[int]) -> None:
    """Each is the same query, or is refused with the same fields and text; a piece more or less makes no difference."""
    wire = wire_of(requests)
    found, responses = outcomes(wire, cuts)
    for number, (fields, body) in enumerate(requests):
        stream = 2 * number + 1
        expected = python.read_request(fields, body)
        assert found[stream] == expected
        size = len(expected.message) if isinstance(expected, DohQuery) else 0
        heads = python.answer_headers(size, 5) if isinstance(expected, DohQuery) else python.refusal_headers(expected)
        assert responses.fields[stream] == dict(heads)
        text = expected.message if isinstance(expected, DohQuery) else python.REFUSALS[expected]
        assert responses.bodies.get(stream, b"") == text
        assert stream in responses.ended
    assert outcomes(wire, [])[0] == found


@given(VALUES)
def test_base64url_is_read_alike(value: bytes) -> None:
    """Padding, other alphabets and lengths that cannot be are refused by both."""
    assert compiled.message_of(value) == python.message_of(b"dns=" + value)


RECORDS = st.tuples(st.sampled_from([1, 6, 2, 5]), st.integers(0, (1 << 32) - 1), st.binary(max_size=40))


@given(
    st.lists(RECORDS, max_size=4), st.integers(0, 5), st.sampled_from([0, 3, 2, 0x200]), st.integers(0, 9), st.binary(max_size=3)
)
def test_lifetimes_are_read_alike(records: list[tuple[int, int, bytes]], answers: int, flags: int, cut: int, junk: bytes) -> None:
    """Of sound messages and of damaged ones."""
    query = dns.message.make_query("www.example.com", "A").to_wire()
    counts = (1).to_bytes(2) + min(answers, len(records)).to_bytes(2) + max(0, len(records) - answers).to_bytes(2)
    wire = query[:2] + flags.to_bytes(2) + counts + query[10:]
    for rtype, ttl_s, rdata in records:
        wire += b"\xc0\x0c" + rtype.to_bytes(2) + b"\0\1" + ttl_s.to_bytes(4) + len(rdata).to_bytes(2) + rdata
    for one in (wire, wire[: len(wire) - cut], wire[:12] + junk + wire[15:]):
        assert compiled.max_age_s(one) == python.max_age_s(one)


@given(st.binary(max_size=60))
def test_lifetimes_of_junk_are_read_alike(junk: bytes) -> None:
    """Whatever it is."""
    assert compiled.max_age_s(junk) == python.max_age_s(junk)
