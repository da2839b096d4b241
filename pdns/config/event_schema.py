"""`[events]`, as a frozen struct."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from pdns.config.value_types import ClientDetail, Positive


class EventSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is recorded of blocked and monitored queries, and for how long."""

    enabled: bool = True
    clients: ClientDetail = "none"
    ipv4_prefix: Annotated[int, Meta(ge=8, le=32)] = 24
    ipv6_prefix: Annotated[int, Meta(ge=16, le=128)] = 48
    keep_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    max_bytes: Positive = 268_435_456
    node: Annotated[str, Meta(pattern=r"^[ -~]{0,64}\Z", description="name (at most 64 printable ASCII characters)")] = ""
