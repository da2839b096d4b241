"""Releases on their way from ring to ring."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.fleet import rings
from feeds.fleet.release import Heartbeat
from feeds.fleet.rings import RingError, Rings

SOAK_S = 600.0


def node(ring: str, release: int, *refused: int, name: str = "n") -> Heartbeat:
    return Heartbeat(
        node=name, ring=ring, version="1", written_s=0.0, release=release, refused=list(refused), reason="too much is blocked"
    )


def after(*releases: int) -> Rings:
    """Releases that came one a minute."""
    state = Rings()
    for at, release in enumerate(releases):
        state = rings.offered(state, release, 60.0 * at)
    return state


def advanced(state: Rings, now_s: float, *nodes: Heartbeat, soak_nodes: int = 1) -> Rings:
    return rings.advanced(state, nodes, SOAK_S, soak_nodes, now_s)


def test_first_release_is_for_all() -> None:
    """A new fleet has nothing to lose."""
    assert after(1).releases == {"first": 1, "early": 1, "all": 1}
    assert after(1, 2).releases == {"first": 2, "early": 1, "all": 1}


def test_soak() -> None:
    """A release goes on when it is old enough and a node of the ring uses it."""
    state = after(1, 2)
    assert advanced(state, 659.0, node("first", 2)) == state
    assert advanced(state, 660.0) == state
    assert advanced(state, 660.0, node("first", 1)) == state
    assert advanced(state, 660.0, node("all", 2)) == state
    assert advanced(state, 660.0, node("first", 2), soak_nodes=2) == state
    early = advanced(state, 660.0, node("first", 2), node("early", 1))
    assert early.releases == {"first": 2, "early": 2, "all": 1}
    assert advanced(early, 1259.0, node("first", 2), node("early", 2)).releases["all"] == 1
    assert advanced(early, 1260.0, node("first", 2), node("early", 1)).releases["all"] == 1
    assert advanced(early, 1260.0, node("first", 2), node("early", 2)).releases["all"] == 2


def test_nodes_are_not_needed_where_none_are_asked_for() -> None:
    """With soak_nodes = 0 time alone decides; a fleet without a node in ring early skips it."""
    assert advanced(after(1, 2), 660.0, soak_nodes=0).releases == {"first": 2, "early": 2, "all": 2}
    assert advanced(after(1, 2), 660.0, node("first", 2)).releases == {"first": 2, "early": 2, "all": 2}


def test_veto() -> None:
    """A release that any node refused goes nowhere, also when the node falls silent; the next one does."""
    state = advanced(after(1, 2), 100.0, node("first", 1, 2))
    assert "too much is blocked" in state.refused[2]
    assert advanced(state, 10_000.0, node("first", 2)).releases["early"] == 1
    assert rings.waiting(state) == "release 2 was refused by n: too much is blocked"
    state = rings.offered(state, 3, 1000.0)
    state = advanced(state, 1600.0, node("first", 3))
    assert state.releases == {"first": 3, "early": 3, "all": 3}
    assert advanced(state, 1601.0).refused == {}


def test_releases_that_follow_quickly() -> None:
    """Where a new release comes each minute, the newest one that is old enough goes on; a later refusal does not hold it."""
    state = after(*range(1, 20))
    state = advanced(state, 60.0 * 19, node("first", 19), node("early", 1))
    assert state.releases == {"first": 19, "early": 10, "all": 1}
    used = advanced(after(1, 2, 3), 720.0, node("first", 2, 3), node("early", 1))
    assert used.releases["early"] == 2


def test_a_release_that_was_never_tried_alone() -> None:
    """Release 2 is not trusted when the only node went from 1 to 3 and refused that."""
    assert advanced(after(1, 2, 3), 10_000.0, node("first", 1, 3)).releases["early"] == 1
    assert advanced(after(1, 2, 3), 10_000.0, node("first", 1, 3), soak_nodes=0).releases["early"] == 1


def test_pin_and_promote() -> None:
    """While the rings are pinned, only an administrator moves releases; never backwards."""
    state = Rings(ring=after(1, 2, 3).ring, pinned="a holiday")
    assert advanced(state, 10_000.0, node("first", 3), node("early", 3)).releases == state.releases
    assert rings.waiting(state) == "pinned: a holiday"
    assert rings.promoted(state, 2, "early", 1.0).releases == {"first": 3, "early": 2, "all": 1}
    everywhere = rings.promoted(state, 3, "all", 1.0)
    assert everywhere.releases == {"first": 3, "early": 3, "all": 3}
    assert rings.waiting(everywhere) == ""
    with pytest.raises(RingError, match="use rollback"):
        rings.promoted(state, 1, "early", 1.0)


def test_rollback() -> None:
    """All rings get the release with the old content at once, and stay there."""
    state = rings.rolled_back(after(1, 2, 3), 4, 500.0, "rolled back to release 1")
    assert state.releases == {"first": 4, "early": 4, "all": 4}
    assert state.pinned


@given(
    st.lists(st.tuples(st.integers(0, 1200), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=3)), max_size=9)
)
def test_order_of_rings(steps: list[tuple[int, list[tuple[int, int]]]]) -> None:
    """No ring is ahead of the one before it or goes back, no refused release moves, and what may be needed is kept."""
    state, now_s, release = after(1), 0.0, 1
    for wait_s, said in steps:
        release += 1
        state = rings.offered(state, release, now_s)
        now_s += wait_s
        before = state
        nodes = [node(("first", "early")[at % 2], used, refused, name=str(at)) for at, (used, refused) in enumerate(said)]
        state = advanced(state, now_s, *nodes)
        first, early, last = (state.releases[name] for name in ("first", "early", "all"))
        assert first >= early >= last
        for name, number in state.releases.items():
            assert number >= before.releases[name]
            assert number == before.releases[name] or number not in {refused for _, refused in said}
        assert {first, early, last} <= state.needed
