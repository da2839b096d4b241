"""Carries out `pdns fleet promote | rollback | pin | unpin` in the feeds process of a publisher or a node."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from feeds.refusals import RefusedError
from pdns.state.commands import Command
from pdns.state.fleet_status import RINGS

_NO_ROLE: Final = 'this server is in no fleet: set fleet.role to "publisher" or "node" (docs/fleet.md)'


class FleetRoleMember(Protocol):
    """What both roles can do. Each method returns what it did, in words, or raises `RefusedError`."""

    def pin(self, reason: str) -> str | Awaitable[str]: ...
    def unpin(self) -> str | Awaitable[str]: ...


class FleetPublisherMember(FleetRoleMember, Protocol):
    """What a publisher can do as well."""

    def promote(self, release: int, ring: str) -> str | Awaitable[str]: ...
    def rollback(self, release: int) -> str | Awaitable[str]: ...
    def take_over(self) -> str | Awaitable[str]: ...


class FleetCommands:
    """One for each feeds process. Every command is refused while `role` is None."""

    def __init__(self) -> None:
        self.role: FleetRoleMember | None = None

    def work(self) -> dict[str, Callable[[Command], Awaitable[str]]]:
        """What carries out each command, by name."""
        return {
            "fleet-promote": self._promote,
            "fleet-rollback": self._rollback,
            "fleet-pin": self._pin,
            "fleet-unpin": self._unpin,
            "fleet-take-over": self._take_over,
        }

    async def _promote(self, order: Command) -> str:
        publisher = self._publisher("promoted")
        if order.ring not in RINGS:
            raise RefusedError(f"no ring {order.ring}; rings: {', '.join(RINGS)}")
        return await _said(publisher.promote(_number(order), order.ring))

    async def _rollback(self, order: Command) -> str:
        publisher = self._publisher("rolled back")
        return await _said(publisher.rollback(_number(order)))

    async def _pin(self, order: Command) -> str:
        if not order.reason:
            raise RefusedError("say why, as in --reason 'while ticket 4711 is open': others will want to know")
        return await _said(self._member().pin(order.reason))

    async def _unpin(self, _: Command) -> str:
        return await _said(self._member().unpin())

    async def _take_over(self, _: Command) -> str:
        return await _said(self._publisher("published").take_over())

    def _member(self) -> FleetRoleMember:
        if self.role is None:
            raise RefusedError(_NO_ROLE)
        return self.role

    def _publisher(self, done: str) -> FleetPublisherMember:
        member = self._member()
        promote, rollback = getattr(member, "promote", None), getattr(member, "rollback", None)
        if promote is None or rollback is None:
            raise RefusedError(f"releases are {done} on the publisher; `pdns fleet pin` keeps this node at its release")
        publisher: FleetPublisherMember = member  # type: ignore[assignment]  # it has both methods
        return publisher


async def _said(outcome: str | Awaitable[str]) -> str:
    return await outcome if inspect.isawaitable(outcome) else outcome


def _number(order: Command) -> int:
    if order.fleet_release < 1:
        raise RefusedError("say which release, as a number; `pdns fleet status` shows them")
    return order.fleet_release
