"""What a server in no fleet does not load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
LARGE = {"aiohttp", "obstore", "securesystemslib", "tuf", "zstandard"}


def loaded(code: str) -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(ran.stdout.split())


@pytest.mark.parametrize("module", ["feeds.refresh", "feeds.parse", "pdns.supervisor.serve", "pdns.worker.__main__"])
def test_no_process_of_a_server_in_no_fleet_loads_the_libraries_of_fleets(module: str) -> None:
    """They take memory and time at the start, which only members of a fleet need."""
    assert not loaded(f"import {module}") & LARGE


def test_a_node_that_polls_a_directory_does_not_load_what_asks_web_servers(tmp_path: Path) -> None:
    """Each kind of store has its client."""
    code = f"from feeds.fleet import object_store, node_role; object_store.open_store({tmp_path.as_uri()!r})"
    modules = loaded(code)
    assert "obstore" in modules
    assert "aiohttp" not in modules
