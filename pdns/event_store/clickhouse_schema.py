"""The tables of the ClickHouse sink, and its settings.

`ReplacingMergeTree` keeps one row for each key, which ends in the id of the record; a replay writes the same rows again. Merges
come later, so that readers need FINAL. The view adds up only what a replay does not change: no sums. Times are in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from msgspec import Struct

from pdns.event_store.event import BLOCKED

EVENT_COLUMNS: Final = (
    "id", "time", "last_time", "n", "kind", "node", "tenant", "policy", "client", "transport", "qname", "qtype", "listed", "rule",
    "feed", "category", "action", "others", "monitored", "threat", "reason", "case_reference", "merged",
)  # fmt: skip
FINDING_COLUMNS: Final = (
    "id", "time", "node", "tenant", "kind", "subject", "client", "score", "n", "text", "first_time", "last_time", "details",
)  # fmt: skip
HOUR_COLUMNS: Final = (
    "id", "start_time", "end_time", "node", "tenant", "queries", "answered", "servfail", "dropped", "blocked", "monitored",
    "events", "merged", "lost", "unaccounted",
)  # fmt: skip
PREFIX: Final = "pdns_"  # of the names of tables
_TTL: Final = {"days": "day", "hours": "toDateTime(start_time)"}  # others: toDateTime(time)

_TIME: Final = "DateTime64(6, 'UTC')"
_FEW: Final = "LowCardinality(String)"
_TABLES: Final = {
    "events": f"""(
    id UInt64, time {_TIME} CODEC(DoubleDelta, ZSTD), last_time {_TIME} CODEC(DoubleDelta, ZSTD), n UInt64 CODEC(T64, ZSTD),
    kind {_FEW}, node {_FEW}, tenant {_FEW}, policy {_FEW}, client String CODEC(ZSTD), transport {_FEW},
    qname String CODEC(ZSTD), qtype UInt16, listed String CODEC(ZSTD), rule String CODEC(ZSTD), feed {_FEW}, category {_FEW},
    action {_FEW}, others Array({_FEW}), monitored Array({_FEW}), threat {_FEW}, reason String CODEC(ZSTD),
    case_reference String CODEC(ZSTD), merged Bool
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(time) ORDER BY (tenant, listed, time, id)""",
    "findings": f"""(
    id UInt64, time {_TIME}, node {_FEW}, tenant {_FEW}, kind {_FEW}, subject String, client String, score Float64, n UInt64,
    text String, first_time {_TIME}, last_time {_TIME}, details Map(String, String)
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(time) ORDER BY (tenant, kind, time, id)""",
    "hours": f"""(
    id UInt64, start_time {_TIME}, end_time {_TIME}, node {_FEW}, tenant {_FEW}, queries Int64, answered Int64, servfail Int64,
    dropped Int64, blocked Int64, monitored Int64, events Int64, merged Int64, lost Int64, unaccounted Int64
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(start_time) ORDER BY (tenant, start_time, node, id)""",
    "days": f"""(
    day Date, tenant {_FEW}, domains AggregateFunction(uniqExact, String),
    clients AggregateFunction(uniqExactIf, String, UInt8), first_time SimpleAggregateFunction(min, {_TIME}),
    last_time SimpleAggregateFunction(max, {_TIME})
) ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(day) ORDER BY (tenant, day)""",
}


class ClickHouseKeys(Protocol):
    """The keys of a `[[sink]]` of the kind "clickhouse"."""

    @property
    def url(self) -> str: ...
    @property
    def database(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def password_file(self) -> str: ...
    @property
    def ttl_days(self) -> int: ...
    @property
    def timeout_s(self) -> float: ...
    @property
    def ca_file(self) -> str: ...
    @property
    def client_cert_file(self) -> str: ...
    @property
    def client_key_file(self) -> str: ...


class ClickHouse(Struct, frozen=True, kw_only=True):
    """Where the tables are. `url`: http or https, with a port unless it is 8123 or 8443. `ttl_days`: 0 keeps rows for good."""

    url: str
    database: str = "pdns"
    user: str = "default"
    password_file: str = ""
    ttl_days: int = 400
    timeout_s: float = 10.0
    ca_file: str = ""
    client_cert_file: str = ""
    client_key_file: str = ""

    @classmethod
    def of(cls, keys: ClickHouseKeys) -> ClickHouse:
        """The settings in a section of the configuration."""
        return cls(**{name: getattr(keys, name) for name in cls.__struct_fields__})

    def table(self, name: str) -> str:
        """The full name of a table."""
        return f"`{self.database}`.{PREFIX}{name}"


def statements(settings: ClickHouse) -> Iterator[str]:
    """What makes the database, the tables and the view where they are missing, and sets how long new tables keep rows."""
    yield f"CREATE DATABASE IF NOT EXISTS `{settings.database}`"
    for name, definition in _TABLES.items():
        table, time = settings.table(name), _TTL.get(name, "toDateTime(time)")
        lasting = f" TTL {time} + INTERVAL {settings.ttl_days} DAY" if settings.ttl_days else ""
        yield f"CREATE TABLE IF NOT EXISTS {table} {definition}{lasting}"
    yield f"""CREATE MATERIALIZED VIEW IF NOT EXISTS {settings.table("days_view")} TO {settings.table("days")} AS
SELECT toDate(time) AS day, tenant, uniqExactState(listed) AS domains, uniqExactIfState(client, client != '') AS clients,
    min(time) AS first_time, max({settings.table("events")}.last_time) AS last_time
FROM {settings.table("events")} WHERE kind = '{BLOCKED}' GROUP BY day, tenant"""
