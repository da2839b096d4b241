"""The demo's table: readable on a small terminal, and its numbers can be compared."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pdns.demo.scrape import Scrape
from pdns.demo.table import Clients, Frame, quantile
from pdns.telemetry.stats import BUCKETS_S

SOURCES = ("cache", "upstream", "stale", "error", "blocked", "local")


def reading() -> Scrape:
    """A page as the demo's resolver has it, with a tenant and a source without traffic."""
    lines = []
    for number, feed in enumerate(("botnet", "malware", "phishing")):
        lines += [f'pdns_feed_entries{{feed="{feed}"}} {50 + number}', f'pdns_blocked_total{{feed="{feed}",tenant="eastvale"}} 3']
    lines += [f'pdns_responses_total{{source="{source}"}} {number + 10}' for number, source in enumerate(SOURCES)]
    lines.append('pdns_responses_total{source="refused"} 0')
    lines += [f'pdns_queries_total{{tenant="{tenant}"}} 1000' for tenant in ("eastvale", "northmere", "westholt")]
    lines.append('pdns_queries_total{tenant="default"} 0')
    return Scrape("\n".join(lines) + "\n")


def shown(width: int, height: int) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=True, color_system=None)
    console.print(
        Frame(3.0, 20.0, reading(), Clients(3000, 3000, 0.001, 0.02), "the feed server is away: what was listed stays blocked")
    )
    return out.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(60, 24), (80, 24), (79, 60), (200, 60)])
def test_everything_is_there_on_any_terminal(width: int, height: int) -> None:
    """Every feed, source, tenant and latency is whole on terminals from 60 columns and 24 lines."""
    lines = shown(width, height)
    text = "\n".join(lines)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert "\u2026" not in text
    for word in ("botnet", "malware", "phishing", *SOURCES, "eastvale", "northmere", "westholt", "resolver", "client", "20 ms"):
        assert word in text
    assert "stays blocked" in text


def test_what_did_not_happen_takes_no_line() -> None:
    """A tenant without queries and a source without answers are left out."""
    text = "\n".join(shown(200, 60))
    assert "default" not in text
    assert "refused" not in text


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 1)), min_size=1, max_size=50), st.sampled_from([0.5, 0.99]))
def test_clients_never_wait_less_than_the_resolver_works(waits: list[tuple[float, float]], q: float) -> None:
    """When each client waits at least as long as the resolver takes, no quantile of theirs is below the resolver's."""
    assert quantile([inside + way for inside, way in waits], q) >= quantile([inside for inside, _ in waits], q)


def test_quantiles_are_those_of_the_histogram() -> None:
    """The same times come to the same quantile, counted by the resolver or by the clients."""
    waits = [0.0004, 0.0004, 0.002, 0.03]
    buckets = [f'x_bucket{{le="{bound}"}} {sum(wait <= bound for wait in waits)}' for bound in BUCKETS_S]
    page = Scrape(
        "\n".join(["# TYPE x histogram", *buckets, f'x_bucket{{le="+Inf"}} {len(waits)}', f"x_count {len(waits)}"]) + "\n"
    )
    for q in (0.5, 0.99):
        assert quantile(waits, q) == pytest.approx(page.quantile("x", q))
