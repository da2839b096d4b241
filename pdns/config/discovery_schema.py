"""`[discovery]`, and what it comes to: how clients find the encrypted listeners."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

InfoUrl = Annotated[
    str, Meta(pattern=r"^(https://[\x21-\x7e]{1,239})?\Z", description="https URL (at most 247 ASCII characters)")
]


class DiscoverySection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What clients are told about the encrypted listeners."""

    enabled: bool = True
    info_url: InfoUrl = ""


class DesignatedResolver(Struct, frozen=True, kw_only=True):
    """One way to reach the encrypted listeners: what one SVCB record says (RFC 9461)."""

    name: str  # that the certificate is valid for
    alpn: tuple[str, ...]
    port: int
    addresses: tuple[str, ...]
    path: str = ""  # of HTTPS
    verified: bool = False  # the certificate is also valid for every address at which plain queries are answered


class Designation(Struct, frozen=True, kw_only=True):
    """All ways to reach them, the preferred one first, and what is in the way of clients that know only an address."""

    resolvers: tuple[DesignatedResolver, ...] = ()
    names: tuple[str, ...] = ()  # of the certificates: a resolver with one of them is this one
    uncovered: tuple[str, ...] = ()  # addresses for plain queries that some certificate is not valid for
