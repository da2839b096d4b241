"""What the compiled reader of responses calls plain, the core believes, allows, and keeps as the same entry."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pdns.blockset import Blockset
from pdns.config import Cache, Config
from pdns.core import protocol as p
from pdns.core.chain import follow
from pdns.core.distill import distill
from pdns.core.entry import Entry
from pdns.core.message import parse_message
from pdns.core.policy import CLEAN, Policy
from pdns.core.responsecheck import check_response
from pdns.fast import ACCELERATED
from pdns.upstream.matching import MAX_UDP_BYTES, Quality, quality_of
from tests.blocksets import make_blockset
from tests.fuzz.corpus import RESPONSES, SOA
from tests.fuzz.test_packets import mutated
from tests.wire import response_wire

if not ACCELERATED:
    pytest.skip("PDNS_PURE=1: there is no such reader", allow_module_level=True)

from pdns.fast.response import plain_entry

_CONFIG = msgspec.convert({"upstream": {"servers": ["udp://127.0.0.1:9"]}, "feed": [{"name": "alpha", "url": "file:a"}]}, Config)
_POLICY = Policy(_CONFIG)
_NAMES = make_blockset({"alpha": "example malware.test"})  # so that whatever leads anywhere leads to what is listed
_ADDRESSES = make_blockset({"alpha": "malware.test 192.0.2.0/24 2001:db8::/32"})
_NOW, _STAMP = 1000.0, 7

NEGATIVE_TTLS = "\n".join(("example 60 IN SOA ns.example. host.example. 1 2 3 4 4294967295", "example 60 IN NS ns.example."))
PLAIN = {
    "A": response_wire("www.example", "A", "www.example 300 IN A 192.0.2.1\nwww.example 60 IN A 192.0.2.2", edns=True, ad=1),
    "AAAA": response_wire("www.example", "AAAA", "www.example 300 IN AAAA 2001:db8::1"),
    "MX": RESPONSES[2],
    "TXT": response_wire("a.b.example", "TXT", 'a.b.example 300 IN TXT "x" "y"'),
    "SRV": response_wire("_x._tcp.example", "SRV", "_x._tcp.example 300 IN SRV 1 2 3 host.example."),
    "NS": response_wire("example", "NS", "example 300 IN NS ns.example.", additional="ns.example 60 IN A 192.0.2.1"),
    "SOA": response_wire("example", "SOA", SOA),
    "HTTPS": response_wire("www.example", "HTTPS", "www.example 300 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1"),
    "an unknown type": response_wire("www.example", "TYPE65280", r"www.example 300 IN TYPE65280 \# 3 010203"),
    "a long TTL": response_wire("www.example", "A", "www.example 2147483647 IN A 192.0.2.1"),
    "NXDOMAIN": RESPONSES[3],
    "NODATA": response_wire("www.example", "AAAA", authority=SOA, edns=True),
    "NODATA at the apex": response_wire("example", "AAAA", authority=SOA),
    "NXDOMAIN at the root": response_wire("nothing", "A", authority=". 60 IN SOA a. b. 1 2 3 4 5", rcode=3),
    "NXDOMAIN with more beside it": response_wire("x.example", "A", authority=NEGATIVE_TTLS, rcode=3),
}
NOT_PLAIN = {
    "CNAME": RESPONSES[0],
    "HTTPS that leads elsewhere": RESPONSES[1],
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


def believed(wire: bytes, key: bytes, blockset: Blockset, config: Cache, *, do: bool) -> Entry:
    """The entry by the core's word. Fails where the core would not believe, or would not allow."""
    qname, qtype = key[:-4], int.from_bytes(key[-4:-2])
    message = parse_message(wire)
    assert message.flags & (p.QR | p.OPCODE_MASK | p.TC) == p.QR
    assert len(wire) <= MAX_UDP_BYTES
    assert quality_of(message) is Quality.OK
    chain = follow(message, qname, qtype)
    assert check_response(_POLICY, blockset, 0, message, chain) is CLEAN
    return distill(message, chain, config, do=do, now=_NOW, stamp=_STAMP)


def fields(entry: Entry) -> dict[str, object]:
    return {name: getattr(entry, name) for name in Entry.__slots__}


CONFIGS = st.builds(
    Cache,
    min_ttl_s=st.sampled_from([0, 30, 100_000]),
    max_ttl_s=st.sampled_from([60, 86400, 2**31 - 1]),
    max_negative_ttl_s=st.sampled_from([0, 10, 3600]),
)


@given(mutated([*RESPONSES, *PLAIN.values(), *NOT_PLAIN.values()]), st.booleans(), st.booleans(), CONFIGS)
@example(PLAIN["A"], False, False, Cache())
@example(PLAIN["NXDOMAIN with more beside it"], True, False, Cache())
def test_what_is_plain_is_kept_alike(wire: bytes, do: bool, addresses_listed: bool, config: Cache) -> None:
    """Whatever comes: an entry made here is to the last field the one that the core makes, of a message that it believes, and of
    which no feed has anything to say.
    """
    key = key_of(wire)
    if key is None:
        return
    entry = plain_entry(wire, key, config, do, addresses_listed, _NOW, _STAMP)
    if entry is not None:
        blockset = _ADDRESSES if addresses_listed else _NAMES
        assert fields(entry) == fields(believed(wire, key, blockset, config, do=do))
        assert entry.expires_s > _NOW


@pytest.mark.parametrize("kind", PLAIN)
def test_the_common_answers_are_plain(kind: str) -> None:
    """What most answers are does not need Python: addresses, other types that lead nowhere, negative answers with their SOA."""
    wire = PLAIN[kind]
    key = key_of(wire)
    assert key is not None
    entry = plain_entry(wire, key, Cache(), False, False, _NOW, _STAMP)
    assert entry is not None
    assert fields(entry) == fields(believed(wire, key, _NAMES, Cache(), do=False))


@pytest.mark.parametrize("kind", NOT_PLAIN)
def test_what_must_be_judged_is_not_plain(kind: str) -> None:
    """Targets, failures, referrals, and what is not worth keeping are left to Python."""
    key = key_of(NOT_PLAIN[kind])
    assert key is not None
    assert plain_entry(NOT_PLAIN[kind], key, Cache(), False, False, _NOW, _STAMP) is None


@pytest.mark.parametrize("kind", ["A", "AAAA", "HTTPS"])
def test_addresses_are_judged_where_addresses_are_listed(kind: str) -> None:
    """With a blockset that lists addresses no answer with one is plain."""
    key = key_of(PLAIN[kind])
    assert key is not None
    assert plain_entry(PLAIN[kind], key, Cache(), False, True, _NOW, _STAMP) is None


def test_signed_answers_are_not_plain() -> None:
    """Signatures, and the proofs of a negative answer, are passed on by Python to those who asked for them, and to nobody else."""
    proof = f"{SOA}\nwww.example 300 IN NSEC z.example. A RRSIG NSEC"
    denied = response_wire("www.example", "AAAA", authority=proof)
    key = key_of(denied)
    assert key is not None
    assert plain_entry(denied, key, Cache(), True, False, _NOW, _STAMP) is None
    assert plain_entry(denied, key, Cache(), False, False, _NOW, _STAMP) is not None
