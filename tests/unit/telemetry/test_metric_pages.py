"""The metrics in documentation, alerts and code: none is named that does not exist."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdns.telemetry.family import PREFIX
from pdns.telemetry.metrics import BY_NAME, FAMILIES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/metrics.md").read_text()
ALERTS = (ROOT / "deploy/prometheus/alerts.yml").read_text()
ROW = re.compile(r"^\| `(pdns_\w+)` \| (\w+) \| (.*?) ?\| (.+?) \| `(.+)` \|$", re.MULTILINE)


def test_the_page_is_documented() -> None:
    """docs/metrics.md has every family, in order, with the same type and labels; and an example that names it."""
    rows = ROW.findall(PAGE)
    assert [name for name, *_ in rows] == [PREFIX + family.name for family in FAMILIES]
    for (name, kind, labels, _, example), family in zip(rows, FAMILIES, strict=True):
        assert kind == family.kind, name
        assert tuple(re.findall(r"`(\w+)`", labels)) == family.labels, name
        assert name in example


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("docs/metrics.md", PAGE),
        ("alerts.yml", ALERTS),
        ("docs/operations.md", (ROOT / "docs/operations.md").read_text()),
        ("runbook", (ROOT / "docs/runbook.md").read_text()),
    ],
)
def test_nothing_else_is_spoken_of(where: str, text: str) -> None:
    """Every metric that documentation and alerts name exists."""
    known = {PREFIX + family.name for family in FAMILIES}
    known |= {PREFIX + family.name + "_bucket" for family in FAMILIES if family.kind == "histogram"}
    assert set(re.findall(r"\bpdns_\w+", text)) <= known, where


def test_every_alert_is_explained() -> None:
    """docs/runbook.md says what to do about each alert; other pages name only alerts that exist."""
    alerts = set(re.findall(r"alert: (\w+)", ALERTS))
    assert set(re.findall(r"^### (Pdns\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)) == alerts
    for path in (ROOT / "docs").glob("*.md"):
        assert set(re.findall(r"`(Pdns[A-Z]\w+)`", path.read_text())) <= alerts, path


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_accepts_the_configuration() -> None:
    """The scrape configuration and the alerts in deploy/ are valid."""
    done = subprocess.run(
        ["promtool", "check", "config", str(ROOT / "deploy/prometheus/prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _spoken() -> Iterator[tuple[str, str, str]]:
    """Every family that the code hands to `gauge` or `add` of a Stats by its literal name: file, method, family."""
    for path in sorted((ROOT / "pdns").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"gauge", "add", "catch_up"}
            ):
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str) and "stats" in ast.unparse(node.func.value):
                    yield str(path.relative_to(ROOT)), node.func.attr, first.value


def test_the_code_speaks_of_nothing_else() -> None:
    """A family that the program counts and does not expose would be lost silently."""
    spoken = list(_spoken())
    assert len(spoken) > 8
    for file, method, family in spoken:
        assert family in BY_NAME, file
        assert BY_NAME[family].kind == ("gauge" if method == "gauge" else "counter"), file
