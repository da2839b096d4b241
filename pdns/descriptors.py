"""File descriptors: how many a process may open, and who may take them."""

from __future__ import annotations

import contextlib
import resource
from typing import Final

from pdns.upstream.descriptors import limit, reserve

_WANTED: Final = 65536
_OWN: Final = 40  # listeners, memory, channels, the loop; a blockset and a configuration while they change


def raise_descriptor_limit() -> None:
    """As many as we may have and could need: each TCP client takes one, each query on its way to an upstream may."""
    with contextlib.suppress(OSError, ValueError):  # refused: the limit stays as it is
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def client_descriptors(upstreams: int) -> int:
    """How many descriptors the TCP clients of this process may take: what so many upstreams and the process itself leave over,
    at least one.
    """
    may_open = limit()
    return max(1, may_open - reserve(upstreams, may_open) - _OWN)
