"""Prints, writes and draws what a simulation of a fleet found."""

from __future__ import annotations

from html import escape
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from loadtest import build
from loadtest.fleetwatch import FleetResults

RESULTS_DIR = build.HERE / "results"
_TITLES = ("", "goal", "measured", "")
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 1000, 380, 52, 20, 96, 40
_STYLE = """
text { font: 12px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #6e7781; }
.title { font-weight: 600; font-size: 14px; } .band { fill: #8c959f; fill-opacity: 0.12; } .name { font-size: 11px; }
.line { fill: none; stroke: #2f81f7; stroke-width: 1.6; stroke-linejoin: round; } .grid { stroke: #8c959f; stroke-opacity: 0.3; }
.tick { font-size: 11px; } .y { text-anchor: end; } .x { text-anchor: middle; }
@media (prefers-color-scheme: dark) { text { fill: #b1bac4; } }
"""


def rows(results: FleetResults) -> list[tuple[str, ...]]:
    """The table, without its titles."""
    return [(goal.name, goal.goal, goal.measured, "met" if goal.met else "NOT MET") for goal in results.goals]


def show(results: FleetResults, console: Console) -> None:
    """Prints the table."""
    head = (
        f"pdns {results.version}: {results.nodes} nodes and {results.resolvers} resolvers, {results.names:,} names, "
        f"poll_s = {results.poll_s:g}, soak_s = {results.soak_s:g}; {results.scale}\n{results.machine}; {results.run_s:.0f} s\n"
    )
    console.print(Text(head), soft_wrap=True)
    table = [_TITLES, *rows(results)]
    widths = [max(len(row[at]) for row in table) for at in range(len(_TITLES))]
    for row in table:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        console.print(Text(line, "bold red" if row[-1] == "NOT MET" else ""), soft_wrap=True)
    missed = sum(not goal.met for goal in results.goals)
    summary = f"{missed} of {len(results.goals)} goals missed" if missed else f"all {len(results.goals)} goals met"
    console.print(Text(f"\n{summary}", "bold red" if missed else "bold green"))


def save(results: FleetResults) -> Path:
    """Writes the results, and the picture beside them. Returns the file."""
    RESULTS_DIR.mkdir(parents=True, exist_ok=True)
    file = RESULTS_DIR / f"fleet-{results.when.replace(':', '')}.json"
    data = msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n"
    for path in (file, RESULTS_DIR / "fleet-latest.json"):
        path.write_bytes(data)
        path.with_suffix(".svg").write_text(svg(results))
    return file


def load(file: Path) -> FleetResults:
    """Raises `OSError` and `ValueError`."""
    return msgspec.json.decode(file.read_bytes(), type=FleetResults)


def svg(results: FleetResults) -> str:
    """How many nodes are on the newest release of their ring, over time, with what was done to them."""
    most = results.nodes + results.resolvers
    end_s = max(results.run_s, 1.0)

    def x(at_s: float) -> float:
        return _LEFT + at_s / end_s * (_WIDTH - _LEFT - _RIGHT)

    def y(count: float) -> float:
        return _HEIGHT - _BOTTOM - count / most * (_HEIGHT - _TOP - _BOTTOM)

    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    title = f"Nodes on the newest release of their ring, of {most}"
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">', f"<title>{escape(title)}</title>"]
    lines += [f"<style>{_STYLE}</style>", _text(8, 20, title, "title")]
    lines.append(_text(8, 38, f"{results.names:,} names, poll_s = {results.poll_s:g}, soak_s = {results.soak_s:g}", "tick"))
    for at, band in enumerate(results.bands):
        left, right = x(band.start_s), x(band.end_s)
        box = f'x="{left:.1f}" y="{_TOP - 6}" width="{max(1.0, right - left - 2):.1f}" height="{_HEIGHT - _BOTTOM - _TOP + 6}"'
        lines += [f'<rect class="band" {box}/>', _text(left, _TOP - 12 - 14 * (at % 3), band.title, "name")]
    for tick in sorted({0, most // 4, most // 2, 3 * most // 4, most}):
        line = f'x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"'
        lines += [f'<line class="grid" {line}/>', _text(_LEFT - 6, y(tick) + 4, str(tick), "tick y")]
    step_s = next(step for step in (5, 10, 30, 60, 120, 300, 600, 3600) if end_s / step <= 14 or step == 3600)
    lines += [_text(x(moment), _HEIGHT - 20, f"{moment} s", "tick x") for moment in range(0, int(end_s) + 1, step_s)]
    points, last = [], 0
    for at_s, count in results.current:
        points += [f"{x(at_s):.1f},{y(last):.1f}", f"{x(at_s):.1f},{y(count):.1f}"]
        last = count
    points.append(f"{x(end_s):.1f},{y(last):.1f}")
    lines.append(f'<polyline class="line" points="{" ".join(points)}"/>')
    return "\n".join([*lines, "</svg>", ""])


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
