"""Bar charts as inline SVG, without a style attribute or a script, with a title and a description for screen readers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

from pdns.report.wording import number


class Bar(NamedTuple):
    """One bar: its value, its label on the axis, and in words."""

    value: int
    label: str
    words: str


class ChartSize(NamedTuple):
    """The coordinates of a drawing, and how many labels fit below it."""

    name: str
    width: int
    height: int
    left: int
    labels: int


WIDE: Final = ChartSize("wide", 960, 250, 64, 16)
NARROW: Final = ChartSize("narrow", 340, 220, 52, 5)
_TOP, _BOTTOM = 26, 28
_GRID_LINES: Final = 4


def bar_chart(key: str, title: str, description: str, bars: Sequence[Bar]) -> str:
    """The chart twice, for wide and for narrow screens; the style shows one of them."""
    return "".join(_drawing(f"{key}-{size.name}", title, description, bars, size) for size in (WIDE, NARROW))


def share_bar(share: float) -> str:
    """A bar beside a number in a table. It says nothing that the number does not."""
    width = round(100 * min(max(share, 0.0), 1.0), 1)
    return (
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f'<rect width="{width:g}" height="6" rx="1"/></svg>'
    )


def nice_ceiling(value: int) -> int:
    """The end of an axis: at least `value`; a multiple of 4, and from 20 on 1, 2, 4 or 8 times a power of ten."""
    if value <= _GRID_LINES:
        return _GRID_LINES
    if value <= 3 * _GRID_LINES:
        return 2 * _GRID_LINES if value <= 2 * _GRID_LINES else 3 * _GRID_LINES
    power = 10 ** math.floor(math.log10(value))
    return next(int(step * power) for step in (1, 2, 4, 8, 10) if step * power >= value)


def _drawing(key: str, title: str, description: str, bars: Sequence[Bar], size: ChartSize) -> str:
    top = nice_ceiling(max((bar.value for bar in bars), default=0))
    plot_height, plot_width = size.height - _TOP - _BOTTOM, size.width - size.left - 4
    slot = plot_width / max(1, len(bars))
    thick = max(0.8, min(slot * 0.72, 64.0))
    begin = (
        f'<svg class="chart {size.name}" viewBox="0 0 {size.width} {size.height}" role="img" aria-labelledby="{key}-t {key}-d"'
        f' focusable="false"><title id="{key}-t">{escape(title)}</title><desc id="{key}-d">{escape(description)}</desc>'
    )
    parts = [begin]
    for line in range(_GRID_LINES + 1):
        value = top * line // _GRID_LINES
        y = _TOP + plot_height * (1 - value / top)
        kind = "axis" if line == 0 else "grid"
        parts.append(f'<path class="{kind}" d="M{size.left} {y:.1f}H{size.width - 4}"/>')
        parts.append(f'<text class="tick" x="{size.left - 8}" y="{y + 4:.1f}" text-anchor="end">{_short(value)}</text>')
    every = math.ceil(len(bars) / size.labels) if bars else 1
    highest = max(range(len(bars)), key=lambda at: bars[at].value, default=0)
    for at, bar in enumerate(bars):
        middle = size.left + slot * (at + 0.5)
        height = plot_height * bar.value / top
        if bar.value:
            mark = ' class="most"' if at == highest else ""
            parts.append(
                f'<rect{mark} x="{middle - thick / 2:.1f}" y="{_TOP + plot_height - height:.1f}" width="{thick:.1f}"'
                f' height="{max(height, 1.0):.1f}"/>'
            )
        if at % every == 0:
            parts.append(
                f'<text class="tick" x="{middle:.1f}" y="{size.height - 8}" text-anchor="middle">{escape(bar.label)}</text>'
            )
    if bars and bars[highest].value:
        x = min(max(size.left + slot * (highest + 0.5), size.left + 24), size.width - 28)
        y = _TOP + plot_height * (1 - bars[highest].value / top) - 8
        parts.append(f'<text class="value" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{number(bars[highest].value)}</text>')
    return "".join(parts) + "</svg>"


def _short(value: int) -> str:
    for size, letter in ((1_000_000, "m"), (1_000, "k")):
        if value >= 10 * size or (value >= size and value % size == 0):
            return f"{value / size:g}{letter}"
    return f"{value:,}"
