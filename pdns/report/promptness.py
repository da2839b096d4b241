"""How long it took until names that feeds newly listed were blocked."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Final

from msgspec import Struct

from pdns.config.schema import Config
from pdns.report.wording import counted, length, percent
from pdns.state import block_times

PROMISED_S: Final = 60.0


class Promptness(Struct, frozen=True, kw_only=True):
    """Updates of feeds that added names or networks: from the fetcher's first sight to the last worker."""

    updates: int = 0
    median_s: float = 0.0
    most_s: float = 0.0
    in_time: int = 0  # updates that were blocked within `PROMISED_S`


def promptness(config: Config, start_s: float, end_s: float) -> Promptness:
    """The updates that were live from `start_s` until `end_s`. Reads a file of the state directory."""
    try:
        known = block_times.read(Path(config.state.dir))
    except OSError:
        return Promptness()
    took = [one.took_s for one in known if start_s <= one.time_s < end_s]
    if not took:
        return Promptness()
    return Promptness(
        updates=len(took),
        median_s=statistics.median(took),
        most_s=max(took),
        in_time=sum(took_s <= PROMISED_S for took_s in took),
    )


def sentence(said: Promptness) -> str:
    """It in words; "" without an update."""
    if not said.updates:
        return ""
    median, most = (length(max(1.0, time_s)) for time_s in (said.median_s, said.most_s))
    text = f"A newly listed domain was blocked after {median} (median), {most} at most."
    share = f"{percent(said.in_time / said.updates)} of {counted(said.updates, 'update')}"
    return f"{text} {share} of the lists {'was' if said.updates == 1 else 'were'} in force within a minute."
