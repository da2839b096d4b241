"""Answers in parts: joined they are one message, whatever shape the parts have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.core.chain import follow
from pdns.core.crossing import ChainHead, head_of, joined
from pdns.errors import WireError
from pdns.wire import protocol as p
from pdns.wire.message import parse_message
from pdns.wire.names import from_text
from tests.wire import response_wire

QUESTION = from_text("a.example") + b"\0\1\0\1"
FIRST = "a.example 300 IN CNAME b.example\nb.example 200 IN CNAME c.test\nc.test 100 IN A 203.0.113.66"


def first_head(*, ad: int = 0) -> ChainHead:
    message = parse_message(response_wire("a.example", "A", FIRST, ad=ad))
    return head_of(message, follow(message, from_text("a.example"), p.A, do=False), 2, None, 0)


def test_a_head_has_what_leads_to_the_name() -> None:
    """The two aliases before `c.test`, and nothing that was said of it."""
    head = first_head()
    assert (head.record_count, head.hops, head.crossings, head.ad) == (2, 2, 1, False)
    assert b"\xcb\x00\x71\x42" not in head.records


@pytest.mark.parametrize("rcode", [p.NOERROR, p.NXDOMAIN])
@pytest.mark.parametrize("edns", [False, True])
def test_joined(*, rcode: int, edns: bool) -> None:
    """The whole chain answers the first question; rcode, authority and options are those of the last part."""
    rest = "c.test 50 IN A 192.0.2.7\nc.test 50 IN A 192.0.2.8" if rcode == p.NOERROR else ""
    soa = "" if rest else "test 60 IN SOA ns.test. host.test. 1 2 3 4 60"
    last = parse_message(response_wire("c.test", "A", rest, authority=soa, rcode=rcode, edns=edns))
    whole = joined(first_head(), QUESTION, last)
    assert (whole.rcode, whole.edns, whole.question, len(whole.authority)) == (rcode, edns, QUESTION, int(not rest))
    chain = follow(whole, from_text("a.example"), p.A, do=False)
    assert chain.names == tuple(map(from_text, ("a.example", "b.example", "c.test")))
    assert [record.ttl_s for record in chain.records] == [300, 200, *([50, 50] if rest else [])]
    assert chain.answered is bool(rest)


@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_ad_is_of_all_parts(first: int, last: int) -> None:
    """The whole is authentic when each part is."""
    message = parse_message(response_wire("c.test", "A", "c.test 50 IN A 192.0.2.7", ad=last))
    assert bool(joined(first_head(ad=first), QUESTION, message).flags & p.AD) is bool(first and last)


def test_too_long() -> None:
    """Parts that make more than a message can carry are an error."""
    records = "\n".join(f'c.test 50 IN TXT "{number:0200d}"' for number in range(290))
    message = parse_message(response_wire("c.test", "TXT", records))
    with pytest.raises(WireError, match="too long"):
        joined(first_head()._replace(records=first_head().records * 40, record_count=80), QUESTION, message)


_NAMES = st.sampled_from(["a.example", "b.example", "x.c.test", "c.test", "d.c.test"])
_RECORDS = st.lists(
    st.one_of(
        st.builds(lambda owner, to: f"{owner} 60 IN CNAME {to}", _NAMES, _NAMES),
        st.builds(lambda owner, to: f"{owner} 60 IN MX 5 {to}", _NAMES, _NAMES),
        st.builds(lambda owner: f"{owner} 60 IN A 192.0.2.1", _NAMES),
        st.builds(lambda owner, to: f"{owner} 60 IN DNAME {to}", _NAMES, _NAMES),
    ),
    max_size=6,
).map("\n".join)


@given(_RECORDS, _RECORDS)
def test_a_part_alone_is_unchanged(answer: str, authority: str) -> None:
    """Joined with nothing before it, a message says what it said."""
    message = parse_message(response_wire("a.example", "A", answer, authority=authority, edns=True))
    whole = joined(ChainHead(b"", 0, 0, True), QUESTION, message)
    for section in ("answer", "authority"):
        assert [(r.owner, r.rtype, r.ttl_s) for r in getattr(whole, section)] == [
            (r.owner, r.rtype, r.ttl_s) for r in getattr(message, section)
        ]
