"""Distinct blocked domains, for each tenant and over all tenants, from the block rings of all workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pdns.telemetry.sliding_window import WINDOWS, Room, SlidingWindow

MAX_NAMES: Final = 100_000  # for all tenants together; some 15 MB
MAX_NAMES_PER_TENANT: Final = 20_000
MAX_NAMES_OVERALL: Final = 50_000


class BlockedDomains:
    """A listed name counts once, however many workers and clients met it, and however many names below it they used."""

    def __init__(self) -> None:
        self._room = Room(MAX_NAMES)
        self._of: dict[str, SlidingWindow] = {}
        self._overall = SlidingWindow(MAX_NAMES_OVERALL, Room(MAX_NAMES_OVERALL))

    def saw(self, tenant: str, listed_hash: int, now: float) -> None:
        """A client of `tenant` (a label) met the name. `now` is from a monotonic clock."""
        seen = self._of.get(tenant)
        if seen is None:
            seen = self._of[tenant] = SlidingWindow(MAX_NAMES_PER_TENANT, self._room)
        seen.saw(listed_hash, now)
        self._overall.saw(listed_hash, now)

    def totals(self, now: float) -> Iterator[tuple[str, str, int]]:
        """Tenant, window, number of names within it."""
        for tenant, seen in self._of.items():
            for (window, _), total in zip(WINDOWS, seen.totals(now), strict=True):
                yield tenant, window, total

    def totals_overall(self, now: float) -> Iterator[tuple[str, int]]:
        """Window, number of names within it over all tenants."""
        for (window, _), total in zip(WINDOWS, self._overall.totals(now), strict=True):
            yield window, total
