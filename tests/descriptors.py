"""The file descriptors of this process, for tests that nothing was leaked."""

from __future__ import annotations

import gc
import os


def open_fds(*, collect: bool = True) -> set[int]:
    """Those that are open once garbage is collected. The one that reads the list is not among them.

    Without `collect` it takes no time, for tests that something waits for.
    """
    if collect:
        gc.collect()  # what an earlier test left to the collector must not be closed between two calls
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 (a Path each would be garbage)
        try:
            os.fstat(int(name))
        except OSError:
            continue
        found.add(int(name))
    return found
