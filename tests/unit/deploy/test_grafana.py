"""The dashboards in deploy/grafana are what their sources make, and are laid out and described as people need it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from pdns.telemetry.family import PREFIX
from pdns.telemetry.metrics import FAMILIES

ROOT = Path(__file__).parents[3]
GRAFANA = ROOT / "deploy/grafana"
_FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
BOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in _FILES}
_SUMS = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())["groups"]
RECORDED = {rule["record"] for group in _SUMS for rule in group["rules"]}
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]


def test_the_files_are_what_the_sources_make() -> None:
    """`python -m deploy.grafana.make` would change nothing."""
    pytest.importorskip("grafana_foundation_sdk")
    from deploy.grafana.make import texts  # noqa: PLC0415 (needs the SDK)

    assert {path.name: path.read_text() for path in (GRAFANA / "dashboards").iterdir()} == texts()


@pytest.mark.parametrize("name", BOARDS)
def test_the_layout_fills_the_grid(name: str) -> None:
    """Panels neither overlap nor leave gaps: each line of the grid has 24 columns, each taken once."""
    taken: defaultdict[int, list[int]] = defaultdict(list)
    for panel in BOARDS[name]["panels"]:
        at = panel["gridPos"]
        for line in range(at["y"], at["y"] + at["h"]):
            taken[line] += range(at["x"], at["x"] + at["w"])
    assert [line for line, columns in taken.items() if sorted(columns) != list(range(24))] == []
    assert sorted(taken) == list(range(len(taken)))


@pytest.mark.parametrize("name", BOARDS)
def test_identifiers_are_unique(name: str) -> None:
    """The file is called by its uid, and no two panels have one id or one title within a row."""
    board = BOARDS[name]
    assert board["uid"] == name
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("panel", PANELS)
def test_panels_say_what_they_mean(panel: dict[str, Any]) -> None:
    """Each has a title that fits, a description of a sentence or more, a unit, thresholds, and named queries."""
    assert 3 <= len(panel["title"]) <= 7 + 7 * panel["gridPos"]["w"]
    assert len(panel["description"]) > 25
    assert panel["description"].endswith(".")
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    assert defaults["thresholds"]["steps"][0]["value"] is None
    assert [target["refId"] for target in panel["targets"]] == [chr(ord("A") + at) for at in range(len(panel["targets"]))]


@pytest.mark.parametrize("panel", PANELS)
def test_panels_ask_for_what_exists(panel: dict[str, Any]) -> None:
    """Every metric is a family, a part of a histogram, or recorded by rules.yml."""
    known = {PREFIX + family.name for family in FAMILIES} | RECORDED
    known |= {
        f"{PREFIX}{family.name}_{part}"
        for family in FAMILIES
        if family.kind == "histogram"
        for part in ("bucket", "count", "sum")
    }
    for target in panel["targets"]:
        named = set(re.findall(r"[\w:]*\bpdns_[\w:]+", re.sub(r'"[^"]*"', "", target.get("expr", ""))))
        assert named <= known


def test_links_lead_to_dashboards() -> None:
    """Each link names a dashboard and variables that exist there."""
    variables = {name: {one["name"] for one in board["templating"]["list"]} for name, board in BOARDS.items()}
    links = set(re.findall(r'"/d/[^"]+"', json.dumps(BOARDS)))
    assert len(links) > 3
    for link in links:
        uid, _, parameters = link.strip('"').removeprefix("/d/").partition("?")
        assert set(re.findall(r"var-(\w+)|\$\{(\w+):queryparam\}", parameters)) <= {
            pair for name in variables[uid] for pair in ((name, ""), ("", name))
        }


def test_provisioning_names_the_sources_of_the_dashboards() -> None:
    """The data sources that dashboards choose at first are those that the sample makes."""
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/pdns.yml").read_text())["datasources"]
    made = {source["uid"]: source["type"] for source in sources}
    for board in BOARDS.values():
        for variable in board["templating"]["list"]:
            if variable["type"] == "datasource":
                assert made[variable["current"]["value"]] == variable["query"]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/pdns.yml").read_text())["providers"]
    assert provider["options"]["path"] in (ROOT / "docs/operations.md").read_text()
