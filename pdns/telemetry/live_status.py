"""What the status page, `pdns top` and `GET /api/status` show: one value, made once a second while there is a viewer.

Rates are per second, lengths of time are seconds, points in time are seconds since the epoch. None: nothing to divide by.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

UpstreamState = Literal["up", "down", "useless"]


class LiveRates(Struct, frozen=True, kw_only=True):
    """What happened within `over_s`, per second."""

    over_s: float = 0.0
    queries: float = 0.0
    blocked: float = 0.0
    monitored: float = 0.0  # queries that a feed in monitor mode would have blocked
    servfail: float = 0.0  # answers with this response code
    dropped: float = 0.0  # packets, queries and connections without an answer


class LiveAnswers(Struct, frozen=True, kw_only=True):
    """Answers of one source over the last minute."""

    source: str
    per_s: float
    share: float  # of all answers, from 0 to 1
    p50_s: float | None
    p99_s: float | None


class LiveCache(Struct, frozen=True, kw_only=True):
    """The answer cache of all workers."""

    hit_share: float | None = None  # of the answers that are not blocked, local or refused; over the last minute
    entries: int = 0
    bytes: int = 0
    evictions_per_s: float = 0.0


class LiveTotals(Struct, frozen=True, kw_only=True):
    """The headline numbers. `queries` and `blocked` are since `since_s`, the start of the server."""

    since_s: float = 0.0
    queries: int = 0
    blocked: int = 0
    domains_1h: int = 0  # distinct listed names that clients asked for
    domains_24h: int = 0
    domains_7d: int = 0


class LiveWorker(Struct, frozen=True, kw_only=True):
    """One worker. `cpu`: cores in use; None when the system does not say."""

    name: str
    up: bool
    in_flight: int
    generation: int
    cpu: float | None
    resident_bytes: int


class LiveProcess(Struct, frozen=True, kw_only=True):
    """One process of the server, also each worker."""

    name: str
    pid: int
    cpu: float | None
    resident_bytes: int
    started_s: float


class LiveUpstream(Struct, frozen=True, kw_only=True):
    """One upstream over the last minute."""

    name: str
    state: UpstreamState
    per_s: float
    errors_per_s: float  # everything but good answers
    errors: dict[str, float]  # result -> how many per second, without those at 0
    p50_s: float | None
    p99_s: float | None


class LiveFeed(Struct, frozen=True, kw_only=True):
    """One feed. `problem`: why it needs a look; "" when all is well."""

    name: str
    category: str
    mode: str
    required: bool
    loaded: bool
    entries: int
    last_success_s: float  # 0: never
    last_error: str
    problem: str
    held: int  # updates and names that wait for an administrator
    disabled: bool
    hits: int  # queries for what it lists, since the start of the server
    hits_per_s: float  # over the last minute


class LiveTenant(Struct, frozen=True, kw_only=True):
    """One tenant. Rates are over the last minute, counts since the start of the server."""

    name: str
    queries_per_s: float
    blocked_per_s: float
    queries: int
    blocked: int
    domains_24h: int = 0


class LiveSink(Struct, frozen=True, kw_only=True):
    """One sink of events, as the events process counts it."""

    name: str
    up: bool
    lag_s: float
    written: int
    lost: int
    errors: int


class LiveBlock(Struct, frozen=True, kw_only=True):
    """Blocked queries for one name. `client` is as `events.clients` says."""

    time_s: float
    tenant: str
    client: str
    qname: str
    listed: str
    feed: str
    category: str
    action: str
    n: int = 1


class LivePoint(Struct, frozen=True, array_like=True):
    """One second of the past."""

    time_s: float
    queries: float
    blocked: float
    p99_s: float | None


class LiveStatus(Struct, frozen=True, kw_only=True):
    """Everything."""

    time_s: float = 0.0
    node: str = ""
    version: str = ""
    commit: str = ""
    config_sha256: str = ""
    reload_successful: bool = True
    generation: int = 0
    entries: int = 0  # listed names in the blockset in use
    not_ready: list[str] = []
    remarks: list[str] = []
    second: LiveRates = LiveRates()
    minute: LiveRates = LiveRates()
    p50_s: float | None = None  # of all answers over the last minute
    p99_s: float | None = None
    in_flight: int = 0
    tcp_connections: int = 0
    totals: LiveTotals = LiveTotals()
    cache: LiveCache = LiveCache()
    answers: list[LiveAnswers] = []
    workers: list[LiveWorker] = []
    upstreams: list[LiveUpstream] = []
    feeds: list[LiveFeed] = []
    sinks: list[LiveSink] = []
    processes: list[LiveProcess] = []
    history: list[LivePoint] = []  # at most ten minutes, the oldest first
    names_shown: bool = False  # whether the viewer may see the rest
    tenants: list[LiveTenant] = []
    recent: list[LiveBlock] = []  # the newest first


class TenantStatus(Struct, frozen=True, kw_only=True):
    """What a tenant may see of it."""

    time_s: float
    ready: bool
    tenant: LiveTenant
    recent: list[LiveBlock]
