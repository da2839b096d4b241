"""Addresses to listen on that come and go, in a network namespace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.running_pdns import ROOT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a network namespace")


@pytest.mark.parametrize(("first", "late"), [("10.77.0.1", "10.77.0.2"), ("fd77::1", "fd77::2")])
def test_an_address_that_comes_later_is_served_from_then_on(tmp_path: Path, first: str, late: str) -> None:
    """Over UDP and TCP, from the address that was asked. Until then the other one answers; log, page, metric and banner tell."""
    run_alone(tmp_path, first, late)


def test_an_interface_that_comes_later(tmp_path: Path) -> None:
    """A link-local address on an interface that does not exist keeps nothing from starting, and is served once it does."""
    run_alone(tmp_path)


def run_alone(directory: Path, *addresses: str) -> None:
    command = ["unshare", "-n", sys.executable, "-m", "tests.integration.comingaddresses", str(directory), *addresses]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
