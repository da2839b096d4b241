"""The S3 server of a simulated fleet is there wherever tests/install-go-tools has run, so that the simulation is not skipped."""

from __future__ import annotations

import os

import pytest

from loadtest import build
from loadtest.fleetstore import program

TOOLS = build.HERE.parent / "build/tools"


@pytest.mark.skipif(not (TOOLS / "stamp").exists(), reason="tests/install-go-tools has built nothing")
def test_it_is_built_with_the_other_tools() -> None:
    """The simulation looks where it is built."""
    assert os.access(TOOLS / "versitygw", os.X_OK)
    assert program().is_file()
