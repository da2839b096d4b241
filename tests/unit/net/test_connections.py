"""Who is connected, and who makes room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pdns.net.connections import ConnectionTable


def table_of(*connections: str, max_connections: int = 6, max_per_client: int = 4) -> ConnectionTable[str]:
    """A table with the connections named; the first letter is the client."""
    table: ConnectionTable[str] = ConnectionTable(max_connections, max_per_client)
    for connection in connections:
        table.add(connection, connection[0])
    return table


def test_while_both_bounds_hold_there_is_room() -> None:
    """A client below its bound, in a table below its own, needs no other connection closed."""
    table = table_of("a1", "a2", "a3")
    assert table.has_room("a")
    table.add("a4", "a")
    assert not table.has_room("a")
    assert table.has_room("b")
    assert len(table) == 4


def test_a_client_at_its_bound_makes_room_itself() -> None:
    """Its own longest idle connection goes; another client's never does."""
    table = table_of("b1", "a1", "a2", "a3", "a4")
    assert table.dispensable("a") == "a1"
    table.mark_idle("a1")
    assert table.dispensable("a") == "a2"


def test_in_a_full_table_the_biggest_client_makes_room() -> None:
    """Not the longest idle of all: who has most can best spare one."""
    table = table_of("b1", "a1", "a2", "a3", "c1", "c2")
    assert not table.has_room("b")
    assert not table.has_room("d")
    assert table.dispensable("d") == "a1"
    assert table.dispensable("b") == "a1"


def test_among_clients_of_one_size_the_longest_idle_makes_room() -> None:
    """Connections that have just been used are the last to go."""
    table = table_of("a1", "b1", "c1", max_connections=3)
    assert table.dispensable("d") == "a1"
    table.mark_idle("a1")
    assert table.dispensable("d") == "b1"


def test_who_waits_for_an_answer_is_the_last_to_make_room() -> None:
    """A busy connection is closed for a client that has none, when nothing is idle, and for none that has as many."""
    table = table_of("a1", "a2", "b1", max_connections=3)
    table.mark_busy("a1")
    assert table.dispensable("c") == "a2"
    table.mark_busy("a2")
    assert table.dispensable("c") == "b1"
    table.mark_busy("b1")
    assert table.dispensable("c") == "a1"
    assert table.dispensable("b") is None
    assert table.is_busy("a1")
    table.mark_idle("a1")
    assert table.dispensable("c") == "a1"
    assert not table.is_busy("a1")


def test_a_client_far_above_the_others_makes_room_before_an_idle_one_of_theirs() -> None:
    """Whoever keeps many connections busy does not live on what others leave idle."""
    table = table_of("b1", "a1", "a2", "a3")
    for connection in ("a2", "a1", "a3"):
        table.mark_busy(connection)
    assert table.dispensable("c") == "a2"
    assert table.dispensable("a") == "b1"


def test_the_last_places_are_for_clients_that_have_none() -> None:
    """An eighth of all."""
    table = table_of("a1", "a2", "a3", "b1", "b2", "b3", "c1", max_connections=8)
    assert not table.has_room("c")
    assert table.has_room("d")


def test_a_client_whose_connections_are_all_busy_displaces_no_other() -> None:
    """At its own bound without an idle connection, it takes no room from other clients."""
    table = table_of("b1", "a1", "a2", max_per_client=2)
    table.mark_busy("a1")
    table.mark_busy("a2")
    assert not table.has_room("a")
    assert table.dispensable("a") is None


def test_leaving_twice_or_never_having_come_is_no_matter() -> None:
    """`discard` may be called for anything."""
    table = table_of("a1")
    table.discard("a1")
    table.discard("a1")
    table.discard("b1")
    assert len(table) == 0
    assert list(table) == []
    assert table.dispensable("a") is None


def test_connections_may_leave_while_they_are_walked_over() -> None:
    """A sweep closes what it finds."""
    table = table_of("a1", "a2", "b1")
    for connection in table:
        table.discard(connection)
    assert len(table) == 0


class Model:
    """The same, said plainly: one list, longest idle first, searched from end to end."""

    def __init__(self, max_connections: int, max_per_client: int) -> None:
        self.max_connections = max_connections
        self.max_per_client = max_per_client
        self.idle: list[tuple[int, int]] = []
        self.busy: list[tuple[int, int]] = []

    def size(self, client: int) -> int:
        return sum(connection[0] == client for connection in (*self.idle, *self.busy))

    def has_room(self, client: int) -> bool:
        size = self.size(client)
        reserved = self.max_connections // 8 if size else 0
        return len(self.idle) + len(self.busy) < self.max_connections - reserved and size < self.max_per_client

    def dispensable(self, client: int) -> set[tuple[int, int] | None]:
        """Those that may be chosen: among clients of one size, the longest idle, or busy, connection of any."""
        if self.size(client) >= self.max_per_client:
            return {next((connection for connection in self.idle if connection[0] == client), None)}
        biggest = max((self.size(connection[0]) for connection in self.idle), default=0)
        most = max((self.size(connection[0]) for connection in (*self.idle, *self.busy)), default=0)
        if most > self.size(client) + 1 and most > 2 * biggest:
            clients = {connection[0] for connection in (*self.idle, *self.busy) if self.size(connection[0]) == most}
            return {next(connection for connection in (*self.idle, *self.busy) if connection[0] == each) for each in clients}
        clients = {connection[0] for connection in self.idle if self.size(connection[0]) == biggest}
        return {next(connection for connection in self.idle if connection[0] == each) for each in clients} or {None}


Step = tuple[str, int, int]
step = st.tuples(st.sampled_from(["add", "discard", "busy", "idle"]), st.integers(0, 3), st.integers(0, 4))


@given(st.lists(step, max_size=60))
def test_whatever_happens_the_table_agrees_with_its_plain_model(script: list[Step]) -> None:
    """Bounds, and who makes room, are those of a list that is searched from end to end."""
    table: ConnectionTable[tuple[int, int]] = ConnectionTable(8, 3)
    model = Model(8, 3)
    for action, client, number in script:
        connection = (client, number)
        present = connection in table
        assert present == (connection in model.idle or connection in model.busy)
        if action == "add" and not present:
            table.add(connection, client)
            model.idle.append(connection)
        elif action == "discard":
            table.discard(connection)
            model.busy = [each for each in model.busy if each != connection]
            model.idle = [each for each in model.idle if each != connection]
        elif action in ("busy", "idle") and present:
            model.busy = [each for each in model.busy if each != connection]
            model.idle = [each for each in model.idle if each != connection]
            if action == "busy":
                table.mark_busy(connection)
                model.busy.append(connection)
            else:
                table.mark_idle(connection)
                model.idle.append(connection)
        assert len(table) == len(model.idle) + len(model.busy)
        for asking in range(5):
            assert table.has_room(asking) == model.has_room(asking)
            assert table.dispensable(asking) in model.dispensable(asking)
