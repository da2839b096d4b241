"""`pdns events sinks`, as it is typed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pdns.cli.event_sinks import EVENTS, add_sinks
from pdns.state.sink_states import SinkState, write_states

UP = SinkState(name="archive", segment=1, offset=9, up=True, lag_s=0.0, written=12345, lost=0, lost_queries=0, errors=0)
FAILING = SinkState(
    name="siem", segment=1, offset=9, up=False, lag_s=3700.0, written=7, lost=2, lost_queries=5, errors=9,
    last_error="siem.example:6514: Connection refused", last_error_s=time.time() - 5 * 86400, last_written_s=1.0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("pdns.toml").write_text('[upstream]\nservers = ["192.0.2.53"]\n[state]\ndir = "state"\n')
    events = tmp_path / "state" / EVENTS
    events.mkdir(parents=True)
    return events


def run() -> tuple[int, str, str]:
    app = typer.Typer()
    add_sinks(app)
    app.command("other")(lambda: None)
    result = CliRunner().invoke(app, ["sinks", "-c", "pdns.toml"])
    return result.exit_code, result.stdout, result.stderr


def test_a_row_for_each_sink(directory: Path) -> None:
    """Where each sink is, what was written and lost, and its last error; 1 while one fails."""
    assert write_states(directory, [UP, FAILING])
    code, out, _ = run()
    titles, up, failing = out.splitlines()
    assert code == 1
    assert titles.split() == ["sink", "state", "behind", "written", "lost", "last", "written", "last", "error"]
    assert up.split() == ["archive", "up", "-", "12,345", "0", "-", "-"]
    assert failing.split()[:8] == ["siem", "FAILING", "3,700", "s", "7", "2", "(5", "queries)"]
    assert failing.endswith("5 days ago: siem.example:6514: Connection refused")
    assert write_states(directory, [UP])
    assert run()[0] == 0


def test_nothing_is_known(directory: Path) -> None:
    """Before the server has written the file, when it is damaged, and where events are off, the command says why."""
    code, _, err = run()
    assert (code, "no such file" in err) == (2, True)
    (directory / "sinks.json").write_text('{"sinks":1}')
    code, _, err = run()
    assert (code, "cannot be read" in err) == (2, True)
    write_states(directory, [])
    assert run()[:2] == (0, "no sinks\n")
    Path("pdns.toml").write_text(Path("pdns.toml").read_text() + "[events]\nenabled = false\n")
    code, _, err = run()
    assert (code, "events.enabled" in err) == (2, True)
