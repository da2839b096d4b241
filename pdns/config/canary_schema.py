"""`[canaries]`: questions with known answers, which show whether an upstream is honest."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from pdns.config.value_types import TrueFalseOrAuto


class CanarySection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What upstreams are asked to find out whether they validate, filter or rewrite, and how often."""

    enabled: TrueFalseOrAuto = "auto"
    interval_s: Annotated[float, Meta(ge=1, le=86400)] = 60.0
    signed: tuple[str, ...] = ("iana.org", "ietf.org")
    bogus: tuple[str, ...] = ("dnssec-failed.org", "rhybar.cz")
    resolves: tuple[str, ...] = ("www.iana.org", "www.gov.uk")
    empty_zone: str = "example.org"
    known: tuple[str, ...] = ("k.root-servers.net 193.0.14.129", "f.root-servers.net 192.5.5.241")
