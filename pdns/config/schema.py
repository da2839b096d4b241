"""The configuration file, as frozen structs. `docs/config.md` describes every key.

`pdns.config.load.load` returns a settled `Config`: paths are absolute; addresses, networks and names have their canonical
spelling (`pdns.config.addresses`); `system` is replaced by the servers it stands for; `state.dir` is never empty.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from pdns.config.admin_schema import Admin, Metrics
from pdns.config.canary_schema import CanarySection
from pdns.config.discovery_schema import Designation, DiscoverySection
from pdns.config.event_schema import EventSection
from pdns.config.findings_schema import FindingsSection
from pdns.config.fleet_schema import FleetSection
from pdns.config.history_schema import HistorySection
from pdns.config.listener_schema import EncryptedSection, ListenerSection
from pdns.config.policy_schema import PolicySection, Tenant
from pdns.config.report_schema import Mail, ScheduledReport
from pdns.config.sink_schema import SinkSection
from pdns.config.value_types import (
    MOST,
    Action,
    AtLeastOne,
    Delimiter,
    Dnssec,
    FeedFormat,
    HeaderField,
    JsonPath,
    Label,
    LabelOrNone,
    MinisignKey,
    Mode,
    NotNegative,
    Positive,
    PositiveSeconds,
    PtrRecords,
    RpzAction,
    ServersOrDefault,
    Share,
    ShareOrDefault,
    Strategy,
    TrueFalseOrAuto,
    TsigAlgorithm,
    WordInQuery,
    ZoneDnssec,
)


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where and how clients are served."""

    listen: AtLeastOne = ("127.0.0.1:5300",)
    workers: NotNegative = 0
    max_udp_answer_bytes: Annotated[int, Meta(ge=512, le=4096)] = 1232
    tcp_max_connections: Positive = 1000
    tcp_max_connections_per_client: Positive = 50
    tcp_idle_timeout_s: PositiveSeconds = 10.0
    drain_s: PositiveSeconds = 5.0
    proxy_protocol_from: tuple[str, ...] = ()
    identity: str = ""
    user: str = ""
    group: str = ""


