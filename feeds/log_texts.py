"""Parts of the log lines about one feed."""

from __future__ import annotations

from feeds.fetch import Fetched
from feeds.jobs import Parsed
from feeds.store import Copy


def news(result: Parsed, fetched: Fetched) -> str:
    difference = f" (+{result.added:,} -{result.removed:,})" if result.added is not None and result.removed is not None else ""
    return f"updated: {names(result.entries)}{difference}, {fetched.size_bytes:,} bytes"


def still_in_force(copy: Copy | None) -> str:
    return f"still in force: its {names(copy.reading.entries)} from before" if copy is not None else "it lists nothing yet"


def names(count: int) -> str:
    return f"{count:,} name{'' if count == 1 else 's'}"
