"""The gate of a node: what ends a release, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.fleet.gate import WATCH_S, BlockedName, Gate, GateLimits, TrafficTotals

LIMITS = GateLimits(queries=1000, blocked_times=3.0, servfail_share=0.05)
NEW = b"\3new\7example\0"
OLD = b"\3old\7example\0"


def is_new(listed: bytes) -> bool:
    return listed == NEW


def watching(blocked: int = 1000, servfail: int = 0, *, policy_changed: bool = False) -> Gate:
    """A gate that has seen 100,000 queries within an hour, and then a release."""
    gate = Gate(LIMITS)
    gate.saw(TrafficTotals(), 0.0)
    gate.saw(TrafficTotals(100_000, blocked, servfail), 3000.0)
    gate.begin(3000.0, policy_changed=policy_changed)
    return gate


def judged(gate: Gate, queries: int, blocked: int, servfail: int = 0, *names: BlockedName, after_s: float = 10.0) -> str:
    before = gate.now
    gate.saw(TrafficTotals(before.queries + queries, before.blocked + blocked, before.servfail + servfail), 3000.0 + after_s)
    return gate.judge(names, is_new, 3000.0 + after_s)


def test_a_popular_name_ends_a_release() -> None:
    """Blocks of names that were not listed before, above what the hour before allows; the reason names the worst."""
    gate = watching()
    assert judged(gate, 900, 100, 0, BlockedName(NEW, 90, 0)) == ""  # too few to tell
    reason = judged(gate, 1100, 100, 0, BlockedName(NEW, 60, 0))
    assert (
        reason
        == "3.0% of 2,000 queries blocked by names that were not listed before (all blocks before: 1.0%), most by new.example"
    )


@pytest.mark.parametrize(
    ("blocked", "name"),
    [
        (1500, BlockedName(OLD, 1500, 40)),  # an attack with names that were listed before
        (1500, BlockedName(NEW, 1500, 1)),  # one machine that a new name catches
        (30, BlockedName(NEW, 30, 9)),  # what a good release does
    ],
)
def test_what_does_not_end_a_release(blocked: int, name: BlockedName) -> None:
    """Blocks of what was listed before, of one client, or of few queries."""
    assert judged(watching(), 2000, blocked, 0, name) == ""


def test_a_policy_counts_as_a_whole() -> None:
    """After a change of the policy the rise of all blocks counts, whatever was listed."""
    assert judged(watching(policy_changed=True), 2000, 200, 0, BlockedName(OLD, 200, 40)).startswith(
        "10.0% of 2,000 queries blocked with its policy"
    )
    assert judged(watching(), 2000, 200, 0, BlockedName(OLD, 200, 40)) == ""


def test_failures() -> None:
    """SERVFAIL ends a release at once, not later, and not when it was so before."""
    assert judged(watching(), 2000, 0, 200) == "10.0% of 2,000 answers are SERVFAIL (before: 0.0%)"
    assert judged(watching(), 2000, 0, 200, after_s=200.0) == ""
    assert judged(watching(servfail=20_000), 2000, 0, 200) == ""


def test_it_ends_by_itself() -> None:
    """After its time a release stays, whatever comes; a restart of the service does not confuse it."""
    gate = watching()
    assert judged(gate, 2000, 0, 0, after_s=WATCH_S) == ""
    assert not gate.watching
    assert judged(gate, 2000, 2000, 0, BlockedName(NEW, 2000, 9)) == ""
    gate = watching()
    gate.saw(TrafficTotals(10, 1, 0), 3010.0)
    assert gate.since_release == TrafficTotals(10, 1, 0)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=20), st.integers(0, 10**6)
)
def test_it_never_judges_what_was_listed(seen: list[tuple[int, int, int]], queries: int) -> None:
    """Whatever the numbers, names that were listed before never end a release, and no numbers raise."""
    gate = Gate(LIMITS)
    for number, totals in enumerate(seen):
        gate.saw(TrafficTotals(*totals), 100.0 * number)
    gate.begin(5000.0)
    gate.saw(TrafficTotals(gate.now.queries + queries, gate.now.blocked + queries, gate.now.servfail), 5001.0)
    assert "listed before" not in gate.judge([BlockedName(OLD, queries, 0)], is_new, 5001.0)
