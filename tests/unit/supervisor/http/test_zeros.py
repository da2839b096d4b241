"""Series that are there from the start."""

from __future__ import annotations

from pathlib import Path

from pdns.config.schema import Config, Server
from pdns.supervisor.http.zeros import DROPPED_OF_BALANCERS, zeros

ROOT = Path(__file__).parents[4]


def test_what_load_balancers_do_wrong() -> None:
    """The reasons are there if there are load balancers; docs/metrics.md says what each means."""
    text = (ROOT / "docs/metrics.md").read_text()
    without, beside = list(zeros(Config())), list(zeros(Config(server=Server(proxy_protocol_from=("10.0.0.10/32",)))))
    for reason in DROPPED_OF_BALANCERS:
        series = "dropped_total", (reason,)
        assert series not in without
        assert series in beside
        assert f"`{reason}`" in text
