"""`pdns report`, as it is typed."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pdns.__main__ import build
from tests.unit.report import records
from tests.unit.report.stored import store

CONFIG = """
[upstream]
servers = ["192.0.2.53"]
[state]
dir = "state"
[[feed]]
name = "threatfox"
url = "file:list.txt"
category = "c2"
[[tenant]]
name = "leeds"
display_name = "Leeds City Council"
networks = ["10.3.0.0/16"]
[[tenant]]
name = "kirklees"
networks = ["10.2.0.0/16"]
"""
WEEK = ("--since", "2026-11-16", "--until", "2026-11-23")


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory with two weeks of events."""
    monkeypatch.chdir(tmp_path)
    Path("pdns.toml").write_text(CONFIG)
    (tmp_path / "state/events").mkdir(parents=True)
    store(tmp_path / "state/events/events.db", records.records())
    return tmp_path


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(build(("report", "audit")), ["report", *words])
    return result.exit_code, result.stdout, result.stderr


def test_text_is_the_default() -> None:
    """The three headline numbers come first, and what to do last."""
    code, out, _ = run(*WEEK)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "Protective DNS report: All organisations, 16 to 22 November 2026"
    assert [line.split()[0] for line in lines[3:6]] == ["Queries", "Blocked", "Malicious"]
    assert "What to do next" in lines


def test_each_format() -> None:
    """HTML, JSON and CSV say the same number."""
    blocked = json.loads(run(*WEEK, "--format", "json")[1])["headline"]["blocked"]
    rows = list(csv.reader(io.StringIO(run(*WEEK, "-f", "csv")[1])))
    assert ["headline", "", "blocked", str(blocked)] in rows
    assert f">{blocked:,}</dd>" in run(*WEEK, "-f", "html")[1]


def test_of_a_tenant_into_a_file(directory: Path) -> None:
    """The report of a tenant has its name, and the file is readable by its owner only."""
    code, out, _ = run(*WEEK, "--tenant", "leeds", "-f", "html", "-o", "leeds.html")
    assert code == 0
    assert out.startswith("leeds.html: ")
    page = (directory / "leeds.html").read_text()
    assert "Leeds City Council" in page
    assert "kirklees" not in page
    assert (directory / "leeds.html").stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("directory")
def test_of_clients_of_no_tenant() -> None:
    """Events call them `default`; there need be no tenant of that name."""
    code, out, _ = run(*WEEK, "--tenant", "default")
    assert code == 0
    assert out.startswith("Protective DNS report: Other clients")


def test_a_recent_period() -> None:
    """Without options: the last seven days, which end now."""
    content = json.loads(run("--format", "json")[1])
    assert content["end_s"] == pytest.approx(time.time(), abs=600)
    assert content["end_s"] - content["start_s"] == 7 * 86400


def test_an_incident(directory: Path) -> None:
    """An incident in JSON can be verified, until it is changed."""
    words = ("--incident", "--name", "CDN-Sync.example.", *WEEK)
    code, out, _ = run(*words)
    assert code == 0
    assert "DNS incident report: cdn-sync.example" in out
    assert run(*words, "-f", "json", "-o", "incident.json")[0] == 0
    code, out, _ = run("--verify", "incident.json")
    assert code == 0
    assert "unchanged since" in out
    path = directory / "incident.json"
    path.write_text(path.read_text().replace("10.3.4.27", "10.3.4.28"))
    code, _, err = run("--verify", "incident.json")
    assert code == 1
    assert "changed: its content has the SHA-256" in err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--since", "soon"), 2, "since: expected a length of time"),
        (("--format", "pdf"), 2, "--format: expected text, html, json or csv, got pdf"),
        (("--tenant", "york"), 2, "no tenant york; tenants: leeds, kirklees"),
        (("--time-zone", "London"), 2, 'time zone: expected a name such as "Europe/London"'),
        (("--incident",), 2, "--incident: name the domain with --name, the machine with --client, or both"),
        (("--name", "x.example"), 2, "--name, --client: only with --incident"),
        (("--incident", "--name", "a..b"), 1, ""),
        (("--output", "gone/x.html"), 1, "gone/x.html: No such file or directory"),
        (("--verify", "pdns.toml"), 1, "pdns.toml: no incident report in JSON"),
        (("--verify", "gone.json"), 1, "gone.json: No such file or directory"),
    ],
)
def test_errors(words: tuple[str, ...], code: int, said: str) -> None:
    """Each error says what was expected, and is on standard error."""
    found = run(*words)
    assert (found[0], found[1]) == (code, "")
    assert said in found[2]
    assert found[2].strip()
    assert "Traceback" not in found[2]


def test_nothing_is_recorded(directory: Path) -> None:
    """Before the first event, and with events switched off, the error says why there is no report."""
    (directory / "state/events/events.db").unlink()
    code, _, err = run()
    assert code == 1
    assert err.strip()
    Path("pdns.toml").write_text(f"{CONFIG}[events]\nenabled = false\n")
    code, _, err = run()
    assert code == 1
    assert "events.enabled = false" in err
