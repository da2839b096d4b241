"""A history with some names in it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pdns.history.writer import NameHistory
from pdns.telemetry.asked_names import DAY_S, NameDigests, noted_names
from pdns.wire.names import from_text

KEY: Final = bytes(range(32))
TODAY: Final = 20_000
NOON_S: Final = TODAY * DAY_S + DAY_S / 2

Note = tuple[int, str, str]  # days ago, tenant, name


def note(history: NameHistory, tenant: str, name: str, day: int) -> None:
    digests = NameDigests(KEY)
    for one in noted_names(from_text(name)):
        history.add(tenant, digests.of(one), day)


def make_history(state_dir: Path, asked: Iterable[Note], *, days: int = 30) -> None:
    """Write a history up to `TODAY`."""
    (state_dir / "names.key").write_bytes(KEY)
    for ago, tenant, name in sorted(asked, reverse=True):
        now_s = NOON_S - ago * DAY_S
        history = NameHistory(state_dir, KEY, days, 1 << 30, now_s)
        note(history, tenant, name, TODAY - ago)
        history.write(now_s)
