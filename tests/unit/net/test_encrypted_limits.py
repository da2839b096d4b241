"""How fast a client may begin connections."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pdns.net.encrypted_limits import NewConnections


def test_a_client_begins_so_many_at_once_and_then_so_many_a_second() -> None:
    """Others are not held back by it."""
    new = NewConnections(10)
    assert [new.admits("a", 5.0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert new.admits("b", 5.0)
    assert new.admits("a", 5.1)
    assert not new.admits("a", 5.1)
    assert [new.admits("a", 7.0) for _ in range(11)] == [True] * 10 + [False]


def test_quiet_clients_are_forgotten() -> None:
    """What is remembered does not grow with the clients of a day."""
    new = NewConnections(2)
    for number in range(100):
        new.admits(number, 1.0)
    new.forget(1.2)
    assert len(new) == 100
    new.forget(1.6)
    assert len(new) == 0


def test_no_flood_of_addresses_takes_memory() -> None:
    """Clients beyond a bound are not counted."""
    new = NewConnections(1)
    assert all(new.admits(number, 1.0) for number in range(10000))
    assert len(new) == 8192


@given(st.integers(1, 200), st.lists(st.floats(0.0, 0.05), max_size=400))
def test_no_client_gets_more(per_s: int, pauses_s: list[float]) -> None:
    """In any time: as many as it may at once, and what it may have in that time."""
    new, now, admitted = NewConnections(per_s), 0.0, 0
    for pause_s in pauses_s:
        now += pause_s
        admitted += new.admits("a", now)
        assert admitted <= per_s + per_s * now + 1
