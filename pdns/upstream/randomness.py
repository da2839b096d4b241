"""Unpredictable numbers (RFC 5452, 9.2), drawn from the kernel's generator in batches.

Not to be used across a fork: both sides would draw the same numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

_BATCH_BYTES = 4096


class Randomness:
    """`u16()` is uniform in 0..65535."""

    __slots__ = ("_at", "_bytes", "u16")

    def __init__(self) -> None:
        self.u16: Callable[[], int] = _u16s().__next__
        self._bytes = b""
        self._at = 0

    def data(self, count: int) -> bytes:
        """`count` bytes, at most 4096."""
        at = self._at
        self._at = end = at + count
        if end > len(self._bytes):
            self._bytes = os.urandom(_BATCH_BYTES)
            at, self._at = 0, count
        return self._bytes[at : at + count]

    def below(self, bound: int) -> int:
        """A number in 0..bound-1, for bounds far below 65536: even to within bound/65536."""
        return self.u16() * bound >> 16

    def port(self) -> int:
        """A port in 1024..65535, each as likely as the next."""
        while (port := self.u16()) < 1024:
            pass
        return port


def _u16s() -> Iterator[int]:
    while True:
        yield from memoryview(os.urandom(_BATCH_BYTES)).cast("H")
