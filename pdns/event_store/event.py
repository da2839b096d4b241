r"""What is recorded: events, findings and hours. One schema for every sink; `docs/events.md` describes each field.

Names are in presentation format, lower case, without the final dot ("." is the root): bytes that are no printable ASCII are
`\DDD`, and those that have a meaning there follow a backslash (RFC 1035, 5.1). So every text here is printable, and
`pdns.wire.names.from_text` gives the bytes back.
Times are seconds since the epoch, UTC.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

BLOCKED: Final = "blocked"
MONITORED: Final = "monitored"
ALL_TENANTS: Final = "*"

EventKind = Literal["blocked", "monitored"]
FindingKind = Literal["tunnel", "first-seen", "bypass", "retro", "shared"]


class Event(Struct, frozen=True, kw_only=True, tag="event", gc=False):
    """Queries that were blocked, or that a feed in monitor mode would have blocked.

    The first query of its kind is an event at once; repeats within a minute are merged into one more, with their number in `n`.
    """

    id: int  # unsigned, 64 bits; the same record has the same id at every sink, and after a replay
    time_s: float  # of the first query
    last_s: float  # of the last one
    n: int  # queries
    kind: EventKind
    node: str
    tenant: str
    policy: str
    client: str  # as `events.clients` says: "", "192.0.2.0/24", "h:" and 16 hexadecimal digits, or "192.0.2.7"
    transport: str  # "udp" | "tcp" | ...
    qname: str  # of the first query
    qtype: int
    listed: str  # the name that is listed; the queried name where an address is listed
    rule: str  # what matched: "bad.example", "*.bad.example", "192.0.2.0/24"
    feed: str  # that decided; "local": an administrator
    category: str
    action: str  # "" of a monitored query
    others: tuple[str, ...] = ()  # all other feeds that list it
    monitored: tuple[str, ...] = ()  # feeds in monitor mode that list it
    threat: str = ""  # as the feed names it
    reason: str = ""  # why an administrator blocks it
    case: str = ""  # the case reference (`pdns.core.case`)
    merged: bool = False  # these are repeats of a query that has an event of its own


class Finding(Struct, frozen=True, kw_only=True, tag="finding", gc=False):
    """Something that deserves a look. Findings never block."""

    id: int  # as of an event
    time_s: float
    node: str
    tenant: str
    kind: FindingKind
    subject: str  # the name it is about; "" if it is about a tenant as a whole
    client: str = ""  # as in an event
    score: float = 0.0  # its meaning depends on the kind
    n: int = 1
    text: str = ""  # one sentence
    first_s: float = 0.0
    last_s: float = 0.0
    details: dict[str, str] = {}


class Hour(Struct, frozen=True, kw_only=True, tag="hour", gc=False):
    """Counters of one node over one hour, of one tenant, or of all (`ALL_TENANTS`), and whether the events account for them.

    Of all tenants: blocked + monitored = events + merged + lost + unaccounted.
    """

    id: int  # as of an event
    start_s: float
    end_s: float  # earlier than the full hour after a start or before a stop
    node: str
    tenant: str
    queries: int = 0
    answered: int = 0
    servfail: int = 0  # among the answered
    dropped: int = 0  # queries without an answer; of all tenants only
    blocked: int = 0
    monitored: int = 0  # queries for which feeds in monitor mode alone have an event
    events: int = 0  # queries with an event of their own
    merged: int = 0  # queries that are repeats in an event
    lost: int = 0  # queries in records that were overwritten before they were read
    unaccounted: int = 0  # the rest: not 0 only after a worker was killed, and then small


Record = Event | Finding | Hour
