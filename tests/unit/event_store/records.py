"""Records that hypothesis makes: few names, tenants and times, so that they meet, and texts that are hard to store."""

from __future__ import annotations

import random
from typing import Any, Final

from hypothesis import strategies as st

from pdns.event_store.event import Event, Finding, Hour, Record

START_S: Final = 1_780_000_000.0
SPAN_S: Final = 7_200
HARD: Final = (
    "bad.example", "www.bad.example", r"a\.bad.example", r"a\\.bad.example", r"line\010break.example", "line\nbreak.example",
    "quo'te\".example", "nul\0byte.example", "caf\u00e9.example", "tab\tand\\n.example", "%s{x:String}?;--", ".",
)  # fmt: skip
NAMES: Final = st.sampled_from(HARD)
TENANTS: Final = ("leeds", "york", "o'hull\n", "default")
CLIENTS: Final = ("", "192.0.2.7", "2001:db8::/48", "h:0123456789abcdef", "odd'\"\0\n")
FEEDS: Final = ("phish", "ads", "local", "it's")
_FEW: Final = st.lists(st.sampled_from(FEEDS), max_size=2, unique=True).map(tuple)
_COUNT: Final = st.integers(0, 1000)
_NODES: Final = st.sampled_from(("node-1", "node-2"))

# Whole seconds, and microseconds around the boundaries of windows and partitions.
TIMES: Final = st.one_of(
    st.integers(0, SPAN_S).map(lambda at: START_S + at),
    st.builds(lambda at, by: round(START_S + at * 600 + by / 1e6, 6), st.integers(0, SPAN_S // 600), st.sampled_from((-1, 0, 1))),
)
_IDS: Final = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from((0, 2**63 - 1, 2**63, 2**64 - 1)))


def _event(span_s: int, **fields: Any) -> Event:
    return Event(last_s=fields["time_s"] + span_s, **fields)


EVENTS: Final = st.builds(
    _event, span_s=st.sampled_from((0, 0, 30, 60)), id=_IDS, time_s=TIMES, n=st.integers(1, 50),
    kind=st.sampled_from(("blocked", "blocked", "monitored")), node=_NODES, tenant=st.sampled_from(TENANTS),
    policy=st.sampled_from(("default", "schools")), client=st.sampled_from(CLIENTS), transport=st.sampled_from(("udp", "tcp")),
    qname=NAMES, qtype=st.sampled_from((1, 28, 65535)), listed=NAMES, rule=NAMES, feed=st.sampled_from(FEEDS),
    category=st.sampled_from(("", "malware", "ads")), action=st.sampled_from(("", "nxdomain")), others=_FEW, monitored=_FEW,
    threat=st.sampled_from(("", "", "emotet", "x'\n")), reason=st.sampled_from(("", 'ticket "4711"\n')),
    case=st.sampled_from(("", "PD-1")), merged=st.booleans(),
)  # fmt: skip
FINDINGS: Final = st.builds(
    Finding, id=_IDS, time_s=TIMES, node=_NODES, tenant=st.sampled_from(TENANTS),
    kind=st.sampled_from(("tunnel", "bypass", "shared")), subject=NAMES, client=st.sampled_from(CLIENTS),
    score=st.floats(allow_nan=False, allow_infinity=False), n=_COUNT, text=NAMES, first_s=TIMES, last_s=TIMES,
    details=st.dictionaries(NAMES, NAMES, max_size=2),
)  # fmt: skip
HOURS: Final = st.builds(
    Hour, id=_IDS, start_s=TIMES, end_s=TIMES, node=_NODES, tenant=st.sampled_from(("*", "*", *TENANTS)), queries=_COUNT,
    answered=_COUNT, servfail=_COUNT, dropped=_COUNT, blocked=_COUNT, monitored=_COUNT, events=_COUNT, merged=_COUNT, lost=_COUNT,
    unaccounted=st.integers(-5, 5),
)  # fmt: skip
RECORDS: Final[st.SearchStrategy[list[Record]]] = st.lists(
    st.one_of(EVENTS, EVENTS, EVENTS, FINDINGS, HOURS), max_size=40, unique_by=lambda record: record.id
)


def crowd(count: int) -> list[Event]:
    """Events that differ in little, many of them at the boundaries of windows. Always the same."""
    luck = random.Random(4)
    found = []
    for _ in range(count):
        at = luck.choice((luck.randrange(SPAN_S), 600 * luck.randrange(SPAN_S // 600)))
        others = tuple(luck.sample(FEEDS, luck.randrange(3)))
        event = Event(
            id=luck.randrange(2**64), time_s=START_S + at, last_s=START_S + at + luck.choice((0, 45)), n=luck.randrange(1, 9),
            kind=luck.choice(("blocked", "blocked", "monitored")), node="node-1", tenant=luck.choice(TENANTS), policy="default",
            client=luck.choice(CLIENTS), transport="udp", qname=luck.choice(HARD), qtype=luck.choice((1, 28)),
            listed=luck.choice(HARD), rule=luck.choice(HARD), feed=luck.choice(FEEDS), category=luck.choice(("", "ads")),
            action="nxdomain", others=others, monitored=tuple(luck.sample(FEEDS, luck.randrange(2))),
            threat=luck.choice(("", "emotet")),
        )  # fmt: skip
        found.append(event)
    return found
