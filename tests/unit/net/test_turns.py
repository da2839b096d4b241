"""Whose turn it is."""

from __future__ import annotations

from pdns.net.turns import MAX_REFUSALS, Turns


def taken(turns: Turns[str]) -> list[str]:
    """All that wait, in order."""
    order = []
    while (connection := turns.take()) is not None:
        order.append(connection)
    return order


def test_clients_go_on_in_turn_however_many_connections_they_have() -> None:
    """A client with one connection comes second at the latest; the connections of a client keep their order."""
    turns: Turns[str] = Turns()
    for connection, client in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("a1", "a")):
        turns.wait(connection, client)
    assert turns
    assert taken(turns) == ["a1", "b1", "a2", "a3"]
    assert not turns


def test_one_that_waits_again_is_behind_the_others() -> None:
    """What was taken and has still more to do waits behind the other clients."""
    turns: Turns[str] = Turns()
    turns.wait("a1", "a")
    turns.wait("b1", "b")
    assert turns.take() == "a1"
    turns.wait("a1", "a")
    assert taken(turns) == ["b1", "a1"]


def test_who_leaves_is_not_taken() -> None:
    """Wherever it waits, and also when it waits nowhere."""
    turns: Turns[str] = Turns()
    turns.leave("a1", "a")
    turns.wait("a1", "a")
    turns.leave("a1", "a")
    assert not turns
    for _ in range(MAX_REFUSALS):
        turns.refused("b")
    turns.wait("b1", "b")
    turns.leave("b1", "b")
    turns.end_rests()
    assert taken(turns) == []


def test_who_is_refused_often_rests_with_all_its_connections() -> None:
    """From the last refusal that is allowed to the end of all rests; other clients go on."""
    turns: Turns[str] = Turns()
    turns.wait("a1", "a")
    for _ in range(MAX_REFUSALS - 1):
        turns.refused("a")
    assert not turns.rests("a")
    turns.refused("a")
    assert turns.rests("a")
    turns.wait("a2", "a")
    turns.wait("b1", "b")
    turns.refused("a")
    assert taken(turns) == ["b1"]
    turns.end_rests()
    assert not turns.rests("a")
    assert taken(turns) == ["a1", "a2"]
    turns.refused("a")
    assert not turns.rests("a"), "refusals are counted anew"
