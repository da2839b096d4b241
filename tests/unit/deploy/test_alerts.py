"""The alerts of deploy/prometheus: each fires when it should and only then, and leads to its paragraph of the runbook."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from pdns.__main__ import build
from pdns.telemetry.family import PREFIX
from pdns.telemetry.metrics import FAMILIES
from tests.unit.deploy.alertcase import AlertCase, Series
from tests.unit.deploy.alertcases import CASES

ROOT = Path(__file__).parents[3]
DIRECTORY = ROOT / "deploy/prometheus"
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
_FILES = [yaml.safe_load((DIRECTORY / file).read_text()) for file in ("rules.yml", "alerts.yml")]
RULES = [rule for file in _FILES for group in file["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS = {rule["record"] for rule in RULES if "record" in rule}
_SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def _with_instance(series: str) -> str:
    """The series as one of the instance `a`."""
    name, _, labels = series.partition("{")
    return f'{name}{{instance="a", {labels}' if labels.rstrip("}") else f'{name}{{instance="a"}}'


def _expected(case: AlertCase) -> dict[str, Any]:
    rule = ALERTS[case.name]
    labels = {"severity": rule["labels"]["severity"], **(case.labels or {})}
    summary = case.summary
    if not case.whole:
        labels["instance"] = "a"
        summary = f"a: {summary}"
    return {"exp_labels": labels, "exp_annotations": {"summary": summary, "runbook_url": rule["annotations"]["runbook_url"]}}


def _unit(case: AlertCase, series: Series, expected: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "interval": "10m" if case.slow else "1m",
        "input_series": [{"series": _with_instance(name), "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": case.at, "alertname": case.name, "exp_alerts": expected}],
    }


def _promtool(directory: Path, tests: list[tuple[AlertCase, list[dict[str, Any]]]]) -> str:
    """What `promtool test rules` says of them; "" if all are as expected. Each alert is alone with the sums, to be quick."""
    paths = []
    for case, units in tests:
        rules, path = directory / f"{case.name}.rules.yml", directory / f"{case.name}.yml"
        rules.write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": [ALERTS[case.name]]}]}))
        test = {"rule_files": [str(DIRECTORY / "rules.yml"), str(rules)], "tests": units}
        path.write_text(yaml.safe_dump({**test, "evaluation_interval": "10m" if case.slow else "1m"}))
        paths.append(str(path))
    done = subprocess.run(["promtool", "test", "rules", *paths], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


@needs_promtool
def test_alerts_fire_and_are_silent(tmp_path: Path) -> None:
    """With the series of its case, each alert fires with its labels and summary; with the nearest other ones, it does not."""
    tests = [
        (case, [_unit(case, case.fires, [_expected(case)]), *(_unit(case, series, []) for series in case.silent)])
        for case in CASES
    ]
    assert _promtool(tmp_path, tests) == ""


def test_every_alert_has_both_cases() -> None:
    """No alert without a case that fires and one that does not, and no case without an alert."""
    assert sorted(case.name for case in CASES) == sorted(ALERTS)
    assert all(case.fires and case.silent for case in CASES)


@needs_promtool
def test_a_wrong_case_is_noticed(tmp_path: Path) -> None:
    """The series that make an alert fire do make it fire: promtool complains if it is expected to be silent."""
    case = CASES[0]
    assert "PdnsDown" in _promtool(tmp_path, [(case, [_unit(case, case.fires, [])])])


@pytest.mark.parametrize("name", ALERTS)
def test_alerts_are_complete(name: str) -> None:
    """Severity, summary, and a link to a paragraph of the runbook, which says what it means, how urgent it is and what to do."""
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("page", "ticket")
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page == "docs/runbook.md"
    assert anchor == name.lower()
    text = _SECTIONS[name]
    assert text.lstrip().startswith(f"*{rule['labels']['severity']}.*"), "the runbook names another severity"
    for part in ("**Users.**", "**Do.**", "**Expect.**", "**Escalate**"):
        assert part in text, part
    assert "```console" in text or "`" in text.partition("**Do.**")[2], "no command"


def test_the_runbook_has_no_other_alerts() -> None:
    """Each paragraph is about an alert that exists, in the order of alerts.yml."""
    assert list(_SECTIONS) == list(ALERTS)


def test_rules_name_what_exists() -> None:
    """Every metric in an expression is a family, a part of a histogram, or recorded by rules.yml."""
    known = {
        PREFIX + family.name + suffix
        for family in FAMILIES
        for suffix in ("", *(("_bucket", "_count", "_sum") if family.kind == "histogram" else ()))
    }
    for rule in RULES:
        names = set(re.findall(r"[\w:]*\bpdns_[\w:]+", re.sub(r'"[^"]*"', "", rule["expr"])))
        assert names <= known | RECORDS, rule


def test_commands_of_the_runbook_are_whole() -> None:
    """Each `pdns` command is accepted as it stands: no option is unknown, none is missing."""
    commands = re.findall(r"^\$ pdns (.+?)(?:  +#.*)?$", RUNBOOK, re.MULTILINE)
    assert len(commands) > 20
    for command in commands:
        words = shlex.split(command)
        at: Any = typer.main.get_command(build())
        while words and words[0] in getattr(at, "commands", {}):
            at, words = at.commands[words[0]], words[1:]
        at.make_context("pdns", words)
