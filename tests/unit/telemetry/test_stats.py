"""What a worker counts."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import BUCKETS_S, MAX_TENANTS, QTYPE_LABELS, Stats
from pdns.wire import protocol as p
from pdns.wire.transport import Transport


@pytest.fixture
def counters() -> Iterator[Counters]:
    memory = Counters.create()
    yield memory
    memory.close()


@pytest.fixture
def stats(counters: Counters) -> Stats:
    return Stats(counters)


def of(counters: Counters, family: str) -> dict[tuple[str, ...], int]:
    return {labels: value for name, labels, value in counters.items() if name == family}


def test_queries_are_counted_by_tenant_transport_and_type(counters: Counters, stats: Stats) -> None:
    """Each query adds one to its own series; types that are not among the twelve share `other`."""
    for qtype in (p.A, p.A, p.AAAA, p.NAPTR, 65535, 0):
        stats.query("coventry", Transport.UDP, qtype)
    stats.query("coventry", Transport.TCP, p.A)
    assert of(counters, "queries_total") == {
        ("coventry", "udp", "A"): 2,
        ("coventry", "udp", "AAAA"): 1,
        ("coventry", "udp", "other"): 3,
        ("coventry", "tcp", "A"): 1,
    }
    assert len(QTYPE_LABELS) == 12


def test_every_qtype_and_rcode_there_is_costs_no_memory(counters: Counters, stats: Stats) -> None:
    """A client that tries all types, and an upstream all codes, make no more than a handful of series."""
    for number in range(65536):
        stats.query("t", Transport.UDP, number)
    for number in range(4096):
        stats.response("t", "upstream", number, 0.001)
    assert len(of(counters, "queries_total")) == 13
    assert len(of(counters, "responses_total")) == len(p.RCODE_NAMES) + 1
    assert len(stats._queries) == 12
    assert len(stats._responses) == len(p.RCODE_NAMES)
    assert sum(of(counters, "queries_total").values()) == 65536


def test_tenants_past_the_cap_are_other(counters: Counters, stats: Stats) -> None:
    """The first tenants have series of their own, the rest share one; nothing goes uncounted."""
    for number in range(MAX_TENANTS + 5):
        stats.query(f"t{number}", Transport.UDP, p.A)
        stats.blocked(f"t{number}", ("f", "malware", "sinkhole", ()), ())
    tenants = {labels[0] for labels in of(counters, "queries_total")}
    assert len(tenants) == MAX_TENANTS + 1
    assert of(counters, "queries_total")["other", "udp", "A"] == 5
    assert of(counters, "blocked_total")["other", "f", "malware", "sinkhole"] == 5


def test_a_replacement_keeps_tenants_and_counts(counters: Counters, stats: Stats) -> None:
    """The stats of a new worker on the old memory add to the old series, and hold the old tenants to the cap."""
    for number in range(MAX_TENANTS):
        stats.query(f"t{number}", Transport.UDP, p.A)
    again = Stats(Counters.attach(os.dup(counters.fd), writable=True))
    again.query("t0", Transport.UDP, p.A)
    again.query("new", Transport.UDP, p.A)
    assert of(counters, "queries_total")["t0", "udp", "A"] == 2
    assert of(counters, "queries_total")["other", "udp", "A"] == 1
    again._counters.close()


@pytest.mark.parametrize(
    ("duration_s", "bound"),
    [(0.0, "1e-05"), (0.00001, "1e-05"), (0.0000101, "2.5e-05"), (0.003, "0.005"), (10.0, "10.0"), (10.1, "+Inf")],
)
def test_a_duration_falls_into_the_bucket_that_holds_it(counters: Counters, stats: Stats, duration_s: float, bound: str) -> None:
    """Bounds are inclusive; above the last is +Inf; the sum is kept in nanoseconds."""
    stats.response("t", "cache", p.NOERROR, duration_s)
    buckets = of(counters, "query_duration_seconds:bucket")
    assert len(buckets) == len(BUCKETS_S) + 1
    assert {labels for labels, value in buckets.items() if value} == {("cache", bound)}
    assert of(counters, "query_duration_seconds:sum_ns") == {("cache",): int(duration_s * 1e9)}


def test_responses_and_durations_agree(counters: Counters, stats: Stats) -> None:
    """Every response is in exactly one bucket of its source."""
    for n in range(50):
        stats.response("t", "cache" if n % 2 else "upstream", n % 7, n / 1000)
    assert sum(of(counters, "responses_total").values()) == 50
    assert sum(of(counters, "query_duration_seconds:bucket").values()) == 50


def test_upstreams(counters: Counters, stats: Stats) -> None:
    """Requests by result, durations of those that were answered, and whether it is up."""
    stats.upstream("udp://192.0.2.53:53", "answer", 0.02)
    stats.upstream("udp://192.0.2.53:53", "timeout", None)
    stats.upstream_up("udp://192.0.2.53:53", up=True)
    stats.upstream_up("udp://192.0.2.54:53", up=False)
    assert of(counters, "upstream_requests_total") == {
        ("udp://192.0.2.53:53", "answer"): 1,
        ("udp://192.0.2.53:53", "timeout"): 1,
    }
    assert sum(of(counters, "upstream_duration_seconds:bucket").values()) == 1
    assert of(counters, "upstream_up") == {("udp://192.0.2.53:53",): 1, ("udp://192.0.2.54:53",): 0}


def test_configured_tenants_have_their_label_whatever_comes_first(counters: Counters, stats: Stats) -> None:
    """The first of the configuration get their own labels in every worker, so that the sum over workers is that of a tenant."""
    stats.name_tenants([f"t{number}" for number in range(MAX_TENANTS + 5)])
    for tenant in (f"t{MAX_TENANTS + 4}", "t0", "default"):
        stats.query(tenant, Transport.UDP, p.A)
    assert of(counters, "queries_total") == {
        ("other", "udp", "A"): 1,
        ("t0", "udp", "A"): 1,
        ("default", "udp", "A"): 1,
    }


def test_a_block_is_counted_in_all_its_series(counters: Counters) -> None:
    """By what blocked it, by each feed that would have, and by all feeds that list it; an administrator is no feed."""
    stats = Stats(counters)
    for _ in range(2):
        slots = stats.blocked("a", ("urlhaus", "malware", "sinkhole", ("second",)), (("trial", "ads"),))
    assert len(slots) == 5
    assert [counters.name(slot)[0] for slot in slots[:2]] == ["blocked_total", "would_block_total"]
    stats.blocked("a", ("local", "local", "sinkhole", ()), ())
    stats.blocked("b", None, (("trial", "ads"),))
    assert of(counters, "blocked_total") == {("a", "urlhaus", "malware", "sinkhole"): 2, ("a", "local", "local", "sinkhole"): 1}
    assert of(counters, "would_block_total") == {("a", "trial", "ads"): 2, ("b", "trial", "ads"): 1}
    assert of(counters, "feed_hits_total") == {("trial",): 3, ("urlhaus",): 2, ("second",): 2}
    assert of(counters, "feed_only_hits_total") == {("trial",): 1}


def test_gauges_and_counters_by_name(counters: Counters, stats: Stats) -> None:
    """A gauge is set, a counter added to; neither takes what would not fit."""
    stats.gauge("cache_entries", 7)
    stats.gauge("cache_entries", -7)
    stats.gauge("tcp_connections", 3)
    stats.add("cache_evictions_total", 2)
    stats.add("cache_evictions_total", -5)
    stats.dropped("malformed")
    assert of(counters, "cache_entries") == {(): 0}
    assert of(counters, "tcp_connections") == {(): 3}
    assert of(counters, "cache_evictions_total") == {(): 2}
    assert of(counters, "dropped_total") == {("malformed",): 1}
    stats.forget("tcp_connections")
    assert of(counters, "tcp_connections") == {}


def test_nothing_raises_when_the_memory_is_full() -> None:
    """With no slot left, counting goes on as if nothing were wrong."""
    counters = Counters.create(slots=1)
    stats = Stats(counters)
    for _ in range(3):
        stats.query("t", Transport.UDP, p.A)
        stats.response("t", "cache", p.NOERROR, 0.1)
        stats.blocked("t", ("f", "c", "sinkhole", ()), ())
        stats.upstream("u", "answer", 0.1)
    assert of(counters, "queries_total") == {("t", "udp", "A"): 3}
    assert len(list(counters.items())) == 1
    assert counters.dropped > 0
    counters.close()


def test_every_feed_that_lists_a_name_has_a_hit(counters: Counters, stats: Stats) -> None:
    """All of them, whichever decided; one that is alone also counts as the only one."""
    stats.blocked("t", ("urlhaus", "malware", "sinkhole", ("scams",)), (("watch", "policy"),))
    stats.blocked("t", ("urlhaus", "malware", "sinkhole", ()), ())
    stats.blocked("t", None, (("watch", "policy"),))
    assert of(counters, "feed_hits_total") == {("watch",): 2, ("urlhaus",): 2, ("scams",): 1}
    assert of(counters, "feed_only_hits_total") == {("urlhaus",): 1, ("watch",): 1}
    assert of(counters, "would_block_total") == {("t", "watch", "policy"): 2}
    assert of(counters, "blocked_total") == {("t", "urlhaus", "malware", "sinkhole"): 2}


def test_what_administrators_block_is_no_feeds_hit(counters: Counters, stats: Stats) -> None:
    """`local` is no feed: it has no hits, and a feed that lists the name as well is the only one."""
    stats.blocked("t", ("local", "local", "sinkhole", ()), ())
    stats.blocked("t", ("local", "local", "sinkhole", ("urlhaus",)), ())
    assert of(counters, "feed_hits_total") == {("urlhaus",): 1}
    assert of(counters, "feed_only_hits_total") == {("urlhaus",): 1}
    assert of(counters, "blocked_total") == {("t", "local", "local", "sinkhole"): 2}
