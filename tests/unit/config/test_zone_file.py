"""Zone files: what dnspython makes of the same text, or the line and the reason."""

from __future__ import annotations

import tracemalloc

import dns.rdataclass
import dns.rdatatype
import dns.zone
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.zone_file import Skipped, ZoneMistake, ZoneRecord, read_zone
from pdns.wire import names
from pdns.wire import protocol as p

ZONE = r"""
$ORIGIN corp.example. ; a comment
$TTL 1h
@       IN SOA ns host.corp.example. ( 1 ; serial
          3600 600
          86400 300 )
        NS ns
ns      A 10.0.0.53
        AAAA fd00::53
www 60 IN CNAME ns
old IN 2m A 10.0.0.1
        mx 10 mail
text    TXT "a b" "c;d" ( "e(f"
          g ) ; "no"
*.wild  A 10.0.0.2
dot\.ted A 10.0.0.3
sp\032ace A 10.0.0.4
$ORIGIN sub
host    A 10.0.0.5
abs.corp.example. SRV 0 0 389 ns.corp.example.
@ HTTPS 1 . alpn="h2,h3" port=8443
x TYPE999 \# 2 abcd
"""


def read(text: str) -> list[ZoneRecord | ZoneMistake | Skipped]:
    return list(read_zone(text.encode()))


def test_a_zone() -> None:
    """Everything that zone files of practice have, as another implementation reads it."""
    zone = dns.zone.from_text(ZONE.replace("$ORIGIN sub\n", "$ORIGIN sub.corp.example.\n"), relativize=False)
    expected = {(name.to_wire(), ttl_s, rdata.rdtype, rdata.to_wire()) for name, ttl_s, rdata in zone.iterate_rdatas()}
    found = read(ZONE)
    assert all(isinstance(one, ZoneRecord) for one in found)
    assert {(one.name, one.ttl_s, one.rtype, one.rdata) for one in found if isinstance(one, ZoneRecord)} == expected


def test_lines() -> None:
    """A record has the line on which it begins."""
    assert [one.line for one in read("$ORIGIN a.\n\n@ TXT ( x\n y\n )\n\tTXT z\n")] == [3, 6]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("www A 10.0.0.1", 1, "no final dot, and no $ORIGIN"),
        ("\n@ A 10.0.0.1", 2, '"@" needs a line "$ORIGIN corp.example." before it'),
        ("  A 10.0.0.1", 1, "no name"),
        ("a. A", 1, "no data"),
        ("a. IN", 1, "expected a type"),
        ("a. CH TXT x", 1, "class IN only"),
        ("a. ANY x", 1, "not a type"),
        ("a. DNAME b.", 1, "not a type that can be served"),
        ("a. 99999999999 A 10.0.0.1", 1, "not a type"),
        ("a. 9999999999 A 10.0.0.1", 1, "a TTL over"),
        ("a. A 10.0.0.1\na. A 10.0.0.256\n", 2, "expected an IPv4 address"),
        ("$INCLUDE x", 1, "$INCLUDE is not supported"),
        ("$GENERATE 1-9 a$ A 10.0.0.$", 1, "$GENERATE is not supported"),
        ("$TTL x", 1, "expected $ORIGIN"),
        ("$ORIGIN a..b.", 1, "empty label"),
        ("a. TXT (\nx\n", 1, "a parenthesis that is not closed"),
        ("a. TXT x )", 1, "a parenthesis closes"),
        ("a. TXT ((x))", 1, "a parenthesis inside"),
        ('a. TXT "x\n"', 1, "a quote that is not closed"),
        ("a. TXT x\\\n", 1, "a backslash at the end"),
        ("a. TXT " + "x " * 1001, 1, "a record of over 1,000 words"),
        ("$ORIGIN a.\n@ SOA a b 1 2 3 4 5\nb.c. A 10.0.0.1", 3, "b.c is outside the zone a"),
        ("$ORIGIN a.\n@ SOA a b 1 2 3 4 5\n@ SOA a b 1 2 3 4 5", 3, "a second SOA"),
        ("$ORIGIN a.\n@ SOA a b 1 2 3 4 5\nsub NS ns.b.", 3, "sub.a is delegated"),
        ("$ORIGIN a.\n" + ".".join(["x" * 60] * 4) + ".yyyyyyyyyyyy A 10.0.0.1", 2, "name over 255 bytes"),
    ],
)  # fmt: skip
def test_what_is_wrong(text: str, line: int, reason: str) -> None:
    """The first mistake has its line and reason."""
    mistake = next(one for one in read(text) if isinstance(one, ZoneMistake))
    assert mistake.line == line
    assert reason in mistake.reason


