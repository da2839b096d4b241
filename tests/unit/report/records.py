"""Records of two weeks at four councils, for tests and pictures of reports. The same seed gives the same records."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pdns.config.load import from_tables
from pdns.config.schema import Config
from pdns.event_store.event import ALL_TENANTS, Event, Finding, Hour, Record
from pdns.state.feed_status import FeedsStatus, FeedStatus, HeldNames

WEEK_S = 7 * 86400.0
START_S = datetime(2026, 11, 16, tzinfo=UTC).timestamp()  # a Monday
END_S = START_S + WEEK_S
TENANTS = ("bradford", "kirklees", "leeds", "wakefield")
_TITLES = ("Bradford Council", "Kirklees Council", "Leeds City Council", "Wakefield Council")
_NAMES = (
    ("login-micros0ft.example", "phishing", "openphish", "Microsoft 365 phishing"),
    ("parcel-fee.example", "phishing", "openphish", "Parcel phishing"),
    ("cdn-sync.example", "c2", "threatfox", "AsyncRAT"),
    ("update-check.example", "botnet", "threatfox", "Emotet"),
    ("free-invoice.example", "malware", "urlhaus", "Lumma Stealer"),
    ("win-prize.example", "scam", "scamlist", ""),
    ("pixel.adtrace.example", "tracking", "adlist", ""),
    ("council-tax-refund.example", "phishing", "openphish", "Council tax phishing"),
)
_NEW = ("council-tax-refund.example", "free-invoice.example")


def config(state_dir: str = "/nonexistent") -> Config:
    """The configuration of those councils."""
    feeds = {feed: category for _, category, feed, _ in _NAMES} | {"quietlist": "malware"}
    tables = {
        "state": {"dir": state_dir},
        "upstream": {"servers": ["192.0.2.53"]},
        "feed": [{"name": name, "url": f"https://feeds.example/{name}", "category": key} for name, key in feeds.items()],
        "policy": [{"name": "default", "organisation": "West Yorkshire shared services"}],
        "tenant": [
            {"name": name, "display_name": title, "networks": [f"10.{at}.0.0/16"]}
            for at, (name, title) in enumerate(zip(TENANTS, _TITLES, strict=True), 1)
        ],
    }
    return from_tables(tables, "pdns.toml", Path("/"))


def status(now_s: float) -> FeedsStatus:
    """`feeds.json` of these feeds: one is out of date, one has an update that is held."""
    return FeedsStatus(
        written_s=now_s,
        feeds={
            feed.name: FeedStatus(
                url=feed.url, category=feed.category, mode=feed.mode, required=False, loaded=True, entries=12_000 + 7 * at,
                last_success_s=now_s - (9 * 86400.0 if feed.name == "scamlist" else 1800.0 + at), held_names=HeldNames(),
                last_error="HTTP 404" if feed.name == "scamlist" else "",
            )
            for at, feed in enumerate(config().feed)
        },
    )  # fmt: skip


def records(*, clients: bool = True, weeks: int = 2, seed: int = 1) -> list[Record]:
    """Hours, events and findings of the week from `START_S` and the weeks before."""
    return list(_records(random.Random(seed), clients=clients, weeks=weeks))


def _records(chance: random.Random, *, clients: bool, weeks: int) -> Iterator[Record]:
    begin_s = END_S - weeks * WEEK_S
    number = 0
    for at in range(int((END_S - begin_s) // 3600)):
        start_s = begin_s + at * 3600
        busy = 1.0 if 7 <= at % 24 < 19 and at // 24 % 7 < 5 else 0.15
        all_queries = 0
        for position, tenant in enumerate((*TENANTS, ALL_TENANTS)):
            queries = int((60_000 + 9_000 * position) * busy) + chance.randrange(900)
            if tenant == ALL_TENANTS:
                queries = all_queries
            all_queries += queries
            number += 1
            yield Hour(
                id=number, start_s=start_s, end_s=start_s + 3600, node="dns1", tenant=tenant, queries=queries,
                answered=queries - queries // 40_000, servfail=queries // 900, dropped=queries // 40_000,
            )  # fmt: skip
            if tenant == ALL_TENANTS:
                continue
            for _ in range(int(4 * busy + chance.random())):
                number += 1
                listed, category, feed, threat = chance.choice(_NAMES)
                if start_s < START_S and listed in _NEW:
                    continue
                client = f"10.{position + 1}.{chance.randrange(8)}.{chance.randrange(1, 250)}"
                yield event(
                    number, start_s + chance.random() * 3600, tenant, listed, category=category, feed=feed, threat=threat,
                    client=client if clients else "", n=chance.choice((1, 1, 1, 2, 6)),
                    others=("urlhaus",) if feed == "openphish" and chance.random() < 0.4 else (),
                )  # fmt: skip
    for step in range(600):  # a machine that calls home every five minutes
        number += 1
        time_s = START_S + 86400 + step * 300 + chance.uniform(-9, 9)
        yield event(
            number, time_s, "leeds", "cdn-sync.example", category="c2", feed="threatfox", threat="AsyncRAT",
            client="10.3.4.27" if clients else "",
        )  # fmt: skip
    yield Finding(
        id=number + 1, time_s=START_S + 90_000, node="dns1", tenant="kirklees", kind="tunnel", subject="t.exfil.example",
        client="10.2.1.9" if clients else "", text="4.2 MB in 61,000 different names within two hours", n=61_000,
    )  # fmt: skip


def event(
    number: int, time_s: float, tenant: str, listed: str, *, category: str = "malware", feed: str = "urlhaus", threat: str = "",
    client: str = "", n: int = 1, others: tuple[str, ...] = (), kind: str = "blocked", action: str = "sinkhole",
) -> Event:  # fmt: skip
    """One event."""
    return Event(
        id=number, time_s=round(time_s, 6), last_s=round(time_s + (5.0 if n > 1 else 0.0), 6), n=n,
        kind="blocked" if kind == "blocked" else "monitored", node="dns1", tenant=tenant, policy="default", client=client,
        transport="udp", qname=f"www.{listed}", qtype=1, listed=listed, rule=f"*.{listed}", feed=feed, category=category,
        action=action if kind == "blocked" else "", others=others, threat=threat, case="",
    )  # fmt: skip
