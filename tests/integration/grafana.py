"""What Grafana does with a dashboard before it asks a data source: the values of variables, put into queries.

Only what the dashboards of deploy/grafana use. What it does not know fails, so that nothing reaches a data source unreplaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from tests.integration.running_pdns import ROOT

DIRECTORY: Final = ROOT / "deploy/grafana/dashboards"
BOARDS: Final = {path.stem: json.loads(path.read_text()) for path in sorted(DIRECTORY.glob("*.json"))}
RANGE_S: Final = 3600
STEP_S: Final = 15
_BUILT_IN: Final = {
    "__rate_interval": "60s", "__interval": f"{STEP_S}s", "__range": f"{RANGE_S}s", "__range_s": str(RANGE_S),
    "__interval_s": str(STEP_S),
}  # fmt: skip
ALL: Final = "$__all"
_IF_CHOSEN: Final = re.compile(r"\$__conditionalAll\((.*?), \$(\w+)\)")
_SQL_MACROS: Final = {
    r"\$__timeFilter\((\w+)\)": r"\1 >= toDateTime({start}) AND \1 <= toDateTime({end})",
    r"\$__timeInterval\((\w+)\)": r"toStartOfInterval(toDateTime(\1), INTERVAL {step} second)",
    r"\$__fromTime": "toDateTime({start})",
    r"\$__toTime": "toDateTime({end})",
}
_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)(?::(\w+))?\}|(\w+))")


class PanelQuery(NamedTuple):
    """One query of one panel, with its variables replaced."""

    board: str
    panel: str
    kind: str  # of the panel
    query: str
    at_once: bool

    def __str__(self) -> str:
        return f"{self.board}, {self.panel}: {self.query}"


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel, also those in rows that are folded."""
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels") or ()


def variables(board: dict[str, Any], values: Callable[[str], list[str]]) -> dict[str, list[str]]:
    """The choice of each variable when a dashboard is opened. `values`: what a query of a variable gives."""
    chosen: dict[str, list[str]] = {}
    for variable in board["templating"]["list"]:
        if variable["type"] == "datasource":
            chosen[variable["name"]] = [variable["current"]["value"]]
            continue
        if variable["type"] == "textbox":
            chosen[variable["name"]] = [variable["current"]["value"]]
            continue
        asked = variable["query"]
        found = values(replaced(asked["query"] if isinstance(asked, dict) else asked, chosen))
        assert found, f"the variable {variable['name']} has no values"
        chosen[variable["name"]] = found if variable["multi"] else found[:1]
    return chosen


def replaced(text: str, chosen: Mapping[str, list[str]]) -> str:
    """`text` as a data source gets it. Fails for a variable that the dashboard does not have."""

    def one(match: re.Match[str]) -> str:
        name, form = match[1] or match[3], match[2]
        if name in _BUILT_IN:
            return _BUILT_IN[name]
        assert name in chosen, f"${name} is no variable: {text}"
        quoted = [re.escape(value).replace("\\", "\\\\") for value in chosen[name]]
        if form == "singlequote":
            return ",".join("'" + value.replace("'", "\\'") + "'" for value in chosen[name])
        return quoted[0] if len(quoted) == 1 else f"({'|'.join(quoted)})"

    return _VARIABLE.sub(one, text)


def queries(name: str, chosen: Mapping[str, list[str]]) -> Iterator[PanelQuery]:
    """Every query of every panel of a dashboard for Prometheus."""
    for panel in panels(BOARDS[name]):
        for target in panel.get("targets") or ():
            if "expr" in target:
                yield PanelQuery(
                    name, panel["title"], panel["type"], replaced(target["expr"], chosen), bool(target.get("instant"))
                )


def sql(text: str, chosen: Mapping[str, list[str]], start_s: float, end_s: float) -> str:
    """The SQL that the plug-in for ClickHouse sends: macros and variables replaced."""
    for pattern, replacement in _SQL_MACROS.items():
        text = re.sub(pattern, replacement.format(start=int(start_s), end=int(end_s), step=3600), text)
    text = _IF_CHOSEN.sub(lambda match: "1=1" if chosen[match[2]] == [ALL] else match[1], text)
    text = replaced(text, chosen)
    assert "$" not in text, text
    return text


def sql_queries(name: str) -> Iterator[tuple[str, str]]:
    """Every SQL query of a dashboard, with the title of its panel."""
    for panel in panels(BOARDS[name]):
        for target in panel.get("targets") or ():
            yield panel["title"], target["rawSql"]
