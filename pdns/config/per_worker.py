"""Divides limits of the configuration among the workers."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from pdns.config.cpus import usable_cores
from pdns.config.schema import Config


def worker_count(configured: int) -> int:
    """The number of workers for `server.workers`; 0 means one for each core that this process may use (`pdns.config.cpus`)."""
    return configured or usable_cores()


def share_of(config: Config, workers: int) -> Config:
    """`config` for one of `workers`: names are spread evenly over them, and so are the total limits.

    The limit of a client's TCP connections is not divided: any free worker accepts a connection, so each worker allows one client
    as many connections and queries over them as all together may. Its rate limit is not divided either: the workers count
    together (`pdns.core.rate_limit`).
    """
    lines = config.log.monitored_per_minute
    return replace(
        config,
        server=replace(
            config.server,
            workers=workers if workers > 1 else config.server.workers,
            tcp_max_connections=_part(config.server.tcp_max_connections, workers),
        ),
        encrypted=replace(
            config.encrypted,
            max_connections=_part(config.encrypted.max_connections, workers),
            max_handshakes=_part(config.encrypted.max_handshakes, workers),
        ),
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
    """The size of each worker's arena: its part of `cache.max_bytes` in whole pages, with room for some hundred answers."""
    return max(_LEAST_ARENA_BYTES, max_bytes // workers // _PAGE_BYTES * _PAGE_BYTES)
