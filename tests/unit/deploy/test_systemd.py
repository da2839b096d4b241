"""What deploy/ ships can be used as it is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pdns.config.schema import Server

ROOT = Path(__file__).parents[3]
UNIT = (ROOT / "deploy/systemd/protective-dns.service").read_text()

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def _installed(directory: Path) -> str:
    """The unit, with a program that is there."""
    path = directory / "pdns.service"
    path.write_text(UNIT.replace("/opt/pdns/bin/pdns", "/bin/true"))
    return str(path)


@needs_systemd
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say about it."""
    done = subprocess.run(["systemd-analyze", "verify", _installed(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_systemd_finds_it_locked_down(tmp_path: Path) -> None:
    """`systemd-analyze security` puts its exposure below 2 of 10."""
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", _installed(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze knows no --offline")
    assert done.returncode == 0, done.stdout


def test_systemd_waits_for_the_drain() -> None:
    """The unit gives the end more time than it takes by default."""
    (timeout_s,) = (int(line.partition("=")[2]) for line in UNIT.splitlines() if line.startswith("TimeoutStopSec="))
    assert timeout_s > Server().drain_s + 2
