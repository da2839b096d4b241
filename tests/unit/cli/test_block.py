"""`pdns block` and `pdns allow` of a name that concerns more than is usually meant."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from pdns.state import overrides

ROOT = Path(__file__).parents[3]
QUESTION = "every name below co.uk would be blocked: it is a public suffix"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "pdns.toml"
    path.write_text(f'[upstream]\nservers = ["192.0.2.53"]\n[state]\ndir = "{tmp_path / "state"}"\n')
    return path


def block(config: Path, *options: str, answer: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run it for co.uk; with `answer` on a terminal, where that is typed."""
    keyboard, end = pty.openpty()
    try:
        if answer is not None:
            os.write(keyboard, f"{answer}\n".encode())
        return subprocess.run(
            [sys.executable, "-m", "pdns", "block", "co.uk", "--reason", "x", "-c", str(config), *options],
            stdin=subprocess.DEVNULL if answer is None else end,
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
    finally:
        os.close(keyboard)
        os.close(end)


def blocked(config: Path) -> list[str]:
    return [entry.name for entry in overrides.read(config.parent / "state").indicators]


def test_a_script_is_refused_and_told_how(config: Path) -> None:
    """Without a terminal nothing is asked: it fails, names --force, and changes nothing; with --force it is done."""
    done = block(config)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{QUESTION}; use --force to do it anyway\n"
    assert blocked(config) == []
    assert block(config, "--force").returncode == 0
    assert blocked(config) == ["co.uk"]


def test_a_person_is_asked(config: Path) -> None:
    """On a terminal the answer decides; anything but yes changes nothing."""
    refused = block(config, answer="n")
    assert refused.returncode == 1
    assert f"{QUESTION}. Continue?" in refused.stdout
    assert blocked(config) == []
    assert block(config, answer="y").returncode == 0
    assert blocked(config) == ["co.uk"]
