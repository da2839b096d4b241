"""Answers that lead anywhere, from servers that say anything: a question makes a bounded number of others."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pdns.core.entry import Entry
from pdns.core.outcome import Forward
from pdns.wire import names
from pdns.wire import protocol as p
from pdns.wire.message import parse_message
from tests.unit.core.localrecords import Local
from tests.wire import response_wire

ZONES = ["one.example", "two.example", "in.two.example", "example.net"]
NAMES = [f"{label}.{zone}" for label in ("a", "b", "c", "a.b") for zone in ZONES] + ["x.internal", "localhost"]
ROUTED: dict[str, Any] = {
    "zone": [
        {"name": "one.example", "servers": ["udp://10.0.0.1"]},
        {"name": "two.example", "servers": ["udp://10.0.0.2"], "block": False},
        {"name": "in.two.example", "servers": "default", "dnssec": False},
    ]
}
DNS64: dict[str, Any] = {"dns64": {"prefix": "2a00:64::/96"}}
MOST = 20  # for AAAA, then for A in its place: the first, eight further ones, and one for the end of a chain

NAME = st.sampled_from(NAMES)
RECORD = st.one_of(
    st.tuples(NAME, st.just("CNAME"), NAME).map(" 300 IN {0[1]} {0[2]}.".format),
    NAME.map(" 300 IN CNAME {}.".format),
    NAME.map(" 300 IN CNAME {}.".format),
    st.just(" 300 IN A 198.51.100.7"),
    st.just(" 300 IN AAAA 2001:db8::7"),
)
LINES = st.lists(st.one_of(
    st.tuples(st.none() | NAME, RECORD),
    st.tuples(st.sampled_from(["example", *ZONES, *NAMES[-6:-2]]), st.sampled_from(ZONES).map(" 300 IN DNAME {}.".format)),
), max_size=4)  # fmt: skip
ANSWER = st.tuples(LINES, st.sampled_from([p.NOERROR] * 4 + [p.NXDOMAIN, p.SERVFAIL]), st.booleans())
ALIASES = st.dictionaries(NAME.filter(lambda name: name[0] == "a"), NAME.filter(lambda name: name[0] in "bcx"), max_size=3)


def resolver(aliases: dict[str, str], *, translates: bool) -> Local:
    addresses = [{"name": "c.one.example", "a": ["198.51.100.1"]}] if len(aliases) % 2 else []
    records = [{"name": name, "cname": target} for name, target in aliases.items()] + addresses
    return Local(records, **ROUTED, **(DNS64 if translates else {}))


@given(
    st.booleans(),
    NAME,
    st.sampled_from(["A", "AAAA"]),
    st.lists(ANSWER, min_size=1, max_size=6),
    st.lists(ALIASES, min_size=1, max_size=3),
    st.booleans(),
)
def test_every_question_ends(
    translates: bool, name: str, qtype: str, told: list[Any], aliases: list[dict[str, str]], do: bool
) -> None:
    """Whatever the servers say, in turn and over again; local records change a few times while questions are out."""
    local = resolver(aliases[0], translates=translates)
    outcome = local.ask(name, qtype, do=do)
    asked = 0
    while isinstance(outcome, Forward):
        forward = outcome
        lines, rcode, has_soa = told[asked % len(told)]
        asked += 1
        assert asked <= MOST * len(aliases)
        if asked < len(aliases):
            local.resolver.adopt(resolver(aliases[asked], translates=translates).rules)
        own = names.to_text(forward.asked_name)
        answer = "\n".join((owner or own) + record for owner, record in lines)
        soa = "example 60 IN SOA ns.example. host.example. 1 2 3 4 60" if has_soa else ""
        asked_type = {p.A: "A", p.AAAA: "AAAA", p.DS: "DS"}[forward.asked_type]
        message = parse_message(response_wire(own, asked_type, answer, authority=soa, rcode=rcode))
        if rcode == p.SERVFAIL:
            outcome = local.resolver.further_after_failure(forward, message, 1000.0) or local.resolver.on_failure(
                forward, 22, "failed", message, 1000.0
            )
        else:
            outcome = local.resolver.further(forward, message) or local.resolver.on_answer(forward, message, 1000.0)
            assert isinstance(outcome, Forward | Entry)
