"""What a node takes besides the paths: measured on the real program, with few names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from loadtest import nodecosts, population, programs

pytestmark = pytest.mark.usefixtures("compiled")


def test_every_cost_is_measured(tmp_path: Path) -> None:
    """Memory of each process, bytes of a cached answer, and a miss over TLS and HTTPS where unbound is installed."""
    people = population.generated(tmp_path, listed=10, benign=100)
    with programs.serving("authority") as authority:
        costs = nodecosts.measure(tmp_path / "node", authority.address, people, None, None, names=500, tls_names=200)
    assert set(costs.memory_bytes) == {"supervisor", "worker", "feeds", "events"}
    assert all(size > 1_000_000 for size in costs.memory_bytes.values())
    assert 50 < costs.cached_answer_bytes < 1000
    has_unbound = shutil.which("unbound", path="/usr/sbin:/usr/bin") is not None
    assert (costs.forward_tls_us > 0) == has_unbound
    assert (costs.forward_https_us > 0) == has_unbound
