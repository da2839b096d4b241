"""docs/sizing.md: its tables are those of the newest recorded bench, and their arithmetic holds."""

from __future__ import annotations

import itertools
import re

import msgspec
import pytest
import yaml

from loadtest import history, sizing
from loadtest.server import REPOSITORY

RUN, SIZES = sizing.newest(history.read())


def test_the_page_shows_the_newest_measurement() -> None:
    """`python -m loadtest size` writes the tables."""
    text = sizing.PAGE.read_text(encoding="utf-8")
    assert sizing.with_tables(text, history.read()) == text


def test_a_new_measurement_changes_the_page() -> None:
    """No number of the tables is typed by hand: twice the time of a query is twice the cores."""
    text = sizing.PAGE.read_text(encoding="utf-8")
    slower = msgspec.structs.replace(RUN, echo_cpu_us=RUN.echo_cpu_us * 2)
    assert sizing.with_tables(text, [slower]) != text
    before, after = (sizing.need(sizing.NATIONAL, run, SIZES) for run in (RUN, slower))
    assert after.cores == pytest.approx(2 * before.cores)
    assert after.left < before.left


def test_every_product_is_what_its_factors_say() -> None:
    """Each line of the arithmetic that multiplies has the right result, but for rounding."""
    checked = 0
    for line in sizing.arithmetic(sizing.NATIONAL, RUN, SIZES):
        if match := re.match(r"cores\S* +\S+ +([\d,.]+)/s x ([\d.]+) us x ([\d.]+) = ([\d.]+) cores", line):
            rate, us, factor, cores = (float(number.replace(",", "")) for number in match.groups())
            assert cores == pytest.approx(rate * us * factor / 1e6, rel=0.01)
            checked += 1
    assert checked == 2


def test_larger_services_need_no_less() -> None:
    """Of each thing, and a machine is never loaded beyond its share at the peak."""
    needs = [sizing.need(service, RUN, SIZES) for service in sizing.SERVICES]
    for smaller, larger in itertools.pairwise(needs):
        assert all(a <= b for a, b in zip(smaller[:-1], larger[:-1], strict=True))
    assert all(1 - each.left <= sizing.BUSY for each in needs)
    assert sizing.SERVICES[-1].queries_a_week == pytest.approx(sizing.NATIONAL.peak_per_s / sizing.PEAK * sizing.WEEK_S, rel=0.01)


def test_runs_without_sizes_are_not_used() -> None:
    """A quick run, or one of an earlier version, is no basis."""
    with pytest.raises(ValueError, match="make bench-record"):
        sizing.newest([msgspec.structs.replace(RUN, mode="quick"), msgspec.structs.replace(RUN, sizes=None)])
    with pytest.raises(ValueError, match="no place"):
        sizing.with_tables("a page\n", [RUN])


def test_the_alert_knows_what_a_worker_is_good_for() -> None:
    """The number of `rules.yml` is at most what was measured with upstreams over TLS, and not far below."""
    rules = yaml.safe_load((REPOSITORY / "deploy/prometheus/rules.yml").read_text())["groups"][0]["rules"]
    (expression,) = (rule["expr"] for rule in rules if rule["record"] == "instance:sized_for:queries_per_s")
    per_worker = float(expression.partition("*")[2])
    good_for = sizing.worker_per_s(sizing.query_us(RUN, SIZES.forward_tls_us))
    assert good_for / 2 < per_worker <= good_for
