"""`pdns audit`: one row for each change, which says what it was about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pdns.__main__ import build


@pytest.mark.parametrize(
    ("change", "row"),
    [
        ({"command": "pause", "tenant": "york"}, "pause    york  yes"),
        ({"command": "block", "name": "x.test", "tenant": "york"}, "block    x.test york  yes"),
        ({"command": "disable", "feed": "urlhaus"}, "disable  urlhaus  yes"),
    ],
    ids=["pause", "entry of a tenant", "feed"],
)
def test_a_row_names_what_was_changed(tmp_path: Path, change: dict[str, str], row: str) -> None:
    """The feed, the name and the tenant."""
    line = {"time_s": 1.0, "user": "root", "reason": "TEXT", "done": True, "outcome": "as wanted"} | change
    (tmp_path / "audit.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "pdns.toml").write_text(f'[upstream]\nservers = ["192.0.2.53"]\n[state]\ndir = "{tmp_path}"\n')
    result = CliRunner().invoke(build(("audit",)), ["audit", "-c", str(tmp_path / "pdns.toml")])
    assert result.exit_code == 0, result.output
    assert row.split() == result.stdout.splitlines()[1].split()[3 : 3 + len(row.split())]
