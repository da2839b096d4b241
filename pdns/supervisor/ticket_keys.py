"""The keys that encrypt session tickets (RFC 5077, RFC 8446, 4.6.1): random, in memory only, the same in all workers."""

from __future__ import annotations

import os
from typing import Final

from pdns.ipc.encryption_secrets import TICKET_KEY_BYTES

GENERATIONS: Final = 3


class TicketKeys:
    """One for each supervisor. Whoever has a key can read the sessions that tickets of its time resume, so it is short-lived."""

    def __init__(self, now_s: float) -> None:
        """`now_s`: of a clock that goes on while the machine sleeps."""
        self.keys: tuple[bytes, ...] = (os.urandom(TICKET_KEY_BYTES),)  # the newest first
        self._made_s = now_s

    def rotate(self, now_s: float, lifetime_s: float) -> bool:
        """Whether the newest key was as old as `lifetime_s`, so that there is a new one. The last `GENERATIONS` are kept."""
        lifetimes = int((now_s - self._made_s) // lifetime_s)
        if lifetimes < 1:
            return False
        kept = self.keys[: max(0, GENERATIONS - lifetimes)]
        self.keys = (os.urandom(TICKET_KEY_BYTES), *kept)
        self._made_s = now_s
        return True
