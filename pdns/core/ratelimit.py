"""Token buckets by client prefix. The key is the socket's address, never anything that a packet says."""

from __future__ import annotations

from ipaddress import ip_address

from pdns.config import RateLimit

_MAX_BUCKETS = 65536


class RateLimiter:
    """At most `queries_per_s` from one prefix, after a first `burst`. Off when `queries_per_s` is 0.

    With `verified` it is the limit for clients whose address is proven. They have buckets of their own: whoever can forge a
    client's address over UDP must not use up what that client may ask over TCP.
    """

    def __init__(self, config: RateLimit, *, verified: bool = False) -> None:
        self.action = config.action
        self._rate = (verified and config.verified_queries_per_s) or config.queries_per_s
        self._burst = float(config.burst)
        self._prefixes = {4: 32 - config.ipv4_prefix, 6: 128 - config.ipv6_prefix}
        self._buckets: dict[tuple[int, int], list[float]] = {}

    def admits(self, address: str, now: float) -> bool:
        """Whether one more query from `address` is within the limit; counts it if so."""
        if not self._rate:
            return True
        parsed = ip_address(address)
        key = (parsed.version, int(parsed) >> self._prefixes[parsed.version])
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= _MAX_BUCKETS:  # the oldest prefix starts afresh: a flood of prefixes limits nobody else
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[key] = [self._burst, now]
        tokens = min(self._burst, bucket[0] + (now - bucket[1]) * self._rate)
        bucket[1] = now
        bucket[0] = tokens - 1 if tokens >= 1 else tokens
        return tokens >= 1
