"""The page of metrics as text. `PdnsCollector.collect` and the encoders of prometheus_client are its specification.

They make an object for each sample, and its text anew at each scrape: 0.1 s of CPU time with 250 tenants and 40 feeds. Here each
series keeps its text up to the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from pdns.telemetry.family import PREFIX, Family
from pdns.telemetry.histograms import buckets_of
from pdns.telemetry.metrics import FAMILIES
from pdns.telemetry.stats import BUCKET_SUFFIX, SUM_SUFFIX

Series = Mapping[tuple[str, ...], float]
_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_SPARE: Final = 1000
_NONE: Final[Series] = {}


class Exposition:
    """Writes values as text. Remembers the beginning of the line of each series that the last pages had."""

    def __init__(self) -> None:
        self._starts: dict[str, dict[tuple[str, ...], str]] = {}

    def page(self, values: Mapping[str, Series], *, openmetrics: bool) -> bytes:
        """The families that have a value, in their order; in the text format 0.0.4, or as OpenMetrics 1.0."""
        parts: list[str] = []
        for family in FAMILIES:
            lines = self._histogram(family, values) if family.kind == "histogram" else self._plain(family, values)
            if lines:
                parts += _head(family, openmetrics=openmetrics)
                parts += lines
        if openmetrics:
            parts.append("# EOF\n")
        return "".join(parts).encode()

    def _plain(self, family: Family, values: Mapping[str, Series]) -> list[str]:
        series = values.get(family.name, _NONE)
        name, labels, starts = family.name, family.labels, self._known(family.name, len(series))
        lines = []
        for key, value in series.items():
            start = starts.get(key)
            if start is None:
                if len(key) != len(labels):
                    continue
                start = starts[key] = _start(name, labels, key)
            lines.append(f"{start}{value + 0}\n")  # + 0: of a bool, its number
        return lines

    def _histogram(self, family: Family, values: Mapping[str, Series]) -> list[str]:
        buckets, sums = values.get(family.name + BUCKET_SUFFIX, _NONE), values.get(family.name + SUM_SUFFIX, _NONE)
        (label,), bounds = family.labels, buckets_of(family.name)
        lines = []
        for key in dict.fromkeys(key[0] for key in buckets):
            total = 0.0
            for bound, le in bounds:
                total += buckets.get((key, bound), 0)
                lines.append(f"{_start(family.name + '_bucket', (label, 'le'), (key, le))}{total}\n")
            lines.append(f"{_start(family.name + '_count', (label,), (key,))}{total}\n")
            lines.append(f"{_start(family.name + '_sum', (label,), (key,))}{sums.get((key,), 0) / 1e9}\n")
        return lines

    def _known(self, name: str, size: int) -> dict[tuple[str, ...], str]:
        starts = self._starts.setdefault(name, {})
        if len(starts) > 2 * size + _SPARE:  # tenants and feeds come and go
            starts.clear()
        return starts


def _start(name: str, labels: tuple[str, ...], values: tuple[str, ...]) -> str:
    pairs = ",".join(f'{label}="{value.translate(_ESCAPED)}"' for label, value in sorted(zip(labels, values, strict=True)))
    return f"{PREFIX}{name}{{{pairs}}} " if pairs else f"{PREFIX}{name} "


def _head(family: Family, *, openmetrics: bool) -> Iterator[str]:
    name, kind = PREFIX + family.name, family.kind
    if openmetrics:
        name = name.removesuffix("_total").removesuffix("_info")
    elif kind == "info":
        kind = "gauge"
    yield f"# HELP {name} {family.help.translate(_ESCAPED) if openmetrics else family.help}\n"
    yield f"# TYPE {name} {kind}\n"