class Upstream(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where other queries are forwarded, and how many at a time."""

    servers: AtLeastOne = ("system",)
    strategy: Strategy = "fastest"
    fallback: LabelOrNone = ""
    timeout_s: PositiveSeconds = 10.0
    max_in_flight: Positive = 8192
    max_in_flight_per_client: Positive = 4096
    case_randomisation: bool = True
    dnssec: Dnssec = "trust-ad"
    ca_file: str = ""


class Group(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Further upstreams, for zones and as a fallback."""

    name: Label
    servers: AtLeastOne
    strategy: Strategy = "fastest"
    fallback: LabelOrNone = ""
    timeout_s: PositiveSeconds = 10.0
    case_randomisation: bool = True
    dnssec: Dnssec = "trust-ad"
    ca_file: str = ""


class Zone(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names that have upstreams of their own."""

    name: str = ""
    names: tuple[str, ...] = ()
    servers: ServersOrDefault = ()
    group: LabelOrNone = ""
    block: bool = True
    dnssec: ZoneDnssec = True
    private_answers: TrueFalseOrAuto = "auto"
    strategy: Strategy = "fastest"
    fallback: LabelOrNone = ""
    timeout_s: PositiveSeconds = 10.0
    case_randomisation: bool = True
    ca_file: str = ""


class Cache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long answers are kept, and how much memory they may take."""

    max_bytes: Annotated[int, Meta(ge=65536, le=2**40)] = 64 * 1024 * 1024
    min_ttl_s: NotNegative = 0
    max_ttl_s: NotNegative = 86400
    max_negative_ttl_s: NotNegative = 3600
    servfail_ttl_s: Annotated[int, Meta(ge=1, le=300)] = 5
    max_stale_s: NotNegative = 86400
    stale_ttl_s: Positive = 30
    refresh_ahead_hits: NotNegative = 5


class Block(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How blocked names are answered, and which names are never blocked."""

    action: Action = "sinkhole"
    sinkhole: AtLeastOne = ("192.0.2.1", "2001:db8::1")
    ttl_s: Annotated[int, Meta(ge=0, le=86400)] = 60
    ede_code: Literal[15, 16, 17, 18] = 15
    allow: tuple[str, ...] = ()
    nat64_prefixes: tuple[str, ...] = ()


class Local(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names that are not forwarded, and files with local records."""

    never_forward: tuple[str, ...] = ()
    forward_single_labels: bool = True
    hosts_files: tuple[str, ...] = ()
    zone_files: tuple[str, ...] = ()


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The local records of one name."""

    name: str
    a: tuple[str, ...] = ()
    aaaa: tuple[str, ...] = ()
    cname: str = ""
    mx: tuple[str, ...] = ()
    txt: tuple[str, ...] = ()
    srv: tuple[str, ...] = ()
    https: tuple[str, ...] = ()
    ptr: PtrRecords = True
    ttl_s: NotNegative = 300


class Rebinding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Protection from DNS rebinding: public names must not lead to addresses of this network."""

    block_private_answers: bool = False
    allow: tuple[str, ...] = ()


class Dns64(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """IPv6 addresses for names that have none, for clients behind a NAT64."""

    prefix: str = ""
    networks: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ("::ffff:0:0/96",)
    ipv4_exclude: tuple[str, ...] = ()


class Feed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One list of names to block."""

    name: Label
    url: str
    use: str = ""
    category: Label = "malware"
    format: FeedFormat = "auto"
    refresh_s: Annotated[int, Meta(ge=30, le=MOST)] = 3600
    required: bool = False
    mode: Mode = "block"
    rpz_action: RpzAction = "policy"
    wildcard_includes_apex: TrueFalseOrAuto = "auto"
    addresses: bool = False
    url_hosts: bool = False
    top_level_domains: bool = False
    column: str = ""
    delimiter: Delimiter = ","
    json_path: JsonPath = ""
    active_until: str = ""
    max_bytes: Positive = 256 * 1024 * 1024
    timeout_s: PositiveSeconds = 60.0
    ca_file: str = ""
    client_cert_file: str = ""
    client_key_file: str = ""
    proxy: str = ""
    internal_networks: tuple[str, ...] = ()
    token_file: str = ""
    token_env: str = ""
    token_header: HeaderField = ""
    token_query: WordInQuery = ""
    checksum_url: str = ""
    minisign_key: MinisignKey = ""
    signature_url: str = ""
    minisign_file: str = ""
    minisign_prehashed: bool = False
    tsig_name: str = ""
    tsig_algorithm: TsigAlgorithm = "hmac-sha256"
    tsig_secret_file: str = ""
    expire_after_s: NotNegative = 0
    min_entries: Positive = 1
    max_shrink: ShareOrDefault = -1.0
    max_growth: ShareOrDefault = -1.0
    max_turnover: ShareOrDefault = -1.0
    guard: Literal["auto", "threat", "policy", "off"] = "auto"
    guard_skip: tuple[str, ...] = ()


class Feeds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings for all feeds."""

    notify_listen: str = ""
    publish_listen: tuple[str, ...] = ("127.0.0.1:5303",)


class Publish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A response policy zone of all blocked names, for other resolvers."""

    zone: str
    policy: Label = "default"
    action: Literal["nxdomain", "nodata", "drop", "policy"] = "nxdomain"
    addresses: bool = True
    allow_transfer: tuple[str, ...] = ()
    notify: tuple[str, ...] = ()
    tsig_name: str = ""
    tsig_algorithm: TsigAlgorithm = "hmac-sha256"
    tsig_secret_file: str = ""
    ttl_s: NotNegative = 60
    refresh_s: Positive = 300
    expire_s: Positive = 604800
    file: str = ""
    minisign_secret_file: str = ""


class Guard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits for updates of feeds; an update or name beyond them is held."""

    max_shrink: Share = 0.3
    max_growth: Share = 1.0
    max_turnover: Share = 0.7
    max_popular: Share = 0.01
    max_popular_first: Share = 0.2
    small_change: NotNegative = 100
    protect: tuple[str, ...] = ()
    giants: bool = True
    popularity: str = ""
    popularity_refuse: NotNegative = 1000
    popularity_hold: NotNegative = 100000
    popular_names: bool = True
    widest_ipv4: Annotated[int, Meta(ge=0, le=32)] = 12
    widest_ipv6: Annotated[int, Meta(ge=0, le=128)] = 28
    release_after_s: NotNegative = 86400
    release_after_refreshes: Positive = 3
    policy_categories: tuple[str, ...] = ("policy", "ads", "tracking")
    skip: tuple[str, ...] = ()


class Access(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may query."""

    networks: AtLeastOne = (
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
        "::1/128", "fc00::/7", "fe80::/10",
    )  # fmt: skip


class RateLimit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many queries one client may send."""

    queries_per_s: NotNegative = 0
    verified_queries_per_s: NotNegative = 0
    burst: Positive = 1000
    action: Literal["refuse", "drop", "truncate"] = "truncate"
    ipv4_prefix: Annotated[int, Meta(ge=8, le=32)] = 32
    ipv6_prefix: Annotated[int, Meta(ge=16, le=128)] = 56


class State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Data that is kept across restarts."""

    dir: str = ""


class BlockPage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The web page that clients get at the sinkhole address."""

    listen: tuple[str, ...] = ()
    max_connections: Annotated[int, Meta(ge=8, le=4096)] = 256
    visits_per_minute: NotNegative = 60
    max_reports: Annotated[int, Meta(ge=1, le=2000)] = 500
    reports_per_hour: Positive = 200
    reports_per_hour_per_client: Positive = 20


class Quality(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lists that `pdns feeds quality` compares feeds with."""

    benign: tuple[str, ...] = ()


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is logged."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    monitored_per_minute: NotNegative = 60
    clients: bool = False


class LoadedRecords(Struct, frozen=True, kw_only=True):
    """All local records, from `[[record]]` and from files. No key: it is made when the configuration is loaded."""

    table: bytes = b""  # see `pdns.config.record_table`
    sources: tuple[str, ...] = ()  # what the names came from: "[[record]]", or the path of a file
    versions: dict[str, tuple[int, ...]] = {}  # path of a file -> as `pdns.files.file_version` says, before it was read
    notes: tuple[str, ...] = ()  # what was left out, and why


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration. Sections are tables; those that may be repeated are arrays of tables."""

    server: Server = Server()
    listener: tuple[ListenerSection, ...] = ()
    encrypted: EncryptedSection = EncryptedSection()
    discovery: DiscoverySection = DiscoverySection()
    upstream: Upstream = Upstream()
    canaries: CanarySection = CanarySection()
    cache: Cache = Cache()
    block: Block = Block()
    local: Local = Local()
    record: tuple[Record, ...] = ()
    rebinding: Rebinding = Rebinding()
    dns64: Dns64 = Dns64()
    group: tuple[Group, ...] = ()
    zone: tuple[Zone, ...] = ()
    feed: tuple[Feed, ...] = ()
    feeds: Feeds = Feeds()
    guard: Guard = Guard()
    policy: tuple[PolicySection, ...] = ()
    tenant: tuple[Tenant, ...] = ()
    publish: tuple[Publish, ...] = ()
    access: Access = Access()
    rate_limit: RateLimit = RateLimit()
    state: State = State()
    metrics: Metrics = Metrics()
    admin: Admin = Admin()
    block_page: BlockPage = BlockPage()
    events: EventSection = EventSection()
    mail: Mail = Mail()
    report: tuple[ScheduledReport, ...] = ()
    quality: Quality = Quality()
    sink: tuple[SinkSection, ...] = ()
    history: HistorySection = HistorySection()
    findings: FindingsSection = FindingsSection()
    fleet: FleetSection = FleetSection()
    log: Log = Log()
    loaded_records: LoadedRecords | UnsetType = UNSET
    utc_offsets: dict[str, tuple[tuple[int, int], ...]] | UnsetType = UNSET  # of each time zone (`pdns.config.time_zones`)
    designation: Designation | UnsetType = UNSET  # what the certificates of listeners say (`pdns.config.designation`)


MADE_FIELDS = frozenset(("loaded_records", "utc_offsets", "designation"))  # fields of `Config` that are no keys
