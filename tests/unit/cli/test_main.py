"""The command line as a whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import pdns
from pdns.__main__ import build
from pdns.version import COMMIT


def test_every_command_is_offered() -> None:
    """`pdns --help` names them all."""
    shown = CliRunner().invoke(build(), ["--help"])
    assert shown.exit_code == 0
    for command in ("serve", "check", "explain", "feeds", "demo"):
        assert f"  {command} " in shown.output


ENVIRONMENT = {"COLUMNS": "100"}


@pytest.mark.parametrize("command", ["serve", "check", "explain", "feeds", "demo"])
def test_every_command_explains_itself(command: str) -> None:
    """`pdns COMMAND --help` works, with only that command imported."""
    done = subprocess.run(
        [sys.executable, "-m", "pdns", command, "--help"], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"pdns {command}" in done.stdout


def test_version() -> None:
    """`pdns --version` says which, and the commit where it is known."""
    commit = f" (commit {COMMIT})" if COMMIT else ""
    assert CliRunner().invoke(build(), ["--version"]).output == f"pdns {pdns.__version__}{commit}\n"


def test_serve_imports_no_more_than_it_needs() -> None:
    """The start of a server does not wait for what only other commands use."""
    code = "import sys; from pdns.__main__ import build; build(('serve',)); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"dnslib", "dns", "aiohttp", "prometheus_client"} & set(done.stdout.split())


def test_indicators_take_a_configuration_before_or_behind_the_command(tmp_path: Path) -> None:
    """`pdns indicators -c FILE` shows what is in force; a command behind it uses that file, unless it names another."""
    (tmp_path / "pdns.toml").write_text(f'[upstream]\nservers = ["127.0.0.1:9"]\n[state]\ndir = "{tmp_path}"\n')
    file, missing = str(tmp_path / "pdns.toml"), str(tmp_path / "missing.toml")
    indicators = build(("indicators",))
    for words in (["-c", file], ["-c", file, "list"], ["-c", missing, "list", "-c", file]):
        shown = CliRunner().invoke(indicators, ["indicators", *words])
        assert (shown.exit_code, "no local entries" in shown.output) == (0, True), words
    assert CliRunner().invoke(indicators, ["indicators", "-c", missing, "list"]).exit_code == 2
