"""The configuration file, as frozen structs. `docs/config.md` describes every key."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Action = Literal["sinkhole", "nxdomain", "nodata", "zero", "refused", "drop"]
FeedFormat = Literal["auto", "hosts", "domains", "wildcard", "adblock", "dnsmasq", "unbound", "rpz"]
Mode = Literal["block", "monitor"]
Label = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="lower case letters, digits, - and _, at most 32")]
PositiveSeconds = Annotated[float, Meta(gt=0)]
Seconds = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    listen: tuple[str, ...] = ("127.0.0.1:5300",)
    workers: Annotated[int, Meta(ge=0, le=1)] = 0
    max_udp_answer_bytes: Annotated[int, Meta(ge=512, le=4096)] = 1232
    tcp_max_connections: Count = 1000
    tcp_max_connections_per_client: Count = 200
    tcp_idle_timeout_s: PositiveSeconds = 10.0
    drain_s: PositiveSeconds = 5.0


class Upstream(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    servers: Annotated[tuple[str, ...], Meta(min_length=1)]
    timeout_s: PositiveSeconds = 4.0
    max_in_flight: Count = 8192
    max_in_flight_per_client: Count = 4096
    case_randomisation: bool = True
    ca_file: str = ""


class Cache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    max_bytes: Annotated[int, Meta(ge=65536)] = 64 * 1024 * 1024
    min_ttl_s: Seconds = 0
    max_ttl_s: Seconds = 86400
    max_negative_ttl_s: Seconds = 3600
    servfail_ttl_s: Annotated[int, Meta(ge=1, le=300)] = 5
    max_stale_s: Seconds = 86400
    stale_ttl_s: Annotated[int, Meta(ge=1)] = 30
    refresh_ahead_hits: Seconds = 5


class Block(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    action: Action = "sinkhole"
    sinkhole: tuple[str, ...] = ("192.0.2.1", "2001:db8::1")
    ttl_s: Annotated[int, Meta(ge=0, le=86400)] = 60
    ede_code: Literal[15, 16, 17, 18] = 15
    allow: tuple[str, ...] = ()


class Local(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    forward: tuple[str, ...] = ()


class Feed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Label
    url: str
    category: Label = "malware"
    format: FeedFormat = "auto"
    refresh_s: Annotated[int, Meta(ge=30)] = 3600
    required: bool = False
    mode: Mode = "block"
    wildcard_includes_apex: bool = False
    addresses: bool = False
    max_bytes: Count = 256 * 1024 * 1024
    timeout_s: PositiveSeconds = 60.0


class Tenant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Label
    networks: Annotated[tuple[str, ...], Meta(min_length=1)]
    allow: tuple[str, ...] = ()


class Access(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    networks: tuple[str, ...] = (
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
        "::1/128", "fc00::/7", "fe80::/10",
    )  # fmt: skip


class RateLimit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    queries_per_s: Seconds = 0
    burst: Count = 1000
    action: Literal["refuse", "drop", "truncate"] = "truncate"
    ipv4_prefix: Annotated[int, Meta(ge=8, le=32)] = 32
    ipv6_prefix: Annotated[int, Meta(ge=16, le=128)] = 56


class State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    dir: str = ""


class Metrics(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    listen: str = "127.0.0.1:9153"


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything an administrator can say. Sections are tables, `feed` and `tenant` arrays of tables."""

    upstream: Upstream
    server: Server = Server()
    cache: Cache = Cache()
    block: Block = Block()
    local: Local = Local()
    feed: tuple[Feed, ...] = ()
    tenant: tuple[Tenant, ...] = ()
    access: Access = Access()
    rate_limit: RateLimit = RateLimit()
    state: State = State()
    metrics: Metrics = Metrics()
    log: Log = Log()
