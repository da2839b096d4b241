"""What one worker of several may take."""

from __future__ import annotations

import os

import pytest

from pdns.config.per_worker import arena_bytes, share_of, worker_count
from pdns.config.schema import Cache, Config, RateLimit, Server, Upstream
from pdns.telemetry.worker_memory import Arena

CONFIG = Config(upstream=Upstream(servers=("192.0.2.53",)))


def test_as_many_workers_as_cores_unless_configured() -> None:
    """0 stands for the cores that this process may run on, not those of the machine."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert worker_count(0) == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert worker_count(0) == len(allowed)
    assert worker_count(7) == 7


def test_one_worker_has_it_all() -> None:
    """Alone, it runs by the configuration as it is."""
    assert share_of(CONFIG, 1) == CONFIG


@pytest.mark.parametrize("workers", [2, 3, 64])
def test_all_together_take_no_more_than_is_configured(workers: int) -> None:
    """Memory, connections and queries in flight, times the workers, are within what was configured."""
    config = Config(upstream=CONFIG.upstream, rate_limit=RateLimit(queries_per_s=200, burst=1000))
    share = share_of(config, workers)
    assert share.cache.max_bytes * workers <= config.cache.max_bytes
    assert share.server.tcp_max_connections * workers <= config.server.tcp_max_connections
    assert share.upstream.max_in_flight * workers <= config.upstream.max_in_flight
    assert share.upstream.max_in_flight_per_client * workers <= config.upstream.max_in_flight_per_client
    assert share.rate_limit == config.rate_limit, "the workers count a client's queries together"
    assert (share.feed, share.block, share.upstream.servers) == (config.feed, config.block, config.upstream.servers)


def test_a_share_is_never_nothing() -> None:
    """Bounds below the number of workers come to 1 each."""
    small = Config(
        server=Server(tcp_max_connections=3),
        upstream=CONFIG.upstream,
        cache=Cache(max_bytes=65536),
    )
    share = share_of(small, 64)
    assert share.server.tcp_max_connections == 1
    assert share.cache.max_bytes == 65536


@pytest.mark.parametrize(
    ("max_bytes", "workers", "expected"),
    [(64 << 20, 1, 64 << 20), (64 << 20, 3, 22368256), (65536, 8, 65536), (200_000, 2, 98304)],
)
def test_arenas_are_whole_pages(max_bytes: int, workers: int, expected: int) -> None:
    """An even part of `cache.max_bytes`, rounded down to pages, at least 64 KiB; and the memory is that large."""
    size = arena_bytes(max_bytes, workers)
    assert size == expected
    assert size % 4096 == 0
    arena = Arena(1, size)
    assert os.fstat(arena.fd).st_size == size
    assert not os.get_inheritable(arena.fd)
    arena.close()
