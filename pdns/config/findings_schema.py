"""`[findings]`, as a frozen struct."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class FindingsSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is looked for beyond the lists. Findings never block."""

    tunnel_bytes_per_minute: Annotated[int, Meta(ge=0, le=1_000_000)] = 40
    tunnel_allow: tuple[str, ...] = ()
    first_seen: bool = True
    bypass: bool = True
    shared: bool = True
