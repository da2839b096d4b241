"""A week of events as a fleet of councils would make it, for measurements: most clients and names are rare, a few are common."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from pdns.event_store.event import ALL_TENANTS, Event, Hour, Record

WEEK_S: Final = 7 * 86_400
START_S: Final = 1_780_000_000.0
_CATEGORIES: Final = ("malware", "phishing", "advertising", "tracking", "c2")
TENANTS, CLIENTS, DOMAINS, FEEDS = 250, 20_000, 5_300, 40


def events(count: int, seed: int = 1) -> Iterator[Event]:
    """`count` events in the order of their times, over a week."""
    luck = random.Random(seed)
    for number in range(count):
        time_s = START_S + round(number * WEEK_S / count, 6)
        client, domain = int(CLIENTS ** luck.random()), int(DOMAINS ** luck.random())
        merged = luck.random() < 0.3
        listed = f"listed-name-{domain}.example"
        feed, other = f"feed-{domain % FEEDS}", f"feed-{domain * 7 % FEEDS}"
        host = f"host-{luck.randrange(60)}." if luck.random() < 0.3 else ""
        yield Event(
            id=luck.randrange(2**64), time_s=time_s, last_s=time_s + (round(luck.random() * 60, 6) if merged else 0.0),
            n=luck.randrange(2, 30) if merged else 1, kind="blocked", node=f"node-{client % 4}",
            tenant=f"council-{client % TENANTS}", policy="default", client=f"10.{client % TENANTS}.{client >> 8}.{client & 255}",
            transport="udp", qname=f"{host}{listed}", qtype=luck.choice((1, 28, 65)), listed=listed, rule=listed, feed=feed,
            category=_CATEGORIES[domain % 5], action="nxdomain", others=(other,) if other != feed else (),
            threat=f"threat-{domain % 300}" if domain % 3 == 0 else "", case=f"PD-{domain:08}", merged=merged,
        )  # fmt: skip


def hours() -> Iterator[Hour]:
    """The hours of all tenants and of each, over the week."""
    for number in range(WEEK_S // 3600):
        start_s = START_S + number * 3600
        for at, tenant in enumerate((ALL_TENANTS, *(f"council-{n}" for n in range(TENANTS)))):
            queries, blocked = (1_000, 50) if at else (250_000, 12_500)
            yield Hour(
                id=number << 16 | at, start_s=start_s, end_s=start_s + 3600, node="node-0", tenant=tenant, queries=queries,
                answered=queries - 10, blocked=blocked, events=blocked,
            )  # fmt: skip


def batches(records: Iterator[Record], size: int) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == size:
            yield batch
            batch = []
    yield batch
