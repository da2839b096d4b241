"""The cache's memory, as another worker may have left it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from pdns.config.schema import Config
from pdns.core.outcome import Forward
from pdns.core.query import Query
from pdns.core.resolver import Resolver
from pdns.core.ruleset import RuleSet
from pdns.errors import WireError
from pdns.fast.cache import AnswerCache
from pdns.reference.cache import ReferenceCache
from pdns.reference.query import parse_query
from pdns.wire.message import parse_message
from tests.fuzz.corpus import RESPONSES
from tests.fuzz.mutate import Mutator
from tests.fuzz.responses import response_to

BURST = 64
RAW: dict[str, Any] = {
    "server": {"identity": "x" * 64},
    "local": {"never_forward": ["corp.example"], "forward_single_labels": False},
    "rebinding": {"block_private_answers": True},
    "dns64": {"prefix": "64:ff9b::/96"},
    "upstream": {"servers": ["udp://127.0.0.1:9"], "max_in_flight_per_client": 100_000, "timeout_s": 3},
    "feed": [{"name": "alpha", "url": "file:a"}, {"name": "watch", "url": "file:w", "mode": "monitor"}],
    "tenant": [{"name": "north", "networks": ["127.0.0.2/32", "198.51.100.0/24"], "allow": ["a.malware.test"]}],
    "access": {"networks": ["127.0.0.0/8", "198.51.100.0/24"]},
    "cache": {"refresh_ahead_hits": 3, "max_bytes": 131_072},
}
ARENA_BYTES = (65_536, 131_072, 262_144, 80_000)


class Arena:
    """An arena of another worker with some bytes changed. Its sound part is taken over and used."""

    name, at_once = "AnswerCache of another's memory", BURST

    def __init__(self, seed: int) -> None:
        self._mutator = Mutator(RESPONSES, seed)
        self._resolver = Resolver(RuleSet.of(msgspec.convert(RAW, Config)), ReferenceCache(1_000_000))
        self._fed = 0

    def feed(self, packets: Sequence[bytes]) -> None:
        self._fed += 1
        if self._fed % 16:  # a burst in sixteen is plenty: most of the bytes are the same
            return
        fd = os.memfd_create("answers")
        try:
            os.ftruncate(fd, 65_536)
            left = AnswerCache(0, fd)
            keys = self._fill(left, packets)
            for _ in range(1 + self._mutator.below(4)):
                at = self._mutator.below(256) if self._mutator.below(4) == 0 else self._mutator.below(16384)
                changed = (
                    os.pread(fd, 1, at)[0] ^ (1 << self._mutator.below(8)) if self._mutator.below(2) else self._mutator.below(256)
                )
                os.pwrite(fd, bytes([changed]), at)
            del left
            found = AnswerCache(0, fd)
            for key in keys:
                found.get(key)
            self._fill(found, packets)
            found.resize(ARENA_BYTES[self._fed // 16 % len(ARENA_BYTES)])
            for key in keys:
                found.get(key)
        finally:
            os.close(fd)

    def _fill(self, cache: AnswerCache, packets: Sequence[bytes]) -> list[bytes]:
        keys = []
        for packet in packets:
            with suppress(WireError):
                query = parse_query(packet)
                message = parse_message(response_to(query.question, 0, self._mutator))
                entry = self._resolver.on_answer(_forward(query), message, 1000.0)
                cache.put(query.key + b"\0\0", entry)
                keys.append(query.key + b"\0\0")
        return keys

    def close(self) -> None: ...


def _forward(query: Query) -> Forward:
    return Forward(query.key, query.qname, query.qtype, query.qclass, query.do, query.cd, 0)
