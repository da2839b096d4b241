"""A council's week: its curve, its slices, its queries."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest import population, week
from loadtest.packets import query
from pdns.wire import names


def test_the_curve_has_the_average_and_the_peak_of_the_service() -> None:
    """The hours average 1, the busiest is Monday at nine with 12.4, nights and Sundays are quiet, no hour is silent."""
    weights = week.weights()
    assert len(weights) == 168
    assert sum(weights) / 168 == pytest.approx(1, abs=1e-6)
    assert max(weights) == pytest.approx(12.4)
    assert week.hour_name(weights.index(max(weights))) == "Mon 09:00"
    assert min(weights) > 0.1
    assert max(weights[3], weights[6 * 24 + 11]) < 0.5


@pytest.mark.parametrize(("run_s", "scale"), [(20.0, 0.02), (180.0, 0.1), (3600.0, 1.0)])
def test_the_slices_send_what_the_average_says(run_s: float, scale: float) -> None:
    """However short the run, no query is lost to rounding, and the slices fill it end to end."""
    slices = week.slices(run_s, scale)
    assert sum(each.queries for each in slices) == pytest.approx(4300 * scale * run_s, abs=2)
    assert slices[-1].start_s + slices[-1].length_s == pytest.approx(run_s)
    assert max(each.rate for each in slices) == pytest.approx(4300 * 12.4 * scale)


def test_one_query_in_1238_is_for_a_listed_name(tmp_path: Path) -> None:
    """An hour's queries are as many as planned, with the service's share of listed names, and another seed asks others."""
    people = population.generated(tmp_path, listed=2000, benign=1000, sample=2000)
    each = week.Slice(9, 0.0, 1.0, 1.0, 60_000)
    sent = list(week.packets_of(people, each, seed=1))
    listed = {query(name, qtype) for name in people.listed for qtype in (1, 28, 65)}
    assert len(sent) == 60_000
    assert sum(wire in listed for wire in sent) == pytest.approx(60_000 / 1238, rel=0.5)
    assert sent != list(week.packets_of(people, each, seed=2))
    assert sent[0][12:] != query(names.ROOT)[12:]
