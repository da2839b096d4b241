"""Whether one upstream is honest, by what canaries found. No I/O, no clock."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

LIES_TO_CONVICT: Final = 3  # in a row, each about another name as far as there are some
TRUTHS_TO_ACQUIT: Final = 3


class CanaryKind(StrEnum):
    """What is found out. The value is the label in metrics."""

    VALIDATION = "validation"  # a signed name has AD, and one with a broken signature is SERVFAIL
    FILTERING = "filtering"  # a name that must resolve does
    REWRITING = "rewriting"  # a name that does not exist has no addresses, and a known one has its own


class CanaryResult(StrEnum):
    """What one round of canaries says. The value is the label in metrics."""

    HONEST = "honest"
    LIE = "lie"
    NOTHING = "nothing"  # no answer, or one that proves neither


class Honesty:
    """One verdict for each kind. An upstream counts as honest until it has lied several times in a row: names of others may
    break, and be repaired, at any time. Silence proves nothing.
    """

    __slots__ = ("_doubts", "verdicts")

    def __init__(self) -> None:
        self.verdicts: dict[CanaryKind, bool] = {}  # True: honest. Without a member nothing is known
        self._doubts: dict[CanaryKind, int] = {}  # findings in a row that contradict the verdict

    @property
    def is_honest(self) -> bool:
        return all(self.verdicts.values())

    @property
    def is_in_doubt(self) -> bool:
        """Whether the last finding of some kind contradicts the verdict."""
        return any(self._doubts.values())

    def found(self, kind: CanaryKind, finding: CanaryResult) -> bool:
        """A round is over. True when that changed the verdict of `kind`, or made the first one."""
        if finding is CanaryResult.NOTHING:
            return False
        honest = finding is CanaryResult.HONEST
        before = self.verdicts.get(kind)
        if honest == before or (before is None and honest):
            self._doubts[kind] = 0
            self.verdicts[kind] = honest
            return before is None
        self._doubts[kind] = self._doubts.get(kind, 0) + 1
        if self._doubts[kind] < (TRUTHS_TO_ACQUIT if honest else LIES_TO_CONVICT):
            return False
        self._doubts[kind] = 0
        self.verdicts[kind] = honest
        return True
