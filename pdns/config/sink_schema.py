"""`[[sink]]`: where events, findings and hours are sent, besides the store that is always there."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from pdns.config.value_types import (
    Label,
    NotNegative,
    Positive,
    PositiveSeconds,
    SinkFindings,
    SinkFormat,
    SinkKind,
    SinkRecords,
    SyslogFacility,
    SyslogTransport,
)


class SinkSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One destination. Most keys belong to some kinds only (`pdns.config.sink_rules`)."""

    name: Label
    kind: SinkKind
    records: tuple[SinkRecords, ...] = ()
    findings: tuple[SinkFindings, ...] = ()
    tenants: tuple[str, ...] = ()
    format: SinkFormat = "ocsf"
    path: str = ""
    address: str = ""
    sample: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    transport: SyslogTransport = "tcp"
    confirm: bool = True
    facility: SyslogFacility = "local0"
    url: str = ""
    secret_file: str = ""
    ca_file: str = ""
    client_cert_file: str = ""
    client_key_file: str = ""
    timeout_s: PositiveSeconds = 10.0
    max_bytes: Annotated[int, Meta(ge=4096, le=2**40)] = 100 * 1024 * 1024
    max_files: Positive = 10
    database: str = "pdns"
    user: str = "default"
    password_file: str = ""
    ttl_days: NotNegative = 400
