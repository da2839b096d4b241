"""Records for tests, and names that contain what injections are made of."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from pdns.event_store.event import Event, Finding, Hour, Record
from pdns.wire.names import from_labels, to_text

EVENT = Event(
    id=7,
    time_s=1790000000.25,
    last_s=1790000042.5,
    n=3,
    kind="blocked",
    node="node1.example",
    tenant="north",
    policy="default",
    client="192.0.2.7",
    transport="udp",
    qname="www.bad.example",
    qtype=28,
    listed="bad.example",
    rule="*.bad.example",
    feed="phish",
    category="phishing",
    action="nxdomain",
    others=("second", "third"),
    monitored=("trial",),
    threat="Emotet",
    reason="asked by the council",
    case="K7Q2-M3",
    merged=True,
)
FINDING = Finding(
    id=8,
    time_s=1790000100.0,
    node="node1.example",
    tenant="north",
    kind="tunnel",
    subject="t.example",
    client="192.0.2.7",
    score=3.5,
    n=900,
    text="Names below t.example carry 40 bytes a second.",
    first_s=1790000000.0,
    last_s=1790000090.0,
    details={"bytes": "3600", "a=b]": 'x"\n'},
)
HOUR = Hour(
    id=9, start_s=1789999200.0, end_s=1790002800.0, node="node1.example", tenant="*", queries=1000, answered=990, blocked=12
)

# Every byte a name can have, as events spell it.
HOSTILE_NAMES = tuple(
    to_text(from_labels([label, b"bad", b"example"]))
    for label in (b"a\nb", b'"]', b"\0", b"\xff\xfe", b"|=\\", b"a b", b"<13>", b"\r\n\t", bytes(range(128, 190)))
)
HOSTILE_TEXTS = (
    "x act=allowed",
    "line\nbreak",
    'quote"]',
    "\0",
    "CEF:0|x|y\\=",
    "<13>1 - - -",
    "\u2028\x85\x7f\x1b[2J",
    "Rāpā nui \U0001f600",
    "",
)


def event(number: int, **changes: Any) -> Event:
    return replace(EVENT, id=number, time_s=EVENT.time_s + number, last_s=EVENT.time_s + number, **changes)


def hostile() -> list[Record]:
    """Events and findings with such names and texts in every field that can have them."""
    names = [event(100 + at, qname=name, listed=name, rule=f"*.{name}") for at, name in enumerate(HOSTILE_NAMES)]
    texts = [
        event(200 + at, tenant=f"t{text}", feed=text, reason=text, threat=text, others=(text, "x"), policy=text, node=f"n{text}")
        for at, text in enumerate(HOSTILE_TEXTS)
    ]
    findings = [
        replace(FINDING, id=300 + at, subject=name, text=text, details={text: text, "b": name})
        for at, (name, text) in enumerate(zip(HOSTILE_NAMES, HOSTILE_TEXTS, strict=False))
    ]
    return [*names, *texts, *findings]


_texts = st.text(max_size=12)
_times = st.floats(0, 4e9)
_counts = st.integers(0, 2**53)
events = st.builds(
    Event,
    id=st.integers(0, 2**64 - 1),
    time_s=_times,
    last_s=_times,
    n=_counts,
    kind=st.sampled_from(["blocked", "monitored"]),
    qtype=st.integers(0, 65535),
    others=st.lists(_texts, max_size=3).map(tuple),
    monitored=st.lists(_texts, max_size=3).map(tuple),
    merged=st.booleans(),
    qname=st.lists(st.binary(min_size=1, max_size=20), max_size=4).map(lambda labels: to_text(from_labels(labels))),
    client=st.sampled_from(["", "192.0.2.7", "2001:db8::/48", "h:0123456789abcdef"]),
    transport=st.sampled_from(["udp", "tcp", "tls", "https", "quic"]),
    action=st.sampled_from(["", "sinkhole", "nxdomain", "nodata", "zero", "refused", "drop", "given"]),
    **dict.fromkeys(("node", "tenant", "policy", "listed", "rule", "feed", "category", "threat", "reason", "case"), _texts),
)
findings = st.builds(
    Finding,
    id=st.integers(0, 2**64 - 1),
    time_s=_times,
    kind=st.sampled_from(["tunnel", "first-seen", "bypass", "retro", "shared"]),
    details=st.dictionaries(_texts, _texts, max_size=3),
    first_s=_times,
    last_s=_times,
    score=st.floats(-1e9, 1e9),
    n=_counts,
    **dict.fromkeys(("node", "tenant", "subject", "client", "text"), _texts),
)
hours = st.builds(Hour, id=st.integers(0, 2**64 - 1), start_s=_times, end_s=_times, queries=_counts, node=_texts, tenant=_texts)
records = st.one_of(events, findings, hours)
