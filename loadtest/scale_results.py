"""What was found of queries and refreshes with more names, tenants and workers, and the table of docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from loadtest import goals, pages
from loadtest.history import Ratio
from loadtest.report import ratio_text
from loadtest.results import SystemInfo
from loadtest.server import REPOSITORY

FILE: Final = REPOSITORY / "docs" / "performance-scale.json"
PAGE: Final = REPOSITORY / "docs" / "performance.md"
NAMES, TENANTS, WORKERS = "names", "tenants", "workers"
TITLES: Final = {NAMES: "listed names", TENANTS: "tenants", WORKERS: "workers"}
PATHS: Final = (goals.HIT, goals.BLOCKED_FIRST)
_BEGIN, _END = "<!-- scale -->\n", "<!-- end of the scale -->"


class ScalePoint(msgspec.Struct, frozen=True, kw_only=True):
    """One resolver of one size."""

    axis: str  # a key of `TITLES`
    size: int
    ratios: dict[str, Ratio]  # by the key of the path
    cpu_us: dict[str, float]  # likewise: the median of the rounds, all workers together
    refresh_s: float  # a list with one more name: until it is in use, while queries are answered
    p99_9_before_us: float
    p99_9_during_us: float
    first_start_s: float  # the list read and compiled

    def by_model(self, key: str) -> float:
        """Answers a second when each worker has a core of its own. Only the CPU time is measured: nothing else may be scarce."""
        return self.size * 1e6 / self.cpu_us[key]


class ScaleResults(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    when: str
    commit: str
    machine: SystemInfo
    points: list[ScalePoint]

    def of(self, axis: str) -> list[ScalePoint]:
        """The points of an axis, the smallest first."""
        return sorted((point for point in self.points if point.axis == axis), key=lambda point: point.size)


def load(file: Path = FILE) -> ScaleResults | None:
    """What `save` wrote; None when it never did."""
    return msgspec.json.decode(file.read_bytes(), type=ScaleResults) if file.exists() else None


def save(results: ScaleResults, file: Path = FILE) -> None:
    """Writes the file; the page is written by `with_table`."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def with_table(text: str, results: ScaleResults | None) -> str:
    """The page `text` with the table of `results`. Raises `ValueError` without a place."""
    return pages.replaced(text, _BEGIN, _END, "" if results is None else table(results))


def table(results: ScaleResults) -> str:
    """As the page has it."""
    machine = results.machine
    head = (
        "",
        "size",
        *(f"{path.title}, x echo" for path in PATHS),
        "refresh, s",
        "p99.9, ms: rest → refresh",
        "hits/s, model",
    )
    where = f"{pages.minute(results.when)}, {pages.commit(results.commit)}, {machine.cpu}, {machine.cores} cores"
    return f"{where}, load {machine.load_before:.1f} before.\n\n{pages.table(head, 1, list(_rows(results)))}"


def _rows(results: ScaleResults) -> Iterator[tuple[str, ...]]:
    for axis, title in TITLES.items():
        for point in results.of(axis):
            yield (
                title,
                f"{point.size:,}",
                *(_cell(point.ratios[path.key]) for path in PATHS),
                f"{point.refresh_s:.1f}",
                f"{point.p99_9_before_us / 1000:.2f} → {point.p99_9_during_us / 1000:.2f}",
                f"{point.by_model(goals.HIT.key):,.0f}" if axis == WORKERS else "",
            )


def _cell(ratio: Ratio) -> str:
    return f"{ratio_text(ratio.median)} ±{ratio.spread * 100:.0f}{'' if ratio.usable else '!'}"
