"""What the slots of an event say: the labels of the series that its queries were counted in."""

from __future__ import annotations

from typing import Final, NamedTuple

from pdns.telemetry.counters import Counters
from pdns.telemetry.event_ring import RawEvent

_BLOCKED: Final = "blocked_total"  # tenant, feed, category, action
_MONITORED: Final = "would_block_total"  # tenant, feed, category
_HITS: Final = "feed_hits_total"  # feed
_LABELS: Final = {_BLOCKED: 4, _MONITORED: 3, _HITS: 1}


class BlockLabels(NamedTuple):
    """Who asked, and why it was blocked or monitored. Of a monitored query `feed` is the first feed, and `action` is ""."""

    tenant: str
    feed: str
    category: str
    action: str
    others: tuple[str, ...]  # further feeds that block it
    monitored: tuple[str, ...]  # feeds in monitor mode


def labels_of(event: RawEvent, counters: Counters) -> BlockLabels | None:
    """The labels, of the counters of the same worker. None: the counter memory had no room for its series."""
    decided: tuple[str, ...] = ()
    monitored, listing = [], []
    for slot in event.slots:
        family, *labels = counters.name(slot) or ("",)
        if len(labels) != _LABELS.get(family):
            continue
        if family == _BLOCKED:
            decided = tuple(labels)
        elif family == _MONITORED:
            monitored.append(labels)
        else:
            listing.append(labels[0])
    feeds = tuple(labels[1] for labels in monitored)
    if not decided:
        if not monitored:
            return None
        tenant, feed, category = monitored[0]
        return BlockLabels(tenant, feed, category, "", (), feeds)
    tenant, feed, category, action = decided
    others = tuple(dict.fromkeys(one for one in listing if one != feed and one not in feeds))
    return BlockLabels(tenant, feed, category, action, others, feeds)
