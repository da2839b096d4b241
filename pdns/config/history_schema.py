"""`[history]`, as a frozen struct."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class HistorySection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of the names that were asked, for retro-hunts."""

    days: Annotated[int, Meta(ge=0, le=366)] = 0
    max_bytes: Annotated[int, Meta(ge=1024 * 1024)] = 1024 * 1024 * 1024
