"""A small fleet: a real publisher, three resolvers with traffic, twelve node processes and a real S3 server."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from loadtest import build, fleet, fleetresults
from loadtest.fleetscene import FleetPlan
from loadtest.fleetstore import StoreMissing, program


def _installed() -> bool:
    try:
        return program().is_file()
    except StoreMissing:
        return False


@pytest.mark.long
@pytest.mark.realtime
@pytest.mark.timeout(900)
@pytest.mark.skipif(not _installed(), reason="tests/install-go-tools has not built versitygw")
def test_a_bad_list_stays_in_the_first_ring(tmp_path: Path) -> None:
    """All nodes join. A list of what clients ask for most is refused by the first ring and reaches no other; no query is lost."""
    build.program("generator")
    plan = FleetPlan(nodes=12, names=5_000, minutes=1.0, poll_s=1.0)
    results = fleet.run(plan, tmp_path, Console(file=io.StringIO()), only=["bad list"])
    assert [goal for goal in results.goals if not goal.met] == []
    assert {goal.name for goal in results.goals} >= {"join", "bad list", "queries", "wrong texts"}
    assert results.current[-1][1] > 0
    assert "</svg>" in fleetresults.svg(results)
