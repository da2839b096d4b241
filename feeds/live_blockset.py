"""The live blockset, as `feeds/compiled.json` remembers it between two runs."""

from __future__ import annotations

import msgspec

from feeds.protected_names import Protection
from pdns.blockset.layout import FeedEntry
from pdns.state.feed_status import HeldNames

EXPIRY_EVERY_S = 300.0  # expired names are removed at most this often, when nothing else changes


class Input(msgspec.Struct, frozen=True):
    """What decides one feed's share of a blockset: equal inputs give equal shares."""

    name: str
    source: str
    category: str
    sha256: str
    reader: str
    decided: str = ""  # hash of the administrators' decisions about its names


class LiveBlockset(msgspec.Struct, frozen=True, kw_only=True):
    """The record. Generation 0: no blockset is live."""

    generation: int = 0
    inputs: list[Input] = []
    entries: int = 0
    build_s: float = 0.0
    created_s: float = 0.0
    next_expiry_s: float = 0.0  # when the first of its names expires; 0: none does
    feeds: dict[str, FeedEntry] = {}
    protection: Protection | None = None
    held: dict[str, HeldNames] = {}  # feed -> what was taken out of its list

    def expiry_due(self, now_s: float) -> bool:
        """Whether expired names are live, and the blockset is old enough to be replaced for that reason."""
        return 0 < self.next_expiry_s <= now_s and now_s >= self.created_s + EXPIRY_EVERY_S
