"""What a case of an alert is: series that make it fire, the nearest ones that do not, and what it then says."""

from __future__ import annotations

from typing import NamedTuple

Series = dict[str, str]


class AlertCase(NamedTuple):
    """`at`: when it fires. `labels`: those of the alert besides `instance` and `severity`. `summary`: without the instance."""

    name: str
    at: str
    fires: Series
    silent: tuple[Series, ...]
    summary: str
    labels: dict[str, str] | None = None
    slow: bool = False
    whole: bool = False  # of all nodes: neither label nor summary names an instance
