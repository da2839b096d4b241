"""Whether an upstream takes EDNS queries (RFC 6891, 6.2.2 and 7): found out by asking, remembered for an hour."""

from __future__ import annotations

MEMORY_S = 3600.0
_SILENT_EXCHANGES = 3


class EdnsMemory:
    """What is known of one upstream. A timeout alone proves nothing: packets are lost for many reasons."""

    __slots__ = ("_off_until_s", "_only_without", "_seen_until_s")

    def __init__(self) -> None:
        self._off_until_s = 0.0
        self._seen_until_s = 0.0
        self._only_without = 0

    def is_on(self, now: float) -> bool:
        return now >= self._off_until_s

    def may_be_dropped(self, now: float) -> bool:
        """Whether silence could mean that queries with EDNS are dropped: not if a response had OPT within the hour."""
        return now >= self._seen_until_s

    def saw_opt(self, now: float) -> None:
        """A response had an OPT record."""
        self._seen_until_s = now + MEMORY_S
        self._only_without = 0

    def refused(self, now: float) -> None:
        """It refused a query with EDNS, and answered the same without."""
        self._off_until_s = now + MEMORY_S

    def answered_only_without(self, now: float) -> None:
        """It was silent to a question with EDNS, and answered the same without: three in a row are believed."""
        self._only_without += 1
        if self._only_without >= _SILENT_EXCHANGES:
            self._only_without = 0
            self._off_until_s = now + MEMORY_S
