"""RDATA from text: what dnspython makes of the same text, or a reason."""

from __future__ import annotations

import dns.name
import dns.rdata
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.rdata_text import TYPES, rdata_of, text_rdata, ttl_of, type_of, words_of
from pdns.errors import InvalidRecord
from pdns.wire import names
from pdns.wire import protocol as p

VALID = [
    ("A", "192.0.2.1"),
    ("AAAA", "2001:db8::1"),
    ("CAA", '128 issue "ca.example; policy=ev"'),
    ("CNAME", "www.example."),
    ("HTTPS", "0 www.example."),
    ("HTTPS", "1 ."),
    ("HTTPS", '16 svc.example. mandatory=port,alpn alpn="h2,h3" port=8443 no-default-alpn'),
    ("HTTPS", "1 . ipv6hint=2001:db8::1,2001:db8::2 ipv4hint=192.0.2.1,192.0.2.2 ech=AARhYmNk key65333=ab\\001c"),
    ("SVCB", '1 dns.example. alpn=dot,h2 dohpath="/q{?dns}" key11'),
    ("HTTPS", r'1 . alpn="f\\\\oo\\,bar,h2"'),
    ("MX", "10 mail.example."),
    ("NAPTR", '100 50 "s" "SIP+D2U" "" _sip._udp.example.'),
    ("NS", "ns.example."),
    ("PTR", "host.example."),
    ("SOA", "ns.example. host.example. 4294967295 3600 600 86400 300"),
    ("SRV", "0 65535 389 dc1.example."),
    ("SSHFP", "4 2 " + "aabb ccdd" * 8),
    ("TLSA", "3 1 1 " + "00ff" * 16),
    ("TXT", '"a b" c "\\"q\\" \\059;" "\\000\\255"'),
    ("TYPE999", "\\# 4 0a00 0001"),
    ("TYPE65534", "\\# 0"),
]
INVALID = [
    ("A", "192.0.2.256", "expected an IPv4 address"),
    ("A", "192.0.2.1 192.0.2.2", "expected an IPv4 address"),
    ("A", "2001:db8::1", "expected an IPv4 address"),
    ("AAAA", "fe80::1%eth0", "expected an IPv6 address"),
    ("AAAA", "192.0.2.1", "expected an IPv6 address"),
    ("MX", "mail.example.", r"expected 2 values \(number, name\), got 1"),
    ("MX", "65536 mail.example.", "expected a number from 0 to 65535"),
    ("MX", "-1 mail.example.", "expected a number from 0 to 65535"),
    ("MX", "10 a..example.", "empty label"),
    ("MX", '10 "mail.example."', "in quotes"),
    ("SRV", "0 0 389 dc1.example. more", r"expected 4 values \(number, number, number, name\), got 5"),
    ("CNAME", f"{'a' * 64}.example.", "label over 63 bytes"),
    ("CNAME", ".".join(["a" * 63] * 4), "name over 255 bytes"),
    ("TXT", '"' + "a" * 256 + '"', "over 255 bytes"),
    ("TXT", "\\256", "escape over 255"),
    ("CAA", '0 "is sue" x', "expected a property"),
    ("SSHFP", "1 1 abc", "hexadecimal"),
    ("SOA", "ns.example. host.example. 1 2 3 4 x", "expected seconds"),
    ("HTTPS", "1", "expected a priority and a target"),
    ("HTTPS", "0 www.example. port=443", "an alias"),
    ("HTTPS", "1 . port=443 port=444", "twice"),
    ("HTTPS", "1 . port=65536", "expected a number"),
    ("HTTPS", "1 . port", "expected a number"),
    ("HTTPS", "1 . alpn=", "not a valid parameter"),
    ("HTTPS", '1 . alpn="h2,,h3"', "not a valid parameter"),
    ("HTTPS", "1 . no-default-alpn", "without alpn"),
    ("HTTPS", "1 . alpn=h2\\\\", "not a valid parameter"),
    ("HTTPS", "1 . port=4_3", "expected a number"),
    ("HTTPS", "1 . no-default-alpn=1 alpn=h2", "not a valid parameter"),
    ("HTTPS", "1 . ipv4hint=192.0.2", "not a valid parameter"),
    ("HTTPS", "1 . ipv4hint=192.0.2.256", "not a valid parameter"),
    ("HTTPS", "1 . ipv6hint=x", "not a valid parameter"),
    ("HTTPS", "1 . ech=%", "not a valid parameter"),
    ("HTTPS", "1 . mandatory=alpn", "mandatory names"),
    ("HTTPS", "1 . mandatory=mandatory", "mandatory names"),
    ("HTTPS", "1 . key65535=x", "is not a known parameter"),
    ("HTTPS", "1 . other=x", "is not a known parameter"),
    ("HTTPS", "1 . key7=" + "x" * 70000, "over 16,384 bytes"),
    ("TYPE999", "0a000001", r"expected \\#"),
    ("TYPE999", "\\# 3 0a000001", "3 bytes announced, 4 given"),
    ("TYPE999", "\\# 65535 " + "00" * 65535, "over 16,384 bytes"),
    ("A", "", "no data"),
]
TEXTS = st.sampled_from([text for _, text in VALID]) | st.text(max_size=40) | st.text('\\"#;() .,=0123456789abfh', max_size=40)


