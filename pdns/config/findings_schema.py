"""`[findings]`, as a frozen struct."""

from __future__ import annotations

from msgspec import Struct


class FindingsSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is looked for beyond the lists. Findings never block."""

    first_seen: bool = True
    bypass: bool = True
    shared: bool = True
