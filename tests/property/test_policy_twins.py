"""Policies, pauses, schedules, answers of feeds and structured errors together: the same from compiled code and from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.load import from_tables
from pdns.core.local_rules import LocalEntry, LocalRules
from pdns.wire.names import from_text
from tests.effort import examples
from tests.property.test_given_twins import BLOCKSETS, FEEDS
from tests.property.test_twins import _COOKIE, _OPTIONS, _RAW, _STRUCTURED, _Side
from tests.wire import query_wire

MONDAY_S = 1_795_996_800.0  # 2026-11-30, 0:00 UTC: the times below are of one week
ENTRY_NAMES = ("one.example", "www.example", "example", "below.example", "drop.example", "tcp.example", "many.example")
TABLES: dict[str, Any] = {
    "upstream": {"servers": ["127.0.0.1:9"], "max_in_flight_per_client": 3},
    "feed": [{**FEEDS[0], "required": True}, *FEEDS[1:]],
    "policy": [
        {"name": "default", "organisation": "City", "contact": ["mailto:it@x.example"]},
        {
            "name": "strict",
            "not_ready": "forward",
            "actions": {"phishing": "drop", "local": "refused"},
            "block": ["www.example", "*.below.example"],
            "allow": ["pass.below.example"],
            "entry": [{"name": "many.example", "action": "block", "reason": "exam", "until": "2026-12-01T09:30:00+01:00"}],
            "contact": ["tel:+44113"],
            "schedule": [
                {"days": ["mon", "tue"], "start": "22:00", "end": "06:00", "feeds": {"zone": "monitor"}},
                {"start": "05:00", "end": "24:00", "feeds": {"later": "off"}, "time_zone": "Europe/London"},
            ],
        },
        {"name": "young", "inherits": "strict", "block": ["big.example"], "allow": ["www.example"], "feeds": {"zone": "block"}},
    ],
    "tenant": [
        {"name": "north", "networks": ["198.51.100.0/24"], "policy": "strict", "allow": ["nx.example"]},
        {"name": "south", "networks": ["10.0.3.1", "10.0.3.2", "10.0.3.4"], "policy": "young"},
        {"name": "west", "networks": ["10.0.3.3"], "policy": "strict"},
    ],
}  # fmt: skip
NAMES = ["nx", "tcp", "one", "one", "many", "alias", "pass.below", "later"]
CLIENTS = ["127.0.0.1", "198.51.100.9", "10.0.3.3", "10.0.3.4"]  # the feed `zone` lists the last two
QUESTIONS = st.builds(
    lambda name, qtype, edns: query_wire(f"{name}.example", qtype, edns=edns),
    st.sampled_from(NAMES),
    st.sampled_from(["A", "TXT", "MX"]),
    st.sampled_from([None, 1232]),
)
_LOCAL = st.lists(
    st.builds(LocalEntry, st.sampled_from(ENTRY_NAMES).map(from_text), st.booleans(), st.booleans(), st.sampled_from(["", "x"])),
    max_size=2,
)
LOCAL = st.builds(
    LocalRules,
    _LOCAL,
    st.sets(st.sampled_from(["zone", "later"]), max_size=1),
    st.dictionaries(st.sampled_from(["north", "south", "west"]), _LOCAL.map(tuple), max_size=2),
    st.sets(st.sampled_from(["north", "south", "west"]), max_size=2),
)
_TRANSPORTS = st.sampled_from(["udp", "tcp"])
_ASKED = st.tuples(st.just("ask"), QUESTIONS, st.sampled_from(CLIENTS), _TRANSPORTS)
_ASKED_WITH = st.tuples(
    st.just("ask_with"),
    st.sampled_from(NAMES).map(lambda name: query_wire(f"{name}.example", edns=None)),
    st.sampled_from(CLIENTS),
    _TRANSPORTS,
    st.sampled_from([_STRUCTURED, _STRUCTURED + _COOKIE, *_OPTIONS]),
    st.sampled_from([512, 1232]),
)
_PASSED = st.one_of(
    st.tuples(st.just("answer"), st.booleans()), st.tuples(st.just("wait"), st.sampled_from([1.0, 37.0, 61.0, 4000.0]))
)
_CHANGED = st.one_of(
    st.tuples(st.just("blockset"), st.sampled_from([0, 1])),
    st.tuples(st.just("override"), LOCAL),
    st.tuples(st.just("at"), st.integers(0, 14 * 24).map(lambda half_hours: MONDAY_S + half_hours * 1800)),
    st.tuples(st.just("config"), st.sampled_from([0, 1])),
)
_KINDS = {"ask": _ASKED, "ask_with": _ASKED_WITH, "pass": _PASSED, "change": _CHANGED}
_MIX = ["ask"] * 5 + ["ask_with"] + ["pass"] * 2 + ["change"]
STEPS = st.lists(st.sampled_from(_MIX).flatmap(_KINDS.__getitem__), min_size=10, max_size=50)
VARIANTS: list[dict[str, Any]] = [
    {},
    {"dns64": {"prefix": "64:ff9b::/96", "networks": ["198.51.100.0/24", "10.0.3.2"]}},
    {"rebinding": {"block_private_answers": True}, "block": {"action": "nxdomain", "allow": ["big.example"]}},
]  # fmt: skip


def raw_of(variant: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A settled configuration, as tables: with the time zones of its schedules."""
    settled: dict[str, Any] = msgspec.to_builtins(from_tables({**TABLES, **variant, **changes}, "", Path("/nonexistent")))
    return {**settled, "cache": _RAW["cache"]}


@examples(100)
@given(st.sampled_from(VARIANTS), st.sampled_from([True, True, False]), STEPS)
def test_a_service_is_the_same_on_both(variant: dict[str, Any], ready: bool, steps: list[tuple[Any, ...]]) -> None:
    """Queries, answers, blocksets, overrides, reloads and the time of day in any order: the same bytes and counts."""
    raw = raw_of(variant)
    if ready:
        raw["feed"] = [{**feed, "required": False} for feed in raw["feed"]]
    sides = [_Side(raw, compiled=compiled, blockset=BLOCKSETS[0]) for compiled in (False, True)]
    less = {**raw, "tenant": raw["tenant"][:2], "policy": [*raw["policy"][:2], {**raw["policy"][2], "action": "nodata"}]}
    configs = [[msgspec.convert(tables, type(side.config)) for tables in (raw, less)] for side in sides]
    try:
        for number, (what, *how) in enumerate(steps):
            for side, of_side in zip(sides, configs, strict=True):
                rules = side.service.rules
                if what in ("ask", "ask_with"):
                    getattr(side, what)(number, *how)
                elif what == "answer":
                    side.upstream.answer_all(fail=how[0])
                elif what == "wait":
                    side.now += how[0]
                    side.service.tick(side.now)
                elif what == "blockset":
                    side.service.adopt(rules.with_blockset(BLOCKSETS[how[0]]))
                elif what == "override":
                    side.service.adopt(rules.with_local(how[0]))
                elif what == "at":
                    side.service.adopt(rules.at(how[0]))
                else:
                    side.service.adopt(rules.with_config(of_side[how[0]]), side.upstream)
            assert sides[1].sent == sides[0].sent
        assert sides[1].counted() == sides[0].counted()
    finally:
        for side in sides:
            side.end()