def test_not_utf_8() -> None:
    """The line is named; nothing is read."""
    assert list(read_zone(b"a. TXT x\nb. TXT \xff\n")) == [ZoneMistake(2, "not UTF-8")]


def test_an_owner_that_is_not_valid_is_not_replaced_by_the_one_before() -> None:
    """Records behind it that have no name of their own are mistakes too."""
    found = read("a. A 10.0.0.1\nb..c. A 10.0.0.2\n  A 10.0.0.3\n")
    assert [type(one) for one in found] == [ZoneRecord, ZoneMistake, ZoneMistake]


def test_signed_zones() -> None:
    """What signs a zone is left out, whatever it says."""
    assert read("a. RRSIG A 8 2 3600 nonsense\na. NSEC b. A\na. A 10.0.0.1\na. DS 1 2 3 ab")[0:2] == [Skipped(1), Skipped(2)]


def test_ttls() -> None:
    """$TTL, else the TTL of the record before, else the last field of the SOA, else 300 s."""
    assert [
        one.ttl_s
        for one in read("a. A 10.0.0.1\nb. 5 A 10.0.0.1\nc. A 10.0.0.1\n$TTL 7\nd. A 10.0.0.1")
        if isinstance(one, ZoneRecord)
    ] == [300, 5, 5, 7]
    (soa,) = read("a. SOA b. c. 1 2 3 4 99")
    assert isinstance(soa, ZoneRecord)
    assert (soa.rtype, soa.ttl_s) == (p.SOA, 99)


@given(
    st.binary(max_size=100)
    | st.lists(
        st.sampled_from([*ZONE.split(), *'()"\\;\n\t ', "\n", " ", "@", "$ORIGIN a.\n", "$TTL", "SOA", "NS", "A 10.0.0.1\n"]),
        max_size=30,
    ).map(lambda parts: " ".join(parts).encode())
)
def test_any_content(content: bytes) -> None:
    """Nothing else comes out; names are names, TTLs have 31 bits, RDATA is bounded."""
    for one in read_zone(content):
        if isinstance(one, ZoneRecord):
            assert names.from_labels(names.labels_of(one.name)) == one.name if one.name != b"\0" else True
            assert 0 <= one.ttl_s < 2**31
            assert len(one.rdata) <= 16_384
            dns.rdatatype.to_text(dns.rdatatype.RdataType.make(one.rtype))
    assert dns.rdataclass.IN == p.CLASS_IN


def test_a_final_dot_behind_an_escaped_backslash() -> None:
    r"""`\\.` is an escaped backslash and the end of a whole name; `\.` is a dot within a label."""
    found = list(read_zone(b"$ORIGIN x.test.\na\\\\. A 192.0.2.1\na\\. A 192.0.2.1\na\\\\\\. A 192.0.2.1\n"))
    owners = [one.name for one in found if isinstance(one, ZoneRecord)]
    assert owners == [b"\2a\\\0", b"\2a.\1x\4test\0", b"\3a\\.\1x\4test\0"]


@pytest.mark.parametrize(
    "content", [b"a" * 4_000_000, b'"' + b"a" * 4_000_000, b"@ TXT " + rb"\a" * 2_000_000], ids=["word", "quote", "escapes"]
)
def test_a_long_word_takes_little_memory(content: bytes) -> None:
    """A file of zeros, after a crash, is one word."""
    tracemalloc.start()
    try:
        found = list(read_zone(content))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [type(one) for one in found] == [ZoneMistake]
    assert peak_bytes < 64_000_000
