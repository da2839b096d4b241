"""Draws a dashboard from a running Prometheus, without Grafana: `python render.py URL BOARD.json OUT.png [--hours H] [--ago S] [--set NAME=VALUE]`.

For a look at queries, layout and texts where no Grafana is at hand, and for the picture in docs/images. It needs matplotlib, and is no
part of the service. Colours, units and spans are those of the dashboard; everything else is only similar to Grafana.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import textwrap
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.dates import DateFormatter
from matplotlib.patches import FancyBboxPatch

INK, MUTED, BACK, CARD, GRID = "#1f2328", "#656d76", "#f4f5f7", "#ffffff", "#e3e5e8"
COLORS = {
    "green": "#2f8f3f", "red": "#d1242f", "orange": "#d9730d", "blue": "#1f6feb", "text": MUTED, "purple": "#8250df",
}  # fmt: skip
PALETTE = [
    "#3274d9",
    "#f2a73b",
    "#56a64b",
    "#e0544c",
    "#8f5bd9",
    "#3fb5b5",
    "#b877d9",
    "#8a8d91",
    "#c4a000",
    "#5c6bc0",
    "#d16ba5",
    "#7cb342",
]
COLUMN, LINE = 0.62, 0.34  # inches


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    """A number as Grafana shows it."""
    if math.isnan(value):
        return "-"
    if unit == "percentunit":
        return f"{value * 100:.{2 if decimals is None else decimals}f} %"
    if unit == "s":
        for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return "0 s"
    if unit == "bytes":
        for size, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value:.0f} B"
    if unit == "locale":
        return f"{value:,.0f}"
    if unit == "short" and decimals == 0:
        return f"{value:,.0f}"
    suffix = {"qps": " q/s", "ops": " /s"}.get(unit, "")
    for size, name in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"{value / (1e3 if name == ' k' else size):.3g}{name}{suffix}"
    return f"{value:,.0f}{suffix}" if abs(value) >= 1000 else f"{value:.3g}{suffix}"


class Source:
    """A Prometheus, asked for the range that is drawn."""

    def __init__(self, url: str, hours: float, chosen: dict[str, str], ago_s: float) -> None:
        self._url = url
        self.end = time.time() - ago_s
        self.start = self.end - hours * 3600
        self.step = max(5, int(hours * 3600 / 240))
        self._names = {
            "node": ".+", "tenant": ".+", "feed": ".+", "source": ".+", "__rate_interval": f"{max(20, self.step * 2)}s",
            "__interval": f"{self.step}s", "__range": f"{int(hours * 3600)}s", **chosen,
        }  # fmt: skip

    def ask(self, target: dict[str, Any]) -> list[dict[str, Any]]:
        expr = re.sub(r"\$(\w+)", lambda match: self._names[match[1]], target["expr"])
        if target.get("instant"):
            path, parameters = "query", {"query": expr, "time": self.end}
        else:
            path, parameters = "query_range", {"query": expr, "start": self.start, "end": self.end, "step": self.step}
        with urlopen(f"{self._url}/api/v1/{path}?{urlencode(parameters)}", timeout=60) as answer:  # noqa: S310 (the URL is given by hand)
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return result


def label(target: dict[str, Any], series: dict[str, Any]) -> str:
    text = target.get("legendFormat", "__auto")
    if text == "__auto":
        return ", ".join(value for name, value in series["metric"].items() if name != "__name__") or "value"
    return re.sub(r"\{\{(\w+)\}\}", lambda match: series["metric"].get(match[1], ""), text).strip() or "none"


def color_of(panel: dict[str, Any], value: float) -> str:
    """As the thresholds say."""
    found = "blue"
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            found = step["color"]
    return COLORS.get(found, found)


def draw_stat(ax: Any, panel: dict[str, Any], source: Source) -> None:
    (target,) = panel["targets"]
    found = source.ask(target)
    defaults = panel["fieldConfig"]["defaults"]
    if not found:
        ax.text(0.5, 0.45, "no data", ha="center", va="center", color=COLORS["red"])
        return
    points = [float(value) for _, value in found[0].get("values", [])] or [float(found[0]["value"][1])]
    points = [value for value in points if not math.isnan(value)] or [math.nan]
    value = points[-1]
    big = panel["gridPos"]["w"] >= 6
    text = shown(value, defaults["unit"], defaults.get("decimals"))
    ax.text(
        0.5,
        0.5 if len(points) < 3 else 0.62,
        text,
        ha="center",
        va="center",
        fontsize=30 if big else 17,
        fontweight="bold",
        color=color_of(panel, value),
    )
    if len(points) > 2:
        graph = ax.inset_axes((0, 0, 1, 0.3))
        graph.fill_between(range(len(points)), points, color=color_of(panel, value), alpha=0.25, lw=0)
        graph.set_ylim(0, max(points) * 1.05 or 1)
        graph.set_xlim(0, len(points) - 1)
        graph.axis("off")


def _lines(panel: dict[str, Any], source: Source) -> list[tuple[str, list[datetime], list[float]]]:
    lines = []
    for target in panel["targets"]:
        for series in source.ask(target):
            times = [datetime.fromtimestamp(at, UTC) for at, _ in series["values"]]
            lines.append((label(target, series), times, [float(value) for _, value in series["values"]]))
    return lines


def draw_graph(ax: Any, panel: dict[str, Any], source: Source) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    stacked = defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"
    lines = _lines(panel, source)
    box = ax.inset_axes((0.07, 0.3 if len(lines) > 4 else 0.24, 0.91, 0.62 if len(lines) > 4 else 0.68))
    if stacked and lines:
        grid = sorted({at for _, times, _ in lines for at in times})
        rows = []
        for _, times, values in lines:
            at = dict(zip(times, values, strict=True))
            rows.append([0.0 if math.isnan(at.get(one, 0.0)) else at.get(one, 0.0) for one in grid])
        box.stackplot(grid, rows, colors=PALETTE, alpha=0.55, labels=[name for name, _, _ in lines])
    else:
        for at, (name, times, values) in enumerate(lines):
            box.plot(times, values, color=PALETTE[at % len(PALETTE)], lw=1.2, label=name)
            if "scaleDistribution" not in defaults.get("custom", {}):
                box.fill_between(times, values, color=PALETTE[at % len(PALETTE)], alpha=0.08, lw=0)
    _axes(box, source, defaults["unit"])
    if defaults.get("custom", {}).get("scaleDistribution", {}).get("type") == "log":
        box.set_yscale("log")
        _axes(box, source, defaults["unit"])
    elif lines:
        box.set_ylim(bottom=0)
    if lines:
        box.legend(
            loc="upper left",
            bbox_to_anchor=(-0.06, -0.12),
            ncols=4,
            frameon=False,
            fontsize=6.5,
            labelcolor=MUTED,
            handlelength=1.2,
        )
    else:
        box.text(0.5, 0.5, "no data", transform=box.transAxes, ha="center", color=COLORS["red"])


def _axes(box: Any, source: Source, unit: str) -> None:
    box.set_xlim(datetime.fromtimestamp(source.start, UTC), datetime.fromtimestamp(source.end, UTC))
    box.xaxis.set_major_formatter(DateFormatter("%H:%M"))
    box.yaxis.set_major_formatter(lambda value, _: shown(value, unit, 1))
    box.tick_params(labelsize=6.5, colors=MUTED, length=0)
    box.grid(color=GRID, lw=0.6)
    for side in box.spines.values():
        side.set_visible(False)


def draw_bars(ax: Any, panel: dict[str, Any], source: Source) -> None:
    (target,) = panel["targets"]
    rows = [(label(target, one), float(one["value"][1])) for one in source.ask(target)]
    rows.sort(key=lambda row: -row[1])
    most = max((value for _, value in rows), default=0) or 1
    unit, decimals = (panel["fieldConfig"]["defaults"].get(key) for key in ("unit", "decimals"))
    for at, (name, value) in enumerate(rows):
        y = 0.86 - at * min(0.13, 0.86 / len(rows))
        ax.text(0.22, y, name, ha="right", va="center", fontsize=7, color=INK)
        ax.add_patch(plt.Rectangle((0.23, y - 0.028), 0.6 * value / most, 0.056, color=color_of(panel, value), alpha=0.75))
        ax.text(
            0.235 + 0.6 * value / most,
            y,
            f" {shown(value, unit, decimals)}",
            va="center",
            fontsize=7,
            color=INK,
        )


def draw_states(ax: Any, panel: dict[str, Any], source: Source) -> None:
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    colors = {value: COLORS[option["color"]] for value, option in mapping["options"].items()}
    lines = _lines(panel, source)
    box = ax.inset_axes((0.2, 0.2, 0.78, 0.72))
    for at, (_, times, values) in enumerate(lines):
        for one, (when, value) in enumerate(zip(times, values, strict=True)):
            after = times[one + 1] if one + 1 < len(times) else datetime.fromtimestamp(source.end, UTC)
            box.barh(at, after - when, left=when, height=0.7, color=colors.get(f"{value:g}", MUTED))
    _axes(box, source, "short")
    box.set_yticks(range(len(lines)), [name for name, _, _ in lines], fontsize=6.5, color=INK)


def draw_heatmap(ax: Any, panel: dict[str, Any], source: Source) -> None:
    (target,) = panel["targets"]
    series = sorted(source.ask(target), key=lambda one: float(one["metric"]["le"].replace("+Inf", "inf")))
    times = sorted({at for one in series for at, _ in one["values"]})
    below = dict.fromkeys(times, 0.0)
    rows = []
    for one in series:
        values = {at: float(value) for at, value in one["values"]}
        rows.append([max(0.0, values.get(at, 0.0) - below[at]) for at in times])
        below = {at: values.get(at, 0.0) for at in times}
    box = ax.inset_axes((0.1, 0.1, 0.88, 0.82))
    edges = [datetime.fromtimestamp(at, UTC) for at in times]
    box.pcolormesh(
        edges, range(len(rows)), [[math.log1p(value) for value in row] for row in rows], cmap="Oranges", shading="nearest"
    )
    _axes(box, source, "short")
    names = [one["metric"]["le"] for one in series]
    box.set_yticks(range(len(rows)), [name if name == "+Inf" else shown(float(name), "s") for name in names])


def draw_table(ax: Any, panel: dict[str, Any], source: Source) -> None:
    names = next(one["options"]["renameByName"] for one in panel["transformations"] if one["id"] == "organize")
    units = {
        one["matcher"]["options"]: part["value"]
        for one in panel["fieldConfig"]["overrides"]
        for part in one["properties"]
        if part["id"] == "unit"
    }
    rows: dict[str, dict[str, float]] = {}
    for target in panel["targets"]:
        for one in source.ask(target):
            key = next(iter(one["metric"].values()), "")
            rows.setdefault(key, {})[names[f"Value #{target['refId']}"]] = float(one["value"][1])
    columns = list(names.values())
    sort = (panel["options"].get("sortBy") or [{}])[0].get("displayName", columns[0])
    ordered = sorted(rows.items(), key=lambda row: -row[1].get(sort, 0.0))[: max(3, panel["gridPos"]["h"] - 2)]
    for at, name in enumerate(["name", *columns]):
        x = 0.01 if at == 0 else 0.2 + 0.79 * at / len(columns)
        ax.text(x, 0.93, name, fontsize=7.5, color=MUTED, ha="left" if at == 0 else "right")
    for line, (key, values) in enumerate(ordered):
        y = 0.86 - line * 0.8 / max(3, panel["gridPos"]["h"] - 2)
        ax.axhline(y + 0.035, color=GRID, lw=0.6)
        ax.text(0.01, y, key, fontsize=8, color=COLORS["blue"], va="center")
        for at, name in enumerate(columns, 1):
            text = shown(values[name], units.get(name, "locale")) if name in values else ""
            ax.text(0.2 + 0.79 * at / len(columns), y, text, fontsize=8, color=INK, ha="right", va="center")


DRAW: dict[str, Callable[[Any, dict[str, Any], Source], None]] = {
    "stat": draw_stat, "timeseries": draw_graph, "bargauge": draw_bars, "state-timeline": draw_states, "heatmap": draw_heatmap,
    "table": draw_table,
}  # fmt: skip


def render(board: dict[str, Any], source: Source, path: Path, *, dpi: int) -> None:
    """Every panel at its place of the grid."""
    lines = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    top = 1.6
    width, height = 24 * COLUMN, (lines + top) * LINE
    figure = plt.figure(figsize=(width, height), facecolor=BACK)
    figure.text(0.008, 1 - 0.7 * LINE / height, board["title"], fontsize=15, fontweight="bold", color=INK, va="center")
    figure.text(
        0.992,
        1 - 0.7 * LINE / height,
        f"{board['description']}  Rendered without Grafana.",
        fontsize=8,
        color=MUTED,
        ha="right",
        va="center",
    )
    for panel in board["panels"]:
        at = panel["gridPos"]
        x, y = at["x"] * COLUMN / width, 1 - (at["y"] + top + at["h"]) * LINE / height
        w, h = at["w"] * COLUMN / width, at["h"] * LINE / height
        if panel["type"] == "row":
            figure.text(x + 0.008, y + h / 2, panel["title"], fontsize=10, fontweight="bold", color=INK, va="center")
            continue
        ax = figure.add_axes((x + 0.003, y + 0.06 * LINE / height, w - 0.006, h - 0.12 * LINE / height))
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1)
        ax.axis("off")
        card = FancyBboxPatch((0, 0), 1, 1, boxstyle="square,pad=0", fc=CARD, ec=GRID, lw=0.8, transform=ax.transAxes, zorder=-1)
        ax.add_patch(card)
        title = textwrap.shorten(panel["title"], int(at["w"] * 9), placeholder="...")
        ax.text(0.012, 1 - 0.42 / at["h"], title, fontsize=8, color=INK, va="center", transform=ax.transAxes)
        inner = ax.inset_axes((0, 0, 1, 1 - 0.8 / at["h"]))
        inner.set_xlim(0, 1)
        inner.set_ylim(0, 1)
        inner.axis("off")
        DRAW[panel["type"]](inner, panel, source)
    figure.savefig(path, dpi=dpi, facecolor=BACK)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("board", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--ago", type=float, default=0.0, help="seconds: the end of the range")
    parser.add_argument("--dpi", type=int, default=90)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    chosen = dict(one.split("=", 1) for one in given.set)
    render(json.loads(given.board.read_text()), Source(given.url, given.hours, chosen, given.ago), given.out, dpi=given.dpi)


if __name__ == "__main__":
    main()
