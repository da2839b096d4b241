"""The last blocked queries, for people who watch."""

from __future__ import annotations

from typing import Final, NamedTuple

MOST: Final = 200


class RecentBlock(NamedTuple):
    """One event of a worker. Names are in presentation format."""

    time_s: float  # since the epoch
    tenant: str
    client: str  # as `events.clients` says
    qname: str
    listed: str
    feed: str
    category: str
    action: str
    n: int  # queries
