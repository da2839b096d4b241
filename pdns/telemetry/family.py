"""What a metric family is."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

PREFIX: Final = "pdns_"

Kind = Literal["counter", "gauge", "histogram", "info"]
Source = Literal["worker", "feeds", "page", "events", "quic", "supervisor"]


class Family(NamedTuple):
    """One metric. `name` is the exposed name without the prefix."""

    name: str
    kind: Kind
    source: Source
    labels: tuple[str, ...]
    help: str
    of_workers: Literal["sum", "least"] = "sum"
