"""Keys of session tickets."""

from __future__ import annotations

from pdns.ipc.encryption_secrets import TICKET_KEY_BYTES
from pdns.supervisor.ticket_keys import GENERATIONS, TicketKeys


def test_rotation() -> None:
    """A new key after each lifetime, the last three in all, and none of them twice."""
    tickets = TicketKeys(1000.0)
    seen = {tickets.keys[0]}
    for turn in range(1, 6):
        assert not tickets.rotate(1000.0 + turn * 60.0 - 0.1, 60.0)
        before = tickets.keys
        assert tickets.rotate(1000.0 + turn * 60.0, 60.0)
        assert tickets.keys[1:] == before[: GENERATIONS - 1]
        assert tickets.keys[0] not in seen
        seen.add(tickets.keys[0])
    assert len(tickets.keys) == GENERATIONS
    assert {len(key) for key in seen} == {TICKET_KEY_BYTES}


def test_a_machine_that_slept() -> None:
    """Keys that should have been forgotten meanwhile are."""
    tickets = TicketKeys(0.0)
    first = tickets.keys[0]
    assert tickets.rotate(125.0, 60.0)
    assert tickets.keys[1:] == (first,)
    assert tickets.rotate(125.0 + 200.0, 60.0)
    assert len(tickets.keys) == 1
