"""The metrics of the page process, which every infected client can reach."""

from __future__ import annotations

from pathlib import Path

from pdns.supervisor.http.collector import PdnsCollector
from pdns.supervisor.http.status import StatusReader
from pdns.telemetry.counters import Counters
from tests.unit.telemetry.test_metrics import FakeSupervisor, fill, page


def test_the_page_process_counts_only_its_own_families(tmp_path: Path) -> None:
    """What a page process writes of other families is not shown; what it counts is added to nothing else."""
    counters = Counters.create()
    fill(counters)
    supervisor = FakeSupervisor(counters)
    before = page(PdnsCollector(supervisor, StatusReader(tmp_path)))
    supervisor.child_counters = (of_page := Counters.create(64),)
    of_page.add(3, "sinkhole_visits_total", "coventry", "urlhaus")
    of_page.add(7, "blocked_total", "coventry", "urlhaus", "malware", "sinkhole")
    of_page.add(9, "worker_up", "worker0")
    of_page.add(9, "nonsense", "x")
    after = page(PdnsCollector(supervisor, StatusReader(tmp_path)))
    of_page.close()
    counters.close()
    visits = "sinkhole_visits_total", (("feed", "urlhaus"), ("tenant", "coventry"))
    assert after[visits] == 3
    assert {key for key in after if not key[0].startswith("process_")} - set(before) == {visits}
    blocked = "blocked_total", (("action", "sinkhole"), ("category", "malware"), ("feed", "urlhaus"), ("tenant", "coventry"))
    assert after[blocked] == before[blocked] == 1
