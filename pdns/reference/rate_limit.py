"""Token buckets by client prefix: the specification of the `RateLimiter` in `pdns/fast/clients.pyx`."""

# kernel: pdns/fast/clients.pyx

from __future__ import annotations

from hashlib import blake2b
from ipaddress import ip_address

from pdns.config.schema import RateLimit
from pdns.core.rate_limit import HEADER_BYTES, KEY_BYTES, MEMORY_BYTES, SECOND_NS, SETS, WAYS, times_of


class RateLimiter:
    """At most `queries_per_s` from one prefix, after a first `burst`. Off when `queries_per_s` is 0.

    With `verified` it is the limit for clients whose address is proven. They have buckets of their own: whoever can forge a
    client's address over UDP must not use up what that client may ask over TCP.
    """

    def __init__(self, config: RateLimit, memory: memoryview | None = None, *, verified: bool = False) -> None:
        """The buckets are in `memory`, MEMORY_BYTES that begin with a key; without it this limiter has its own.

        Here, unlike in the compiled part, two workers that count one client in the same microsecond may count one query.
        """
        self.action = config.action
        self._interval_ns, self._burst_ns = times_of(config, verified=verified)
        self._prefixes = {4: 32 - config.ipv4_prefix, 6: 128 - config.ipv6_prefix}
        self._kind = b"verified" if verified else b""
        if memory is None:
            memory = memoryview(bytearray(MEMORY_BYTES if self._interval_ns else HEADER_BYTES))
        self._key = bytes(memory[:KEY_BYTES])
        self._words = memory[HEADER_BYTES:].cast("Q")

    def admits(self, address: str, now: float) -> bool:
        """Whether one more query from `address` is within the limit; counts it if so. `now` is of `pdns.clock.boottime_s`."""
        if not self._interval_ns:
            return True
        now_ns = int(now * SECOND_NS)
        at = self._bucket(address, now_ns)
        latest_ns = now_ns + self._burst_ns  # when a bucket that is empty now will be full
        full_ns = min(max(self._words[at], now_ns), latest_ns)
        admitted = full_ns + self._interval_ns <= latest_ns
        self._words[at] = full_ns + self._interval_ns if admitted else full_ns
        return admitted

    def _bucket(self, address: str, now_ns: int) -> int:
        """Where it is noted when the bucket of `address` is full again."""
        parsed = ip_address(address)
        bits = self._prefixes[parsed.version]
        prefix = int(parsed) >> bits << bits
        tag = blake2b(prefix.to_bytes(16) + bytes([parsed.version]) + self._kind, digest_size=8, key=self._key).digest()
        wanted = int.from_bytes(tag) | 1
        first = (wanted >> 32) % SETS * WAYS * 2
        places = range(first, first + WAYS * 2, 2)
        for at in places:
            if self._words[at] == wanted:
                return at + 1
        # The fullest makes room: a full one loses nothing by it, and a flood of prefixes frees no client from its limit.
        at = min(places, key=lambda at: self._words[at + 1])
        self._words[at], self._words[at + 1] = wanted, min(self._words[at + 1], now_ns)
        return at + 1
