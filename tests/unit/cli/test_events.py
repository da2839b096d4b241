"""`pdns events`, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pdns.cli.events import app
from pdns.event_store.sqlite_schema import store_path
from tests.unit.report import records
from tests.unit.report.stored import store

CONFIG = """
[upstream]
servers = ["192.0.2.53"]
[state]
dir = "state"
[[tenant]]
name = "leeds"
networks = ["10.3.0.0/16"]
"""
PERIOD = ("--since", "2026-11-16", "--until", "2026-11-23")


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    Path("pdns.toml").write_text(CONFIG)
    (tmp_path / "state").mkdir()
    events = [
        records.event(1, records.START_S + 60, "leeds", "a\u202e.example", client="10.3.0.1", threat="x\x1b[31m"),
        records.event(2, records.START_S + 90, "default", "b.example", n=3),
    ]
    store(store_path(tmp_path / "state"), events)
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*arguments, "-c", "pdns.toml", *PERIOD])
    return result.exit_code, result.stdout, result.stderr


def test_the_newest_comes_first() -> None:
    """A row for each event, with what is said of it; JSON has all fields, and no character that a terminal obeys is printed."""
    code, out, _ = run()
    assert code == 0
    assert [line.split()[3] for line in out.splitlines()[1:]] == ["default", "leeds"]
    found = [json.loads(line) for line in run("--json")[1].splitlines()]
    assert [(one["tenant"], one["n"]) for one in found] == [("default", 3), ("leeds", 1)]
    assert "\x1b" not in run("machines")[1]
    assert "10.3.0.1" in run("machines")[1]


def test_a_tenant_that_does_not_exist_is_not_a_quiet_one() -> None:
    """A mistyped tenant is told from one without events; one that was removed has its events still."""
    code, out, errors = run("--tenant", "leds")
    assert (code, out) == (2, "")
    assert " ".join(errors.split()) == "no events, and no tenant leds; tenants: leeds"
    assert run("machines", "--tenant", "leds")[0] == 2
    assert run("--tenant", "default")[0] == 0
    assert run("findings", "--tenant", "leeds")[:2] == (0, "no findings\n")
    Path("pdns.toml").write_text(CONFIG.partition("[[tenant]]")[0])
    assert "10.3.0.1" in run("--tenant", "leeds")[1]


@pytest.mark.parametrize(("clients", "is_said"), [("none", True), ("full", False)])
def test_why_there_are_no_machines(clients: str, is_said: bool) -> None:
    """Only where events say nothing about clients this is the reason."""
    Path("pdns.toml").write_text(f'{CONFIG}[events]\nclients = "{clients}"\n')
    code, out, _ = run("machines", "--tenant", "default")
    assert code == 0
    assert out.startswith("no machines")
    assert ("events.clients" in out) == is_said
