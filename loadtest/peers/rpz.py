"""A response policy zone of the list, for the peers that read one from a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from loadtest.peers.peer import SINKHOLE, Setup

ZONE = "rpz.bench"
_NXDOMAIN = "CNAME ."


def write(setup: Setup, *, nxdomain: bool = False) -> Path:
    """Each name twice, once as itself and once as everything below it: RPZ has no rule that is both."""
    return setup.write("rpz.zone", _lines(setup, _NXDOMAIN if nxdomain else f"A {SINKHOLE}"))


def _lines(setup: Setup, data: str) -> Iterator[str]:
    yield "$TTL 60"
    yield f"$ORIGIN {ZONE}."
    yield "@ IN SOA localhost. root.localhost. 1 3600 600 86400 60"
    yield "@ IN NS localhost."
    for name in setup.listed_names():
        yield f"{name} {data}"
        yield f"*.{name} {data}"
