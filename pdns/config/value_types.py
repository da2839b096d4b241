"""The types of values in the configuration file, with their bounds and how errors describe them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

Action = Literal["sinkhole", "nxdomain", "nodata", "zero", "refused", "drop"]
RpzAction = Literal["policy", "given", "sinkhole", "nxdomain", "nodata", "zero", "refused", "drop"]
FeedFormat = Literal[
    "auto", "hosts", "domains", "wildcard", "adblock", "dnsmasq", "unbound", "bind", "rpz",
    "csv", "json", "jsonl", "threatfox", "urlhaus", "misp", "stix",
]  # fmt: skip
Mode = Literal["block", "monitor"]
PolicyMode = Literal["block", "monitor", "off"]
EntryAction = Literal["block", "allow"]
Weekday = Annotated[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], Meta(description="day")]
ClientDetail = Literal["none", "prefix", "hash", "full"]
ClientDetailOrNone = Annotated[
    Literal["", "none", "prefix", "hash", "full"], Meta(description='"none", "prefix", "hash" or "full"')
]
Strategy = Literal["fastest", "ordered", "parallel"]
Dnssec = Literal["trust-ad", "pass"]
SinkKind = Literal["file", "syslog", "dnstap", "webhook", "clickhouse"]
SinkRecords = Literal["blocked", "monitored", "findings", "hours"]
SinkFindings = Literal["tunnel", "first-seen", "bypass", "retro", "shared"]
SinkFormat = Literal["ocsf", "ecs", "cef"]
SyslogTransport = Literal["tcp", "tls", "udp"]
SyslogFacility = Literal[
    "user", "daemon", "auth", "syslog", "authpriv", "audit", "alert",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
]  # fmt: skip
TokenRole = Literal["read", "tenant", "admin"]
StatusPage = Literal["loopback", "full", "counters", "off"]
TsigAlgorithm = Literal["hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1", "hmac-md5"]
CATEGORIES = (  # what a feed can be about
    "malware", "phishing", "c2", "botnet", "cryptojacking", "scam", "dga", "new", "policy", "ads", "tracking",
)  # fmt: skip
# Kinds of held items. Updates: shrink to minimum; names: registry to upstream; addresses: wide to network.
GUARD_KINDS = (
    "shrink", "growth", "turnover", "popularity", "minimum",
    "registry", "provider", "giant", "critical", "popular", "own", "upstream",
    "wide", "resolver", "shared", "network",
)  # fmt: skip
MOST = 2**31 - 1  # TTLs have 31 bits (RFC 2181, 8); nothing else here has a use for more

Label = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}\Z",
        description="name (first a-z or 0-9, then also - and _, at most 32 characters)",
    ),
]
JsonPath = Annotated[
    str,
    Meta(
        pattern=r"^\$?(?:\.?[\w@:/-]++|\.\*|\[\*?\]|\['[^']++'\])*+~?\Z",
        description='JSON path (such as "data[].host")',
    ),
]
LabelOrNone = Annotated[
    str,
    Meta(
        pattern=r"^([a-z0-9][a-z0-9_-]{0,31})?\Z",
        description="name (first a-z or 0-9, then also - and _, at most 32 characters)",
    ),
]
ServersOrDefault = Annotated[tuple[str, ...] | Literal["default"], Meta(description='non-empty array of strings or "default"')]
TrueFalseOrAuto = Annotated[bool | Literal["auto"], Meta(description='true, false or "auto"')]
ZoneDnssec = Annotated[bool | Dnssec, Meta(description='true, false, "trust-ad" or "pass"')]
PtrRecords = Annotated[bool | tuple[str, ...], Meta(description="true, false or array of strings")]
ActionOrNone = Annotated[
    Literal["", "sinkhole", "nxdomain", "nodata", "zero", "refused", "drop"],
    Meta(description='"sinkhole", "nxdomain", "nodata", "zero", "refused" or "drop"'),
]
NotReadyOrNone = Annotated[Literal["", "servfail", "forward"], Meta(description='"servfail" or "forward"')]
TimeOfDay = Annotated[
    str, Meta(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)\Z", description="time of day (from 00:00 to 24:00)")
]
Language = Annotated[
    str, Meta(pattern=r"^([A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3})?\Z", description='language tag ("en", "cy", "en-GB")')
]
Sha256 = Annotated[str, Meta(pattern=r"^([0-9a-fA-F]{64})?\Z", description="SHA-256 (64 hexadecimal digits)")]
Delimiter = Annotated[str, Meta(pattern=r'^[^\r\n" ]\Z', description="one character")]
PositiveSeconds = Annotated[float, Meta(gt=0, le=MOST)]
NotNegative = Annotated[int, Meta(ge=0, le=MOST)]
Positive = Annotated[int, Meta(ge=1, le=MOST)]
HeaderField = Annotated[
    str, Meta(pattern=r"^([A-Za-z0-9-]{1,64}(: ?[A-Za-z0-9-]{1,64})?)?\Z", description='header field ("Name" or "Name: Scheme")')
]
WordInQuery = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{0,64}\Z", description="name in a query (A-Z, a-z, 0-9, _ . -)")]
MinisignKey = Annotated[
    str, Meta(pattern=r"^(RW[A-Za-z0-9+/]{54})?\Z", description='minisign public key (56 characters that begin with "RW")')
]
Share = Annotated[float, Meta(ge=0, le=MOST)]
ShareOrDefault = Annotated[float, Meta(ge=-1, le=MOST)]
AtLeastOne = Annotated[tuple[str, ...], Meta(min_length=1)]
