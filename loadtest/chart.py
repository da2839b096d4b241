"""Draws a bench as SVG: for each path a bar for ours and for each peer, on a logarithmic scale on which the bare echo is 1."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from loadtest import goals
from loadtest.report import ratio_text
from loadtest.results import PathResult, Results
from loadtest.server import REPOSITORY

README_CHART = REPOSITORY / "docs" / "images" / "bench.svg"
OURS = "pdns"
_WIDTH, _LEFT, _RIGHT, _TOP = 860, 92, 64, 64
_ROW, _BAR, _HEAD, _GAP = 18, 12, 24, 14
_GRID = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
# Both schemes by name; where a viewer knows neither, the first one is readable on white and on black.
STYLE = """
text { font: 12px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #6e7781; }
.title { font-weight: 600; font-size: 14px; } .path { font-weight: 600; } .end, .tick { font-size: 11px; }
.ours { fill: #2f81f7; } .peer { fill: #8c959f; } .doubted { fill-opacity: 0.5; }
.grid { stroke: #8c959f; stroke-opacity: 0.3; } .goal { stroke: #d1242f; stroke-width: 2; }
.name { text-anchor: end; } .tick { text-anchor: middle; } .note { font-size: 11px; }
@media (prefers-color-scheme: light) { text { fill: #424a53; } .title, .path, .us { fill: #1f2328; } }
@media (prefers-color-scheme: dark) {
text { fill: #b1bac4; } .title, .path, .us { fill: #f0f6fc; } .peer { fill: #6e7681; } .goal { stroke: #ff7b72; } }
"""


class _Bar(NamedTuple):
    name: str
    ratio: float
    usable: bool


def svg(results: Results) -> str:
    """The picture as text."""
    groups = [(path, list(_bars(results, path))) for path in results.paths]
    top = max((bar.ratio for _, bars in groups for bar in bars), default=10.0)
    ticks = [tick for tick in _GRID if tick <= top * 2.5]
    height = _TOP + sum(_HEAD + len(bars) * _ROW + _GAP for _, bars in groups) + 28
    lines = list(_body(results, groups, _Scale(ticks[-1]), ticks, height))
    title = f"CPU time of a query, as a multiple of a bare echo of datagrams, {', '.join(_names(results))}"
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">', f"<title>{escape(title)}</title>"]
    return "\n".join([*head, f"<style>{STYLE}</style>", *lines, "</svg>", ""])


class _Scale(NamedTuple):
    most: float

    def x(self, ratio: float) -> float:
        share = math.log(max(1.0, ratio)) / math.log(self.most)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _names(results: Results) -> list[str]:
    return [OURS, *(peer.name for peer in results.peers if peer.paths)]


def _bars(results: Results, path: PathResult) -> Iterator[_Bar]:
    yield _Bar(OURS, path.ratio, not path.doubts)
    for peer in results.peers:
        found = peer.path(path.key)
        if found is not None and not found.not_as_meant:
            yield _Bar(peer.name, found.ratio, not found.doubts)


def _body(
    results: Results, groups: list[tuple[PathResult, list[_Bar]]], scale: _Scale, ticks: list[int], height: int
) -> Iterator[str]:
    yield text_at(8, 20, "CPU time of a query; a bare echo of datagrams is 1", "title")
    pale = "" if all(bar.usable for _, bars in groups for bar in bars) else "; pale: beside other programs"
    where = (
        f"pdns {results.version}, accelerated: {results.accelerated}; {results.listed:,} names listed; {results.machine.cpu}; "
    )
    yield text_at(8, 38, f"{where}{results.when[:10]}; logarithmic, shorter is better{pale}", "note")
    for tick in ticks:
        x = scale.x(tick)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 4}" y2="{height - 22}"/>'
        yield text_at(x, height - 8, str(tick), "tick")
    y = _TOP
    for path, bars in groups:
        yield text_at(8, y + 12, path.title, "path")
        y += _HEAD
        first = y
        for bar in bars:
            kind = ("ours" if bar.name == OURS else "peer") + ("" if bar.usable else " doubted")
            end = scale.x(bar.ratio)
            yield text_at(_LEFT - 8, y + 10, bar.name, "name us" if bar.name == OURS else "name")
            yield f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{max(1.0, end - _LEFT):.1f}" height="{_BAR}" rx="2"/>'
            yield text_at(end + 6, y + 10, ratio_text(bar.ratio), "end")
            y += _ROW
        goal = scale.x(goals.max_ratio(path.key))
        yield f'<line class="goal" x1="{goal:.1f}" x2="{goal:.1f}" y1="{first - 3}" y2="{first + _BAR + 3}"/>'
        y += _GAP
    yield f'<line class="goal" x1="{_WIDTH - 190}" x2="{_WIDTH - 190}" y1="10" y2="24"/>'
    yield text_at(_WIDTH - 182, 21, "what ours must not exceed", "note")


def text_at(x: float, y: float, text: str, kind: str) -> str:
    """A piece of text; `kind`: its classes in `STYLE`."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
