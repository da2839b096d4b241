"""File descriptors: how many a process may open, and who may take them."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from typing import Final

_WANTED: Final = 65536
_NO_LIMIT: Final = 1 << 20
_OWN: Final = 40  # listeners, memory, channels, the loop; a blockset and a configuration while they change


def raise_descriptor_limit() -> None:
    """As many as we may have and could need: each TCP client takes one, each query on its way to an upstream may."""
    with contextlib.suppress(OSError, ValueError):  # refused: the limit stays as it is
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def limit() -> int:
    """How many descriptors this process may open (RLIMIT_NOFILE); 1024, which is usual, where the system does not tell."""
    try:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except OSError:
        return 1024
    return _NO_LIMIT if soft == resource.RLIM_INFINITY else soft


def client_descriptors(may_open: int, reserved: int) -> int:
    """How many of the descriptors that a process may open its TCP clients may take: what is left beside the `reserved` ones and
    the process's own, at least one.
    """
    return max(1, may_open - reserved - _OWN)


class Reserve:
    """Unused descriptors, kept so that a process can be started when no other descriptor is free."""

    def __init__(self, count: int) -> None:
        """Holds none before `fill`."""
        self._count = count
        self._held: list[int] = []

    def fill(self) -> None:
        """Open as many of them as the system allows."""
        with contextlib.suppress(OSError):  # none are free: the next call may find some
            while len(self._held) < self._count:
                self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def release(self) -> None:
        """Close them all."""
        while self._held:
            os.close(self._held.pop())

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """The descriptors are free inside the block. After it, as many of them are held again as are still free."""
        held = bool(self._held)
        self.release()
        try:
            yield
        finally:
            if held:
                self.fill()


RESERVE: Final = Reserve(24)  # a start needs about ten for a moment, and keeps five
