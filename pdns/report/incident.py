"""What is known of one name or one client: contacts, answers, listings, and what administrators changed.

The content has a hash, so that a copy can be compared with what was written at the time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

from pdns.config.schema import Config
from pdns.errors import PdnsError
from pdns.event_store.event import BLOCKED, Event, Finding
from pdns.event_store.queries import EventQueries, Window
from pdns.report.content import known_share, title_of, titles_of
from pdns.report.periods import Period
from pdns.report.policy_changes import PolicyChanges, policy_changes
from pdns.version import VERSION as PROGRAM_VERSION

VERSION: Final = 1  # of the JSON form
MOST_RECORDS: Final = 200_000  # that are read
SHOWN_RECORDS: Final = 1_000  # in the content: the first and the last
_MOST_MACHINES: Final = 1_000
_MOST_FINDINGS: Final = 100
_PAGE: Final = 10_000
_TICK_S: Final = 1e-6  # times are compared in microseconds


class IncidentError(PdnsError, ValueError):
    """A file that holds no incident report."""


class ListedBy(Struct, frozen=True, kw_only=True):
    """A listing of the name in force now. Times are 0 where they are not known."""

    feed: str
    category: str
    listed: str
    threat: str
    since_s: float  # here, to the day
    published_s: float  # as the publisher says
    last_seen_s: float


class Contact(Struct, frozen=True, kw_only=True):
    """The queries of one client of one tenant. `client` is what the configuration keeps; "" if nothing."""

    tenant: str
    client: str
    blocked: int
    monitored: int  # not blocked: a feed in monitor mode listed the name
    names: tuple[str, ...]  # listed names, at most 10
    first_s: float
    last_s: float


class IncidentContent(Struct, frozen=True, kw_only=True):
    """One incident report. Times are seconds since the epoch."""

    kind: Literal["incident"] = "incident"
    version: int = VERSION
    program: str = PROGRAM_VERSION
    made_s: float
    start_s: float
    end_s: float
    time_zone: str
    name: str  # queries for it and for names below it; "": any
    client: str  # "": any
    tenant: str  # "": any
    title: str
    blocked: int
    monitored: int
    first_s: float  # of the first contact; 0: there is none
    last_s: float
    first_blocked_s: float
    tenants: dict[str, str]  # that have contacts, with their display names
    contacts: tuple[Contact, ...]
    answers: dict[str, int]  # action -> queries
    feeds: dict[str, int]  # feed that decided -> queries
    listings: tuple[ListedBy, ...]
    findings: tuple[Finding, ...]
    policy: PolicyChanges
    config_sha256: str  # of the configuration in force when the report was made
    known_share: float  # of the period for which counters are recorded
    has_losses: bool  # records of the period were lost, whatever they were about
    is_complete: bool  # every record was read
    records: tuple[Event, ...]  # the first and the last, at most `SHOWN_RECORDS`

    @property
    def period(self) -> Period:
        return Period(self.start_s, self.end_s, self.time_zone)


class SealedIncident(Struct, frozen=True):
    """The JSON form: the content, and the SHA-256 of the bytes that it consists of."""

    sha256: str
    content: msgspec.Raw


def collect(
    queries: EventQueries,
    config: Config,
    period: Period,
    now_s: float,
    *,
    name: str = "",
    clients: Sequence[str] = (),
    tenant: str | None = None,
    listings: Iterable[ListedBy] = (),
) -> IncidentContent:
    """Everything about `name` (in presentation format; "": any) and `clients` (the texts that events may have; (): any)."""
    window = Window(period.start_s, period.end_s)
    records, is_complete = _records(queries, window, name, clients, tenant)
    records.sort(key=lambda one: (one.time_s, one.id))
    blocked = [one for one in records if one.kind == BLOCKED]
    hours = queries.hours(window, None)
    titles = titles_of(config, tenant)
    half = SHOWN_RECORDS // 2
    return IncidentContent(
        made_s=now_s, start_s=period.start_s, end_s=period.end_s, time_zone=period.time_zone, name=name,
        client=clients[0] if clients else "", tenant=tenant or "", title=title_of(config, tenant),
        blocked=sum(one.n for one in blocked), monitored=sum(one.n for one in records if one.kind != BLOCKED),
        first_s=records[0].time_s if records else 0.0, last_s=max((one.last_s for one in records), default=0.0),
        first_blocked_s=blocked[0].time_s if blocked else 0.0,
        tenants={key: titles.get(key, key) for key in sorted({one.tenant for one in records})},
        contacts=_contacts(records),
        answers=_counts((one.action, one.n) for one in blocked),
        feeds=_counts((one.feed, one.n) for one in records),
        listings=tuple(listings),
        findings=tuple(
            one for one in queries.findings(window, tenant, None, _PAGE)
            if (not name or _is_below(one.subject, name)) and (not clients or one.client in clients)
        )[:_MOST_FINDINGS],
        policy=policy_changes(config, period.start_s, period.end_s, tenant),
        config_sha256=hashlib.sha256(msgspec.json.encode(config)).hexdigest(),
        known_share=known_share(hours, window), has_losses=any(hour.lost or hour.unaccounted > 0 for hour in hours),
        is_complete=is_complete,
        records=tuple(records if len(records) <= SHOWN_RECORDS else [*records[:half], *records[-half:]]),
    )  # fmt: skip


def sealed(content: IncidentContent) -> SealedIncident:
    """The content with its hash."""
    encoded = msgspec.json.encode(content)
    return SealedIncident(hashlib.sha256(encoded).hexdigest(), msgspec.Raw(encoded))


def verified(data: bytes) -> IncidentContent:
    """The content of a JSON file whose hash is right. Raises `IncidentError`."""
    try:
        read = msgspec.json.decode(data, type=SealedIncident)
        content = msgspec.json.decode(read.content, type=IncidentContent)
    except (ValueError, RecursionError) as error:
        raise IncidentError(f"no incident report in JSON: {error}") from None
    digest = hashlib.sha256(bytes(read.content)).hexdigest()
    if digest != read.sha256:
        raise IncidentError(f"changed: its content has the SHA-256 {digest}, not {read.sha256}")
    return content


def _records(
    queries: EventQueries, window: Window, name: str, clients: Sequence[str], tenant: str | None
) -> tuple[list[Event], bool]:
    """The records, read in pages from the newest, and whether these are all."""
    found: dict[int, Event] = {}
    end_s = window.end_s
    while True:
        page = queries.events(Window(window.start_s, end_s), tenant, name=name, clients=clients, limit=_PAGE)
        more = [one for one in page if one.id not in found]
        found |= {one.id: one for one in more}
        if len(page) < _PAGE:
            return list(found.values()), True
        if not more or len(found) >= MOST_RECORDS:
            return list(found.values()), False
        end_s = page[-1].time_s + _TICK_S


def _contacts(records: Iterable[Event]) -> tuple[Contact, ...]:
    groups: dict[tuple[str, str], list[Event]] = {}
    for one in records:
        groups.setdefault((one.tenant, one.client), []).append(one)
    found = [
        Contact(
            tenant=tenant, client=client, blocked=sum(one.n for one in those if one.kind == BLOCKED),
            monitored=sum(one.n for one in those if one.kind != BLOCKED),
            names=tuple(name for name, _ in Counter(one.listed for one in those).most_common(10)),
            first_s=min(one.time_s for one in those), last_s=max(one.last_s for one in those),
        )
        for (tenant, client), those in groups.items()
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: (one.first_s, one.tenant, one.client))[:_MOST_MACHINES])


def _counts(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for key, n in pairs:
        counts[key] += n
    return dict(sorted(counts.items()))


def _is_below(subject: str, name: str) -> bool:
    return subject == name or subject.endswith(f".{name}") or name.endswith(f".{subject}")
