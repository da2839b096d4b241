"""What the compiled reader of responses calls plain, the core believes, and keeps as the same entry."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pdns.config.schema import Cache
from pdns.core.cacheable import cacheable
from pdns.core.chain import follow
from pdns.core.entry import Entry
from pdns.fast.plain import plain_entry
from pdns.upstream.matching import MAX_UDP_BYTES, ReplyQuality, quality_of
from pdns.wire import protocol as p
from pdns.wire.message import parse_message, read_name
from tests.fuzz.corpus import RESPONSES, SOA
from tests.fuzz.test_packets import mutated
from tests.wire import response_wire

_NOW, _STAMP = 1000.0, 7

CHAIN = ("www.example 300 IN CNAME b.example.", "b.example 60 IN CNAME c.example.")


def hops(count: int) -> str:
    """A chain from 0.example to the name of that number."""
    return "\n".join(f"{n}.example 60 IN CNAME {n + 1}.example." for n in range(count))


NEGATIVE_TTLS = "example 60 IN SOA ns.example. host.example. 1 2 3 4 4294967295\nexample 60 IN NS ns.example."
PLAIN = {
    "A": response_wire("www.example", "A", "www.example 300 IN A 192.0.2.1\nwww.example 60 IN A 192.0.2.2", edns=True, ad=1),
    "AAAA": response_wire("www.example", "AAAA", "www.example 300 IN AAAA 2001:db8::1"),
    "MX": RESPONSES[2],
    "TXT": response_wire("a.b.example", "TXT", 'a.b.example 300 IN TXT "x" "y"'),
    "NAPTR": response_wire("x.example", "NAPTR", 'x.example 300 IN NAPTR 1 2 "u" "E2U+sip" "!^.*$!sip:a@b!" .'),
    "a capital of the zone's": response_wire("www.example", "MX", "www.example 300 IN MX 1 Mail.Example."),
    "SRV": response_wire("_x._tcp.example", "SRV", "_x._tcp.example 300 IN SRV 1 2 3 host.example."),
    "NS": response_wire("example", "NS", "example 300 IN NS ns.example.", additional="ns.example 60 IN A 192.0.2.1"),
    "SOA": response_wire("example", "SOA", SOA),
    "CNAME": RESPONSES[0],
    "a chain": response_wire("www.example", "A", "\n".join(CHAIN), "c.example 60 IN A 192.0.2.1\nc.example 60 IN A 192.0.2.2"),
    "a chain to nothing": response_wire("www.example", "AAAA", "\n".join(CHAIN), authority=SOA, edns=True),
    "a chain to no name": response_wire("www.example", "A", "\n".join(CHAIN), authority=SOA, rcode=3),
    "HTTPS that leads elsewhere": RESPONSES[1],
    "HTTPS behind a chain": response_wire("www.example", "HTTPS", "\n".join(CHAIN), "c.example 60 IN HTTPS 1 . alpn=h2"),
    "16 hops": response_wire("0.example", "A", hops(16), "16.example 60 IN A 192.0.2.1"),
    "HTTPS": response_wire("www.example", "HTTPS", "www.example 300 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1"),
    "an unknown type": response_wire("www.example", "TYPE65280", r"www.example 300 IN TYPE65280 \# 3 010203"),
    "bytes behind the last record": response_wire("www.example", "A", "www.example 300 IN A 192.0.2.1", edns=True) + b"\0\1",
    "a long TTL": response_wire("www.example", "A", "www.example 2147483647 IN A 192.0.2.1"),
    "NXDOMAIN": RESPONSES[3],
    "NODATA": response_wire("www.example", "AAAA", authority=SOA, edns=True),
    "NODATA at the apex": response_wire("example", "AAAA", authority=SOA),
    "NXDOMAIN at the root": response_wire("nothing", "A", authority=". 60 IN SOA a. b. 1 2 3 4 5", rcode=3),
    "NXDOMAIN with more beside it": response_wire("x.example", "A", authority=NEGATIVE_TTLS, rcode=3),
}
WWW_TARGET = "www.target 60 IN A 192.0.2.1\nwww.target 60 IN A 192.0.2.2"
SIGNATURE = "A 13 2 300 20300101000000 20200101000000 1 example. AAAA"


def _with_error(wire: bytes) -> bytes:
    """The same with an Extended DNS Error in its OPT record, which is the last."""
    return wire[:-2] + b"\0\x09\0\x0f\0\5\0\6why"


def _in_our_case(wire: bytes) -> bytes:
    """The same with letters in mixed case wherever the first label of the question stands."""
    return wire.replace(b"\3www", b"\3wWw")


NOT_PLAIN = {
    "an Extended DNS Error": _with_error(response_wire("www.example", "A", "www.example 300 IN A 192.0.2.1", edns=True)),
    "our letter case": _in_our_case(response_wire("www.example", "A", "www.example 300 IN CNAME www.target.", WWW_TARGET)),
    "unasked signatures": response_wire(
        "www.example", "A", "www.example 300 IN A 192.0.2.1", f"www.example 300 IN RRSIG {SIGNATURE}"
    ),
    "IPSECKEY": response_wire(
        "www.example", "IPSECKEY", "www.example 300 IN IPSECKEY 10 3 2 gw.example. AQNRU3mG7TVTO2BkR47usntb"
    ),
    "17 hops": response_wire("0.example", "A", hops(17), "17.example 60 IN A 192.0.2.1"),
    "a loop": response_wire("0.example", "A", "\n".join((hops(3), "3.example 60 IN CNAME 1.example."))),
    "a chain out of order": response_wire("www.example", "A", "\n".join(reversed(CHAIN)), "c.example 60 IN A 192.0.2.1"),
    "a chain that goes on behind an answer": response_wire("www.example", "A", "www.example 300 IN A 192.0.2.1", CHAIN[0]),
    "HTTPS that leads elsewhere behind a chain": response_wire("www.example", "HTTPS", *CHAIN, "c.example 60 IN HTTPS 1 d."),
    "an SOA not above the end of a chain": response_wire("www.other", "A", "www.other 60 IN CNAME b.else.", authority=SOA),
    "the CNAME itself": response_wire("www.example", "CNAME", CHAIN[0]),
    "DNAME": RESPONSES[5],
    "nothing at all": response_wire("www.example", "A"),
    "SERVFAIL": response_wire("www.example", "A", rcode=2),
    "a TTL of 0": response_wire("www.example", "A", "www.example 0 IN A 192.0.2.1"),
    "another name's record": response_wire("www.example", "A", "www.example 300 IN A 192.0.2.1\nb.example 300 IN A 192.0.2.1"),
    "a referral": response_wire("www.example", "A", authority="example 300 IN NS ns.example."),
    "an SOA from elsewhere": response_wire("www.example", "A", authority=SOA.replace("example 900", "other 900"), rcode=3),
    "no SOA first": response_wire("x.example", "A", authority="\n".join(reversed(NEGATIVE_TTLS.split("\n"))), rcode=3),
}


def key_of(wire: bytes) -> bytes | None:
    """The question of `wire` in lower case; None when there is no whole one."""
    at = p.HEADER_BYTES
    while at < len(wire) and 0 < wire[at] < 64:
        at += 1 + wire[at]
    end = at + 5
    return wire[p.HEADER_BYTES : at].lower() + wire[at:end] if end <= len(wire) and wire[at] == 0 and end <= 12 + 259 else None


def believed(wire: bytes, key: bytes, config: Cache, *, do: bool) -> tuple[Entry, list[bytes]]:
    """The entry that the core makes, and the names that it would check. Fails where the core would not accept the answer."""
    qname, qtype = key[:-4], int.from_bytes(key[-4:-2])
    message = parse_message(wire)
    assert message.flags & (p.QR | p.OPCODE_MASK | p.TC) == p.QR
    assert len(wire) <= MAX_UDP_BYTES
    assert quality_of(message) is ReplyQuality.OK
    chain = follow(message, qname, qtype, do=do)
    targets = []
    for record in chain.records:
        assert record.rtype != p.DNAME
        if record.rtype == p.CNAME:
            targets.append(read_name(wire, record.rdata_at)[0])
        elif record.rtype in (p.HTTPS, p.SVCB):
            targets.append(read_name(wire, record.rdata_at + 2)[0])
    return cacheable(message, chain, config, do=do, now=_NOW, rules_epoch=_STAMP), [name for name in targets if name != b"\0"]


def fields(entry: Entry) -> dict[str, object]:
    return {name: getattr(entry, name) for name in Entry.__slots__}


CONFIGS = st.builds(
    Cache,
    min_ttl_s=st.sampled_from([0, 30, 100_000]),
    max_ttl_s=st.sampled_from([60, 86400, 2**31 - 1]),
    max_negative_ttl_s=st.sampled_from([0, 10, 3600]),
)


@given(mutated([*RESPONSES, *PLAIN.values(), *NOT_PLAIN.values()]), st.booleans(), CONFIGS)
@example(PLAIN["A"], False, Cache())
@example(PLAIN["NXDOMAIN with more beside it"], True, Cache())
def test_what_is_plain_is_kept_alike(wire: bytes, do: bool, config: Cache) -> None:
    """Whatever comes: an entry made here is to the last field the one that the core makes, of a message that it believes, and all
    names that the core would judge are given.
    """
    key = key_of(wire)
    plain = plain_entry(wire, key, config, do, _NOW, _STAMP) if key is not None else None
    if key is not None and plain is not None:
        entry, targets = believed(wire, key, config, do=do)
        assert (fields(plain[0]), [name for name in plain[1] if name != b"\0"]) == (fields(entry), targets)
        assert plain[0].expires_s > _NOW


@pytest.mark.parametrize("kind", PLAIN)
def test_the_common_answers_are_plain(kind: str) -> None:
    """What most answers are does not need Python: records of the queried name, perhaps behind a chain, and negative answers."""
    wire = PLAIN[kind]
    key = key_of(wire)
    assert key is not None
    plain = plain_entry(wire, key, Cache(), False, _NOW, _STAMP)
    entry, targets = believed(wire, key, Cache(), do=False)
    assert plain is not None
    assert (fields(plain[0]), plain[1]) == (fields(entry), targets)


@pytest.mark.parametrize("kind", NOT_PLAIN)
def test_what_must_be_judged_is_not_plain(kind: str) -> None:
    """Odd chains, failures, referrals, and what is not worth keeping are left to Python."""
    key = key_of(NOT_PLAIN[kind])
    assert key is not None
    assert plain_entry(NOT_PLAIN[kind], key, Cache(), False, _NOW, _STAMP) is None


def test_signed_answers_are_not_plain() -> None:
    """Signatures and proofs are passed on by Python, and only to clients that asked for them."""
    proof = f"{SOA}\nwww.example 300 IN NSEC z.example. A RRSIG NSEC"
    denied = response_wire("www.example", "AAAA", authority=proof)
    key = key_of(denied)
    assert key is not None
    assert plain_entry(denied, key, Cache(), True, _NOW, _STAMP) is None
    assert plain_entry(denied, key, Cache(), False, _NOW, _STAMP) is not None
