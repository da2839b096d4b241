"""Token buckets by client prefix. The key is the socket's address, never anything that a packet says.

All workers share the buckets, in memory that holds a secret key and then sets of four. A bucket is two numbers of 64 bits: a
keyed digest of its prefix, 0 where there is none, and the time when it is full again, in nanoseconds. A change is a change of one
number, which the compiled part makes atomically: there is no lock that a worker could hold when it dies.
"""

from __future__ import annotations

from typing import Final

from pdns.config.schema import RateLimit

KEY_BYTES: Final = 16
HEADER_BYTES: Final = 64  # the key, and nothing up to the next line of the processor's cache, which holds one set
SETS: Final = 32768
WAYS: Final = 4
MEMORY_BYTES: Final = HEADER_BYTES + SETS * WAYS * 16
SECOND_NS: Final = 10**9
MOST_NS: Final = 2**62


def times_of(config: RateLimit, *, verified: bool) -> tuple[int, int]:
    """In which time one query comes back, and in which a whole burst, in nanoseconds; (0, 0) when there is no limit."""
    per_s = (verified and config.verified_queries_per_s) or config.queries_per_s
    if not per_s:
        return 0, 0
    interval_ns = -(-SECOND_NS // per_s)
    return interval_ns, min(config.burst * interval_ns, MOST_NS)
