"""Findings of the kind "shared": names that several tenants met for the first time today."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from pdns.event_store.event import ALL_TENANTS, Finding
from pdns.events.finding_ids import finding_id
from pdns.history.days import date_of
from pdns.telemetry.asked_names import DAY_S

LEAST_TENANTS: Final = 3
MOST_A_DAY: Final = 100


class NewSharedName(Protocol):
    """The part of `pdns.event_store.queries.SharedName` that is needed here."""

    @property
    def listed(self) -> str: ...
    @property
    def tenants(self) -> tuple[str, ...]: ...
    @property
    def n(self) -> int: ...
    @property
    def first_s(self) -> float: ...


class SharedNamesWatch:
    """Says each name once a day. The finding is of all tenants together; it names none of them."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._day = 0
        self._said: set[str] = set()

    def check(self, now_s: float, shared_new: Callable[[float, float], Iterable[NewSharedName]]) -> list[Finding]:
        """`shared_new` gives the names between two times: `EventQueries.shared_new`. Once an hour is enough."""
        day = int(now_s // DAY_S)
        if day != self._day:
            self._day = day
            self._said.clear()
        findings = []
        for shared in shared_new(float(day * DAY_S), now_s):
            tenants = len(shared.tenants)
            if tenants < LEAST_TENANTS or shared.listed in self._said or len(self._said) >= MOST_A_DAY:
                continue
            self._said.add(shared.listed)
            findings.append(
                Finding(
                    id=finding_id("shared", self._node, shared.listed, date_of(day)),
                    time_s=now_s,
                    node=self._node,
                    tenant=ALL_TENANTS,
                    kind="shared",
                    subject=shared.listed,
                    score=float(tenants),
                    n=shared.n,
                    text=f"{tenants} tenants met {shared.listed} for the first time today.",
                    first_s=shared.first_s,
                    last_s=now_s,
                )
            )
        return findings
