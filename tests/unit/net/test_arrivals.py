"""Which of too many new connections must go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pdns.net.arrivals import MODEST, Arrivals


def full_of(*clients: str) -> Arrivals[str]:
    """As many as may wait; each letter is a client with one."""
    arrivals: Arrivals[str] = Arrivals(len(clients))
    for number, client in enumerate(clients):
        assert not arrivals.is_full
        assert arrivals.add(f"{client}{number}", client) is None
    return arrivals


def test_whoever_opens_many_loses_the_newest() -> None:
    """A client that opens one waits, however many another opens."""
    arrivals = full_of(*"a" * (MODEST + 1), "b")
    assert not arrivals.is_full
    assert arrivals.add("a99", "a") == "a99"
    assert arrivals.add("c1", "c") == f"a{MODEST}"


def test_of_clients_with_few_none_is_turned_away() -> None:
    """When there are as many as may be, the next one stays in the kernel until one of them has had its turn."""
    arrivals = full_of(*"ab" * (MODEST - 1))
    assert arrivals.is_full
    arrivals.discard("a0", "a")
    assert not arrivals.is_full


def test_who_has_left_takes_no_room() -> None:
    """Leaving twice, or without having waited, changes nothing."""
    arrivals: Arrivals[str] = Arrivals(1)
    arrivals.discard("a1", "a")
    arrivals.add("a1", "a")
    arrivals.discard("a1", "a")
    arrivals.discard("a1", "a")
    assert len(arrivals) == 0
    assert not arrivals.is_full


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 3)), max_size=100))
def test_the_bound_holds_and_no_client_with_fewer_loses(most: int, steps: list[tuple[int, int, int]]) -> None:
    """After every step: no more than the bound; who was turned away is of a client that had the most, and many."""
    arrivals: Arrivals[tuple[int, int]] = Arrivals(most)
    waiting: list[tuple[int, int]] = []
    for number, (leaves, which, client) in enumerate(steps):
        sizes = [sum(each[1] == one for each in waiting) for one in range(4)]
        assert arrivals.is_full == (len(waiting) == most and max(sizes) < MODEST)
        if not leaves and which < len(waiting):
            one = waiting.pop(which)
            arrivals.discard(one, one[1])
        elif not arrivals.is_full:
            waiting.append((number, client))
            sizes[client] += 1
            gone = arrivals.add((number, client), client)
            assert (gone is not None) == (len(waiting) > most)
            if gone is not None:
                assert sizes[gone[1]] == max(sizes) >= MODEST
                waiting.remove(gone)
        assert sorted(arrivals) == sorted(waiting)
        assert len(arrivals) == len(waiting)
