"""Draws the results of `scale` as SVG: a column for names, tenants and workers; above, what a query costs, below, a refresh."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

from loadtest import goals, pages
from loadtest.chart import STYLE, text_at
from loadtest.report import ratio_text
from loadtest.scale_results import PATHS, TITLES, ScalePoint, ScaleResults
from loadtest.server import REPOSITORY

PICTURE: Final = REPOSITORY / "docs" / "images" / "scale.svg"
_WIDTH, _HEIGHT = 900, 470
_LEFT, _GAP, _COLUMN = 44, 36, 252
_QUERY, _REFRESH = (78, 250), (300, 420)  # top and bottom of the two rows
_SECONDS: Final = (0.1, 1.0, 10.0, 100.0)
_MORE_STYLE = """
.line { fill: none; stroke-width: 2; } .hit { stroke: #2f81f7; fill: #2f81f7; } .blocked_first { stroke: #bf8700; fill: #bf8700; }
.refresh { stroke: #8250df; fill: #8250df; } polyline.line { fill: none; } circle { stroke: none; }
.value { font-size: 10px; text-anchor: middle; }
"""


class _Panel(NamedTuple):
    """Where one curve's points are."""

    left: float
    top: float
    bottom: float
    sizes: Sequence[int]

    def x(self, size: int) -> float:
        """On a logarithmic scale from the smallest to the largest size."""
        least, most = math.log(self.sizes[0]), math.log(self.sizes[-1])
        share = (math.log(size) - least) / (most - least) if most > least else 0.5
        return self.left + 16 + share * (_COLUMN - 32)

    def y(self, share: float) -> float:
        return self.bottom - share * (self.bottom - self.top)


def svg(results: ScaleResults) -> str:
    """The picture as text."""
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    title = "What a query and a refresh cost with more listed names, tenants and workers"
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">', f"<title>{escape(title)}</title>"]
    return "\n".join([*head, f"<style>{STYLE}{_MORE_STYLE}</style>", *_body(results), "</svg>", ""])


def _body(results: ScaleResults) -> Iterator[str]:
    yield text_at(8, 20, "CPU time of a query, as a multiple of the bare echo; below, seconds of a refresh under load", "title")
    where = f"{results.machine.cpu}, {results.machine.cores} cores, {pages.minute(results.when)}, all workers on one core"
    yield text_at(8, 38, where, "note")
    for at, path in enumerate(PATHS):
        yield f'<rect class="{path.key}" x="{8 + at * 220}" y="46" width="10" height="10"/>'
        yield text_at(24 + at * 220, 55, path.title, "note")
    most = max((ratio.most for point in results.points for ratio in point.ratios.values()), default=1.0)
    top = max(2.0, math.ceil(most * 2) / 2)
    for column, (axis, title) in enumerate(TITLES.items()):
        points = results.of(axis)
        if not points:
            continue
        left = _LEFT + column * (_COLUMN + _GAP)
        sizes = [point.size for point in points]
        query, refresh = _Panel(left, *_QUERY, sizes), _Panel(left, *_REFRESH, sizes)
        yield from _grid(query, [(value, f"{value:g}") for value in _steps(top)], lambda value: value / top)
        yield from _grid(refresh, [(value, f"{value:g} s") for value in _SECONDS], _seconds_share)
        for path in PATHS:
            yield from _curve(query, points, path.key, lambda point, key=path.key: point.ratios[key].median, lambda v: v / top)  # type: ignore[misc]
        yield from _curve(refresh, points, "refresh", lambda point: point.refresh_s, _seconds_share)
        for point in points:
            yield text_at(refresh.x(point.size), _REFRESH[1] + 18, _size_text(point.size), "tick")
        yield text_at(left + _COLUMN / 2, _REFRESH[1] + 38, title, "tick")


def _steps(top: float) -> list[float]:
    step = 0.5 if top <= 4 else 1.0 if top <= 8 else 5.0
    return [step * number for number in range(int(top / step) + 1)]


def _seconds_share(seconds: float) -> float:
    least, most = math.log(_SECONDS[0]), math.log(_SECONDS[-1])
    return min(1.0, max(0.0, (math.log(max(seconds, 1e-3)) - least) / (most - least)))


def _grid(panel: _Panel, ticks: Sequence[tuple[float, str]], share: Callable[[float], float]) -> Iterator[str]:
    for value, label in ticks:
        y = panel.y(share(value))
        yield f'<line class="grid" x1="{panel.left}" x2="{panel.left + _COLUMN}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield text_at(panel.left - 4, y + 4, label, "name tick")


def _curve(
    panel: _Panel, points: Sequence[ScalePoint], kind: str, value: Callable[[ScalePoint], float], share: Callable[[float], float]
) -> Iterator[str]:
    places = [(panel.x(point.size), panel.y(share(value(point))), value(point)) for point in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    yield f'<polyline class="line {kind}" points="{line}"/>'
    for x, y, of in places:
        yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
        yield text_at(x, y - 7 if kind != goals.HIT.key else y + 15, ratio_text(of), "value")


def _size_text(size: int) -> str:
    return f"{size // 1_000_000} m" if size >= 1_000_000 else f"{size // 1000} k" if size >= 10_000 else str(size)
