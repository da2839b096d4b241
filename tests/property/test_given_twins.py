"""Answers that feeds give: the same from compiled code and from Python, over UDP and TCP, new and from the cache."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.effort import examples
from tests.property.test_twins import _RAW, _Side
from tests.rpz import compiled
from tests.wire import query_wire

ZONE = """
nx.example CNAME .
nodata.example CNAME *.
drop.example CNAME rpz-drop.
tcp.example CNAME rpz-tcp-only.
*.tcp.example CNAME rpz-tcp-only.
one.example A 192.0.2.1
one.example TXT "given"
many.example A 192.0.2.1
many.example A 192.0.2.2
many.example A 192.0.2.3
many.example A 192.0.2.4
many.example A 192.0.2.5
many.example MX 10 mail.example.
alias.example CNAME www.example.
wild.example CNAME *.example.
*.below.example CNAME .
pass.below.example CNAME rpz-passthru.
32.2.100.51.198.rpz-ip CNAME rpz-tcp-only.
32.1.3.0.10.rpz-client-ip CNAME rpz-tcp-only.
32.2.3.0.10.rpz-client-ip A 192.0.2.9
32.3.3.0.10.rpz-client-ip CNAME rpz-drop.
32.4.3.0.10.rpz-client-ip CNAME rpz-passthru.
32.5.3.0.10.rpz-client-ip CNAME www.example.
"""
LATER = "pass.below.example CNAME .\none.example CNAME .\nlater.example CNAME .\nwww.example.test CNAME ."
BLOCKSETS = [compiled({"zone": ZONE, "later": LATER}), compiled({"zone": "nx.example A 192.0.2.7\n", "later": LATER})]
CLIENTS = ["127.0.0.1", "198.51.100.9", *(f"10.0.3.{number}" for number in range(1, 6))]
FEEDS = [
    {"name": "zone", "url": "file:///zone", "format": "rpz", "rpz_action": "given", "addresses": True},
    {"name": "later", "url": "file:///zone", "format": "rpz", "rpz_action": "given", "addresses": True, "category": "phishing"},
]
_NAMES = [
    "nx",
    "nodata",
    "drop",
    "tcp",
    "x.tcp",
    "one",
    "many",
    "alias",
    "wild",
    "x.below",
    "pass.below",
    "later",
    "www",
    "no",
    "big",
]
QUESTIONS = st.builds(
    lambda name, qtype, edns, rd: query_wire(f"{name}.example", qtype, edns=edns, rd=rd),
    st.sampled_from(_NAMES),
    st.sampled_from(["A", "A", "AAAA", "TXT", "MX", "ANY", "CNAME"]),
    st.sampled_from([None, 1232]),
    st.sampled_from([1, 1, 1, 0]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), QUESTIONS, st.sampled_from(CLIENTS), st.sampled_from(["udp", "tcp"])),
        st.tuples(st.just("answer"), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 37.0, 61.0])),
        st.tuples(st.just("blockset"), st.sampled_from([0, 1])),
    ),
    max_size=30,
)  # fmt: skip


@examples(100)
@given(st.sampled_from(["given", "policy", "nxdomain"]), STEPS)
def test_a_service_is_the_same_on_both(action: str, steps: list[tuple[Any, ...]]) -> None:
    """Every byte sent and every count is the same; a name of the zone that is dropped is never answered."""
    raw = {**_RAW, "feed": [{**feed, "rpz_action": action} for feed in FEEDS], "policy": []}
    raw["tenant"] = [{"name": "north", "networks": ["198.51.100.0/24"], "allow": ["nx.example"]}]
    sides = [_Side(raw, compiled=is_compiled, blockset=BLOCKSETS[0]) for is_compiled in (False, True)]
    try:
        for number, (what, *how) in enumerate(steps):
            for side in sides:
                if what == "ask":
                    side.ask(number, *how)
                elif what == "answer":
                    side.upstream.answer_all(fail=how[0])
                elif what == "wait":
                    side.now += how[0]
                    side.service.tick(side.now)
                else:
                    side.service.adopt(side.service.rules.with_blockset(BLOCKSETS[how[0]]))
            assert sides[1].sent == sides[0].sent
        assert sides[1].counted() == sides[0].counted()
    finally:
        for side in sides:
            side.end()


def test_every_type_of_every_name() -> None:
    """Each question over UDP and TCP, for names that are new and names that are in the cache: the same from both."""
    raw = {**_RAW, "feed": FEEDS, "policy": [], "tenant": []}
    sides = [_Side(raw, compiled=is_compiled, blockset=BLOCKSETS[0]) for is_compiled in (False, True)]
    asked = [(name, qtype) for name in _NAMES for qtype in ("TXT", "MX", "A", "AAAA", "ANY")]
    below = [(f"{label}.{name}", qtype) for label in "ab" for name, qtype in asked if name in ("tcp", "below")]
    try:
        for number, (name, qtype) in enumerate([*asked, *below, *asked]):
            for side in sides:
                for transport in ("udp", "tcp"):
                    side.ask(number, query_wire(f"{name}.example", qtype), "127.0.0.1", transport)
                side.upstream.answer_all(fail=False)
            assert sides[1].sent == sides[0].sent, (name, qtype)
        assert sides[1].counted() == sides[0].counted()
    finally:
        for side in sides:
            side.end()