@pytest.mark.parametrize(("rtype", "text"), VALID)
def test_every_type(rtype: str, text: str) -> None:
    """Each type comes out as another implementation has it."""
    expected = dns.rdata.from_text("IN", rtype, text, origin=dns.name.root, relativize=False).to_wire(None, None, None)
    assert rdata_of(type_of(rtype), words_of(text), names.from_text) == expected


@pytest.mark.parametrize(("rtype", "text", "reason"), INVALID)
def test_what_is_wrong(rtype: str, text: str, reason: str) -> None:
    """A mistake is refused with its reason."""
    with pytest.raises(InvalidRecord, match=reason):
        rdata_of(type_of(rtype), words_of(text), names.from_text)


@given(st.sampled_from([*sorted(TYPES), "TYPE999"]), TEXTS)
def test_any_text(rtype: str, text: str) -> None:
    """Whatever the text is, it is RDATA that another implementation reads, or a reason."""
    number = type_of(rtype)
    try:
        rdata = rdata_of(number, words_of(text), names.from_text)
    except InvalidRecord:
        return
    dns.rdata.from_wire("IN", dns.rdatatype.RdataType.make(number), rdata, 0, len(rdata))


@pytest.mark.parametrize(
    "word", ["ANY", "AXFR", "OPT", "TYPE0", "TYPE41", "TYPE255", "TYPE128", "TYPE65535", "DNAME", "TYPE39", "TYPE17", "x", ""]
)
def test_types_that_cannot_be_served(word: str) -> None:
    """Meta types, types with names that have no format here, and words that are no type."""
    with pytest.raises(InvalidRecord):
        type_of(word)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v=spf1 -all", b"\x0bv=spf1 -all"),
        ('"a" "b"', b"\1a\1b"),
        ("", b"\0"),
        ("\u00e9\\", "\u00e9\\".encode().rjust(4, b"\3")),
        ("x" * 300, b"\xff" + b"x" * 255 + b"\x2d" + b"x" * 45),
    ],
)
def test_texts(text: str, expected: bytes) -> None:
    """A text of `[[record]]` is taken as it is, in strings of 255 bytes, unless it is quoted."""
    assert text_rdata(text) == expected


@pytest.mark.parametrize("text", ["x" * 16_384, '"a', '"' + "a" * 256 + '"', "\ud800"])
def test_texts_that_are_refused(text: str) -> None:
    """Too long, half quoted with a mistake, no Unicode."""
    if text == '"a':
        assert text_rdata(text) == b'\2"a'
    else:
        with pytest.raises(InvalidRecord):
            text_rdata(text)


def test_ttls() -> None:
    """Seconds, or numbers with units (BIND)."""
    assert [ttl_of(word) for word in ("300", "1h30M", "2w", "1h30", "x", "IN", "")] == [
        300,
        5400,
        1209600,
        3630,
        None,
        None,
        None,
    ]
    assert ttl_of("9" * 100_000) is None, "and at once"
    with pytest.raises(InvalidRecord, match="a TTL over"):
        ttl_of("2147483648")
    assert type_of("a") == p.A
