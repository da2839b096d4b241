"""Root at the command line becomes the owner of the state directory, or says why it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
OTHER = 65321  # no user has this id

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.mark.parametrize("command", [["feeds", "status"], ["block", "x.example", "--reason", "t"], ["indicators", "list"]])
def test_a_directory_that_its_owner_cannot_reach(tmp_path: Path, command: list[str]) -> None:
    """As with DynamicUser of systemd: the command is refused, changes nothing, and says what to do."""
    private = tmp_path / "private"
    (private / "pdns").mkdir(parents=True)
    private.chmod(0o700)
    os.chown(private / "pdns", OTHER, OTHER)
    (tmp_path / "state").symlink_to("private/pdns")
    config = tmp_path / "pdns.toml"
    config.write_text(f'[upstream]\nservers = ["udp://192.0.2.53"]\n[state]\ndir = "{tmp_path}/state"\n')
    done = subprocess.run(
        [sys.executable, "-m", "pdns", *command, "-c", str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "DynamicUser=yes" in done.stderr
    assert "docs/install.md" in done.stderr
    assert list((private / "pdns").iterdir()) == []
