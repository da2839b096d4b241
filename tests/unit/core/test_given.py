"""What feeds answer themselves: which feed decides, what an exception stops, and when the policy's action counts."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from pdns.core.given import target_of
from pdns.core.listing import LOCAL_DATA, NXDOMAIN, ListedAction
from pdns.core.policy import Decision, Policy
from pdns.wire import protocol as p
from pdns.wire.names import from_text
from tests.rpz import compiled
from tests.unit.core.conftest import make_config

FIRST = """
nx.example CNAME .
pass.example CNAME rpz-passthru.
*.wild.example CNAME *.
in.wild.example A 192.0.2.1
24.0.100.51.198.rpz-ip CNAME .
32.7.100.51.198.rpz-ip CNAME rpz-passthru.
32.8.100.51.198.rpz-ip A 192.0.2.1
"""
SECOND = """
nx.example CNAME rpz-drop.
pass.example CNAME .
x.in.wild.example CNAME .
24.0.100.51.198.rpz-ip CNAME rpz-drop.
"""
BLOCKSET = compiled({"first": FIRST, "second": SECOND})


def policy(first: str = "given", second: str = "given", **modes: str) -> Policy:
    feeds: list[dict[str, Any]] = [
        {"name": name, "url": "file:///zone", "format": "rpz", "rpz_action": action, "mode": modes.get(name, "block")}
        for name, action in (("first", first), ("second", second))
    ]
    return Policy(make_config(feed=feeds, block={"action": "refused"}))


def said(decision: Decision) -> tuple[str, str] | None:
    return None if decision.verdict is None else (decision.verdict.feed, decision.verdict.action)


@pytest.mark.parametrize(
    ("name", "first", "second", "expected"),
    [
        ("nx.example", "given", "given", ("first", "nxdomain")),
        ("nx.example", "policy", "given", ("first", "refused")),
        ("nx.example", "zero", "given", ("first", "zero")),
        ("pass.example", "given", "given", None),
        ("pass.example", "policy", "given", ("second", "nxdomain")),
        ("pass.example", "drop", "policy", ("second", "refused")),
        ("a.wild.example", "given", "given", ("first", "nodata")),
        ("in.wild.example", "given", "given", ("first", "local-data")),
        ("x.in.wild.example", "given", "given", ("second", "nxdomain")),
        ("wild.example", "given", "given", None),
    ],
)
def test_names(name: str, first: str, second: str, expected: tuple[str, str] | None) -> None:
    """The first feed that lists a name decides; an exception of a feed whose actions count ends it for those behind."""
    assert said(policy(first, second).decide(BLOCKSET, 0, from_text(name))) == expected


@pytest.mark.parametrize(
    ("address", "first", "second", "expected"),
    [
        ("198.51.100.1", "given", "given", ("first", "nxdomain")),
        ("198.51.100.7", "given", "given", None),
        ("198.51.100.7", "policy", "given", ("second", "drop")),
        ("198.51.100.8", "given", "given", ("first", "local-data")),
        ("198.51.100.8", "nodata", "given", ("first", "nodata")),
    ],
)
def test_addresses(address: str, first: str, second: str, expected: tuple[str, str] | None) -> None:
    """Of each feed the longest prefix counts."""
    decision = policy(first, second).decide_address(BLOCKSET, 0, ip_address(address).packed, from_text("x.example"))
    assert said(decision) == expected


def test_an_exception_in_monitor_mode_stops_nothing() -> None:
    """The next feed decides then, and what the both feed would block is monitored."""
    both = policy(first="given", second="given")
    monitoring = Policy(
        make_config(
            feed=[
                {"name": "first", "url": "file:///zone", "format": "rpz", "rpz_action": "given", "mode": "monitor"},
                {"name": "second", "url": "file:///zone", "format": "rpz", "rpz_action": "given"},
            ]
        )
    )
    assert said(both.decide(BLOCKSET, 0, from_text("pass.example"))) is None
    assert said(monitoring.decide(BLOCKSET, 0, from_text("pass.example"))) == ("second", "nxdomain")
    assert monitoring.decide(BLOCKSET, 0, from_text("nx.example")).monitored == (("first", "malware"),)


def test_what_an_excepted_name_leads_to() -> None:
    """The exception holds for all that the answer leads to, as far as the feeds from it on are concerned."""
    one = policy()
    passed = one.decide(BLOCKSET, 0, from_text("pass.example"))
    listed = one.decide(BLOCKSET, 0, from_text("nx.example"))
    assert passed.stops_at == 0
    assert one.within(listed, passed.stops_at).verdict is None
    assert said(one.within(listed, 1)) == ("first", "nxdomain")
    assert one.within(listed, 1).verdict.also == ()  # type: ignore[union-attr]


def test_targets() -> None:
    """`*` stands for the whole name; there is no target where the name would be too long."""
    plain = ListedAction(LOCAL_DATA, ((p.CNAME, (from_text("garden.example"),)),))
    wild = ListedAction(LOCAL_DATA, ((p.CNAME, (from_text("*.garden.example"),)),))
    assert target_of(plain, from_text("x.test")) == from_text("garden.example")
    assert target_of(wild, from_text("x.test")) == from_text("x.test.garden.example")
    assert target_of(wild, from_text(".".join(["a" * 60] * 4))) is None
    assert ListedAction(NXDOMAIN).rdatas(p.A) == ()
