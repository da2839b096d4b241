"""The charts of the status page: queries and blocked queries per second over the last minutes, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from pdns.telemetry.live_status import LivePoint
from pdns.telemetry.live_text import rate

SPANS_S: Final = (60.0, 120.0, 300.0, 600.0)
_WIDTH: Final = 600
_HEIGHT: Final = 120
_POINTS: Final = 200
_GAP_S: Final = 10.0


def chart(history: Sequence[LivePoint], now_s: float, value: Callable[[LivePoint], float], kind: str, title: str) -> str:
    """An area below a line, with the scale beside it. `kind` is its CSS class, `title` says what it shows."""
    oldest_s = max((now_s - point.time_s for point in history), default=0.0)
    span_s = next((span_s for span_s in SPANS_S if span_s >= oldest_s), SPANS_S[-1])
    kept = [(1 - (now_s - point.time_s) / span_s, max(0.0, value(point))) for point in history if now_s - point.time_s <= span_s]
    title = f"{title}, last {'minute' if span_s == SPANS_S[0] else f'{span_s / 60:.0f} minutes'}"
    top = scale(max((height for _, height in kept), default=0.0))
    text = f"{title}: now {rate(kept[-1][1])} per second, at most {rate(max(height for _, height in kept))}" if kept else title
    shapes = "".join(_shape(part, top) for part in _parts(_thinned(kept), _GAP_S / span_s))
    return (
        f'<figure class="chart {kind}"><figcaption><span>{title}</span><span class="top">{rate(top)}/s</span></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{text}">'
        f'<path class="grid" d="M0 1H{_WIDTH}M0 {_HEIGHT // 2}H{_WIDTH}M0 {_HEIGHT - 1}H{_WIDTH}"/>{shapes}</svg></figure>'
    )


def scale(most: float) -> float:
    """A round number that is not below `most`, so that the scale seldom changes."""
    if most <= 1 or not math.isfinite(most):
        return 1.0
    step = 10.0 ** math.floor(math.log10(most))
    return next(step * factor for factor in (1, 2, 5, 10, 20) if step * factor >= most)


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The highest of a few neighbours, so that no peak is lost."""
    step = max(1, math.ceil(len(points) / _POINTS))
    return [
        (points[min(at + step, len(points)) - 1][0], max(height for _, height in points[at : at + step]))
        for at in range(0, len(points), step)
    ]


def _parts(points: Sequence[tuple[float, float]], gap: float) -> Iterator[list[tuple[float, float]]]:
    """The runs between gaps: seconds in which there was no viewer."""
    part: list[tuple[float, float]] = []
    for at, height in points:
        if part and at - part[-1][0] > gap:
            yield part
            part = []
        part.append((at, height))
    if part:
        yield part


def _shape(part: Sequence[tuple[float, float]], top: float) -> str:
    points = [(at * _WIDTH, _HEIGHT - 1 - height / top * (_HEIGHT - 4)) for at, height in part]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return (
        f'<path class="area" d="M{points[0][0]:.1f} {_HEIGHT}L{line}L{points[-1][0]:.1f} {_HEIGHT}Z"/>'
        f'<path class="line" d="M{line}"/>'
    )
