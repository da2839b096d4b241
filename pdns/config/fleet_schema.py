"""`[fleet]`, as a frozen struct."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from pdns.config.value_types import NotNegative, PositiveSeconds

OneAtMost = Annotated[float, Meta(ge=0.0, le=1.0)]
FleetRole = Literal["standalone", "publisher", "node"]
NodeName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{0,64}\Z", description="name (at most 64 of A-Z a-z 0-9 . _ -)")]


class FleetSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether this server compiles its own lists, publishes them for others, or takes what a publisher publishes."""

    role: FleetRole = "standalone"
    store: str = ""
    endpoint: str = ""
    region: str = ""
    credentials_file: str = ""
    ca_file: str = ""
    root_file: str = ""
    keys_dir: str = ""
    node: NodeName = ""
    ring: Literal["", "first", "early", "all"] = ""
    early_share: OneAtMost = 0.05
    poll_s: Annotated[float, Meta(ge=0.2, le=3600.0)] = 10.0
    pointer_valid_s: Annotated[float, Meta(ge=60.0)] = 86400.0
    heartbeat_store: str = ""
    heartbeat_credentials_file: str = ""
    soak_s: PositiveSeconds = 600.0
    soak_nodes: NotNegative = 1
    gate_queries: NotNegative = 1000
    gate_blocked_times: Annotated[float, Meta(ge=1.0)] = 3.0
    gate_servfail_share: OneAtMost = 0.05
