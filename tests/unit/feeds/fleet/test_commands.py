"""Commands about releases: who may carry them out, and what is refused."""

from __future__ import annotations

import asyncio

import pytest

from feeds.fleet.commands import FleetCommands
from feeds.refusals import RefusedError
from pdns.state.commands import Command


class PinnedNode:
    def pin(self, reason: str) -> str:
        return f"pinned: {reason}"

    async def unpin(self) -> str:
        return "unpinned"


class PromotingPublisher(PinnedNode):
    def promote(self, release: int, ring: str) -> str:
        return f"{release} to {ring}"

    def take_over(self) -> str:
        return "taken over"

    def rollback(self, release: int) -> str:
        return f"back to {release}"


def _carried_out(role: PinnedNode | None, order: Command) -> str:
    commands = FleetCommands()
    commands.role = role

    async def work() -> str:
        return await commands.work()[order.command](order)

    return asyncio.run(work())


PROMOTE = Command(command="fleet-promote", user="u", fleet_release=3, ring="all")


def test_a_publisher_carries_out_all() -> None:
    """Methods may be plain or coroutines; their words are the outcome."""
    publisher = PromotingPublisher()
    assert _carried_out(publisher, PROMOTE) == "3 to all"
    assert _carried_out(publisher, Command(command="fleet-rollback", user="u", fleet_release=2)) == "back to 2"
    assert _carried_out(publisher, Command(command="fleet-pin", user="u", reason="ticket")) == "pinned: ticket"
    assert _carried_out(publisher, Command(command="fleet-take-over", user="u")) == "taken over"
    assert _carried_out(publisher, Command(command="fleet-unpin", user="u")) == "unpinned"


@pytest.mark.parametrize(
    ("role", "order", "reason"),
    [
        (None, PROMOTE, "fleet.role"),
        (PinnedNode(), PROMOTE, "on the publisher"),
        (PromotingPublisher(), Command(command="fleet-promote", user="u", fleet_release=3, ring="x"), "no ring x"),
        (PromotingPublisher(), Command(command="fleet-rollback", user="u"), "say which release"),
        (PinnedNode(), Command(command="fleet-pin", user="u"), "say why"),
    ],
)
def test_refusals(role: PinnedNode | None, order: Command, reason: str) -> None:
    """Each refusal says what to do instead."""
    with pytest.raises(RefusedError, match=reason):
        _carried_out(role, order)
