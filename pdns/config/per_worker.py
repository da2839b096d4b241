"""What one worker of several may take of what the configuration allows all of them."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from pdns.config.cpus import usable_cores
from pdns.config.schema import Config


def worker_count(configured: int) -> int:
    """How many workers `server.workers` stands for: 0 is one for each core that this process may use (`pdns.config.cpus`)."""
    return configured or usable_cores()


def share_of(config: Config, workers: int) -> Config:
    """`config` as one of `workers` runs by it: names are spread evenly over them, and so is what is bounded in all.

    A client's TCP connections are not: whichever worker is free accepts, so each allows one client as many connections, and as
    many queries over them, as all together may. Its rate limit is not either: the workers count together
    (`pdns.core.rate_limit`).
    """
    lines = config.log.monitored_per_minute
    return replace(
        config,
        server=replace(config.server, tcp_max_connections=_part(config.server.tcp_max_connections, workers)),
        upstream=replace(
            config.upstream,
            max_in_flight=_part(config.upstream.max_in_flight, workers),
            max_in_flight_per_client=_part(config.upstream.max_in_flight_per_client, workers),
        ),
        cache=replace(config.cache, max_bytes=arena_bytes(config.cache.max_bytes, workers)),
        log=replace(config.log, monitored_per_minute=_part(lines, workers) if lines else 0),
    )


def _part(whole: int, workers: int) -> int:
    return max(1, whole // workers)


_PAGE_BYTES: Final = 4096
_LEAST_ARENA_BYTES: Final = 65536


def arena_bytes(max_bytes: int, workers: int) -> int:
    """The size of each worker's arena: its part of `cache.max_bytes` in whole pages, and enough for some hundred answers."""
    return max(_LEAST_ARENA_BYTES, max_bytes // workers // _PAGE_BYTES * _PAGE_BYTES)
