"""What requests for DNS over HTTPS ask, which are refused and how, and for how long answers may be kept."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.wire.doh import (
    HTTP_1_RESPONSE,
    REFUSALS,
    DohQuery,
    DohRequest,
    answer_headers,
    max_age_s,
    read_request,
    refusal_headers,
)

MESSAGE = dns.message.make_query("www.example.com", "A", id=0).to_wire()
TOKEN = b"Zm9v-YmF_0123456789abc"


def b64(message: bytes) -> bytes:
    """As RFC 8484 wants it, without padding."""
    return urlsafe_b64encode(message).rstrip(b"=")


def get(path: bytes, *more: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    return [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"dns.example"), (b":path", path), *more]


def post(path: bytes = b"/dns-query", content_type: bytes = b"application/dns-message") -> list[tuple[bytes, bytes]]:
    return [(b":method", b"POST"), (b":path", path), (b"content-type", content_type)]


def test_the_example_of_the_rfc_is_read() -> None:
    """RFC 8484, 4.1.1: both methods ask for www.example.com."""
    wire = bytes.fromhex("00000100000100000000000003777777076578616d706c6503636f6d0000010001")
    assert read_request(get(b"/dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB")) == DohQuery(wire, b"")
    assert read_request(post(), wire) == DohQuery(wire, b"")


@given(st.binary(min_size=12, max_size=600), st.sampled_from([b"", TOKEN]), st.booleans())
def test_every_message_comes_out_as_it_went_in(message: bytes, token: bytes, by_get: bool) -> None:
    """With both methods, with and without a token; whether it is a DNS query is for others to say."""
    path = b"/dns-query/" + token if token else b"/dns-query"
    asked = read_request(get(path + b"?dns=" + b64(message))) if by_get else read_request(post(path), message)
    assert asked == DohQuery(message, token)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/dns-query", 400),
        (b"/dns-query?", 400),
        (b"/dns-query?dns=", 400),
        (b"/dns-query?dns=AAAA", 400),  # too short for a header
        (b"/dns-query?name=www.example.com&type=A", 400),  # JSON
        (b"/dns-query?dns=" + b64(MESSAGE) + b"=", 400),
        (b"/dns-query?dns=" + b64(MESSAGE)[:-1] + b"+", 400),
        (b"/dns-query?dns=" + b64(MESSAGE) + b"%3D", 400),
        (b"/dns-query?dns=" + b64(MESSAGE) + b"A", 400),  # no number of bytes has so many digits
        (b"/dns-query?dns=" + b64(MESSAGE) + b"&dns=" + b64(MESSAGE), 400),
        (b"/dns-query?DNS=" + b64(MESSAGE), 400),
        (b"/?dns=" + b64(MESSAGE), 404),
        (b"/dns-query/?dns=" + b64(MESSAGE), 404),
        (b"/dns-queryx?dns=" + b64(MESSAGE), 404),
        (b"/dns-query/" + TOKEN + b"/x?dns=" + b64(MESSAGE), 404),
        (b"/dns-query/" + b"a" * 129 + b"?dns=" + b64(MESSAGE), 404),
        (b"/dns-query/a%62?dns=" + b64(MESSAGE), 404),
        (b"/dns-query#x?dns=" + b64(MESSAGE), 404),
        (b"//dns-query?dns=" + b64(MESSAGE), 404),
        (b"https://dns.example/dns-query?dns=" + b64(MESSAGE), 404),
        (b"*", 404),
        (b"", 404),
        (b"/dns-query?dns=" + b"A" * 8192, 414),
    ],
)
def test_paths_are_refused(path: bytes, status: int) -> None:
    """Each with its status, and the same with a token, a further parameter, or none of ours."""
    assert read_request(get(path)) == status


def test_other_parameters_are_ignored() -> None:
    """The message is found wherever it stands."""
    assert read_request(get(b"/dns-query?a=1&dns=" + b64(MESSAGE) + b"&ct=x")) == DohQuery(MESSAGE, b"")


def test_bodies_are_refused() -> None:
    """By content type, by size, and with a method that has none; an empty one is no message."""
    assert read_request(post(content_type=b"application/json"), MESSAGE) == 415
    assert read_request(post()[:2], MESSAGE) == 415
    assert read_request(post(), b"") == 400
    assert read_request(post(), MESSAGE[:11]) == 400
    assert read_request(post(), bytes(65536)) == 413
    assert read_request(post(), bytes(65535)) == DohQuery(bytes(65535), b"")
    assert read_request(get(b"/dns-query?dns=" + b64(MESSAGE)), b"x") == 400


@pytest.mark.parametrize(
    "content_type", [b"Application/DNS-Message", b"application/dns-message; charset=x", b"application/dns-message ;"]
)
def test_content_types_may_be_written_in_other_ways(content_type: bytes) -> None:
    """Letter case and parameters do not matter (RFC 9110, 8.3.1)."""
    assert read_request(post(content_type=content_type), MESSAGE) == DohQuery(MESSAGE, b"")


@pytest.mark.parametrize("method", [b"HEAD", b"PUT", b"get", b"OPTIONS", b"CONNECT", b""])
def test_other_methods_are_refused(method: bytes) -> None:
    """405 where there is something to ask; elsewhere 404 for any method."""
    assert read_request([(b":method", method), (b":path", b"/dns-query")], MESSAGE) == 405
    assert read_request([(b":method", method), (b":path", b"/")], MESSAGE) == 404
    assert (b"allow", b"GET, POST") in refusal_headers(405)


def test_long_headers_are_refused() -> None:
    """Counted as HTTP/2 does, so that many short fields are no way around it."""
    assert read_request(get(b"/dns-query?dns=" + b64(MESSAGE), (b"cookie", b"x" * 16_300))) == 431
    assert read_request(get(b"/dns-query?dns=" + b64(MESSAGE), *[(b"a", b"")] * 500)) == 431


def test_a_refusal_is_known_as_early_as_can_be() -> None:
    """What the fields decide needs no body, and a body of 65,536 bytes is the longest that is kept."""
    request = DohRequest()
    for field in post(content_type=b"text/plain"):
        request.header(*field)
    assert request.refused == 415
    request = DohRequest()
    for field in post():
        request.header(*field)
    assert request.refused == 0
    for _ in range(100):
        request.data(bytes(1000))
    assert request.refused == 413
    assert request.end() == 413


def test_another_path_can_be_chosen() -> None:
    """The root too."""
    assert read_request(post(b"/"), MESSAGE, b"/") == DohQuery(MESSAGE, b"")
    assert read_request(post(b"/" + TOKEN), MESSAGE, b"/") == DohQuery(MESSAGE, TOKEN)
    assert read_request(post(b"/doh/" + TOKEN), MESSAGE, b"/doh") == DohQuery(MESSAGE, TOKEN)
    assert read_request(post(b"/dns-query"), MESSAGE, b"/doh") == 404


@pytest.mark.parametrize("status", REFUSALS)
def test_refusals_say_how_long_they_are(status: int) -> None:
    """And 404 says nothing else."""
    fields = dict(refusal_headers(status))
    assert fields[b":status"] == b"%d" % status
    assert fields[b"content-length"] == b"%d" % len(REFUSALS[status])
    assert status != 404 or fields == {b":status": b"404", b"content-length": b"0"}


def test_http_1_gets_an_answer_of_its_own_kind() -> None:
    """With the length of its text, and the end of the connection."""
    head, _, text = HTTP_1_RESPONSE.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 505 ")
    assert b"content-length: %d" % len(text) in head.split(b"\r\n")
    assert b"connection: close" in head.split(b"\r\n")


def answer(*records: str, authority: tuple[str, ...] = (), rcode: int = 0, flags: int = 0) -> bytes:
    """An answer with records as text, compressed."""
    response = dns.message.make_response(dns.message.make_query("www.example.com", "A", id=0))
    response.answer = [dns.rrset.from_text(*_parts(text)) for text in records]
    response.authority = [dns.rrset.from_text(*_parts(text)) for text in authority]
    response.set_rcode(dns.rcode.Rcode(rcode))
    response.flags |= flags
    return response.to_wire()


def _parts(text: str) -> tuple[str, int, str, str, str]:
    name, ttl_s, rtype, rdata = text.split(maxsplit=3)
    return name, int(ttl_s), "IN", rtype, rdata


SOA = "example.com. {} SOA ns.example.com. host.example.com. 1 2 3 4 {}"


@pytest.mark.parametrize(
    ("wire", "seconds"),
    [
        (answer("www.example.com. 300 A 192.0.2.1"), 300),
        (answer("www.example.com. 300 CNAME x.example.net.", "x.example.net. 20 A 192.0.2.1"), 20),
        (answer("www.example.com. 300 A 192.0.2.1", authority=("example.com. 5 NS ns.example.com.",)), 300),
        (answer(authority=(SOA.format(900, 60),), rcode=3), 60),
        (answer(authority=(SOA.format(30, 60),)), 30),
        (answer("www.example.com. 300 CNAME x.example.com.", authority=(SOA.format(900, 60),), rcode=3), 60),
        (answer(), 0),
        (answer(authority=("example.com. 5 NS ns.example.com.",)), 0),
        (answer("www.example.com. 300 A 192.0.2.1", rcode=2), 0),
        (answer("www.example.com. 300 A 192.0.2.1", rcode=5), 0),
        (answer("www.example.com. 300 A 192.0.2.1", flags=dns.flags.TC), 0),
        (answer("www.example.com. 2147483647 A 192.0.2.1"), 2147483647),
        (answer("www.example.com. 300 A 192.0.2.1")[:-1], 0),
        (b"", 0),
        (MESSAGE, 0),
    ],
)
def test_answers_may_be_kept_for_their_smallest_ttl(wire: bytes, seconds: int) -> None:
    """RFC 8484, 5.1; negative ones for as long as RFC 2308 says; failures not at all."""
    assert max_age_s(wire) == seconds
    assert (b"cache-control", b"private, max-age=%d" % seconds) in answer_headers(len(wire), seconds)


def test_a_negative_ttl_is_zero() -> None:
    """RFC 2181, 8: one with its highest bit set is 0."""
    wire = answer("www.example.com. 2147483647 A 192.0.2.1")
    assert max_age_s(wire.replace(b"\x7f\xff\xff\xff", b"\x80\x00\x00\x01")) == 0


@given(st.binary(max_size=80), st.integers(0, 120), st.integers(0, 255))
def test_no_bytes_raise(junk: bytes, at: int, byte: int) -> None:
    """Whatever is there, the answer is a number of seconds."""
    wire = bytearray(answer("www.example.com. 300 CNAME x.example.com.", authority=(SOA.format(900, 60),), rcode=3))
    wire[at % len(wire)] = byte
    for damaged in (junk, bytes(wire), bytes(wire[:at])):
        assert 0 <= max_age_s(damaged) < 1 << 31
