"""How fast new names were blocked, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdns.config.schema import Config, State, Upstream
from pdns.report.promptness import Promptness, promptness, sentence
from pdns.state import block_times
from pdns.state.block_times import BlockTime


def test_only_the_period_counts(tmp_path: Path) -> None:
    """Its begin is in it, its end is not."""
    took = [(99.0, 4000.0), (100.0, 2.0), (150.0, 4.0), (199.0, 75.0), (200.0, 5000.0)]
    block_times.add(tmp_path, [BlockTime(time_s, "x", took_s) for time_s, took_s in took])
    config = Config(upstream=Upstream(servers=("udp://192.0.2.53:53",)), state=State(dir=str(tmp_path)))
    assert promptness(config, 100.0, 200.0) == Promptness(updates=3, median_s=4.0, most_s=75.0, in_time=2)
    assert promptness(config, 300.0, 400.0) == Promptness()


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (Promptness(), ""),
        (
            Promptness(updates=1, median_s=0.3, most_s=0.3, in_time=1),
            "after 1 second (median), 1 second at most. 100% of 1 update of the lists was in force within a minute.",
        ),
        (
            Promptness(updates=40, median_s=6.4, most_s=200.0, in_time=39),
            "after 6 seconds (median), 3 minutes at most. 97.5% of 40 updates of the lists were in force within a minute.",
        ),
    ],
)
def test_the_sentence(said: Promptness, text: str) -> None:
    """Nothing is said without an update."""
    assert sentence(said) == (text and f"A newly listed domain was blocked {text}")
