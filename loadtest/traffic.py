"""The kinds of traffic that a bench sends, as streams of query packets. The same seed gives the same stream."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from loadtest import goals
from loadtest.packets import query
from loadtest.population import Population
from pdns.wire import protocol as p

BLOCKED_SHARE = 0.001  # of the mix: the service this is sized after blocks 1 query in 1,238
HIT_SHARE = 0.9  # of the mix's benign queries
SEEN_LISTED = 5_000  # distinct blocked names in a week of that service: 5,629
_MIX_TYPES, _MIX_WEIGHTS = (p.A, p.AAAA, p.HTTPS), (70, 25, 5)


def hits(population: Population, count: int, seed: int = 1) -> Iterator[bytes]:
    """Benign names, the n-th one asked for 1/n as often as the first (Zipf). Hits once `every_benign` has been sent."""
    yield from map(query, _zipf(population.benign, count, random.Random(seed)))


def every_benign(population: Population) -> Iterator[bytes]:
    """Each benign name once, in each type that any traffic asks for: what fills the cache."""
    for qtype in _MIX_TYPES:
        for name in population.benign:
            yield query(name, qtype)


def blocked_seen(population: Population, count: int, seed: int = 1) -> Iterator[bytes]:
    """The same listed names again and again, Zipf."""
    yield from map(query, _zipf(_often_blocked(population), count, random.Random(seed)))


def every_blocked_seen(population: Population) -> Iterator[bytes]:
    """Each name of `blocked_seen` once."""
    yield from map(query, _often_blocked(population))


def blocked_first_sight(population: Population, count: int, seed: int = 1) -> Iterator[bytes]:
    """Names never asked before, each below another listed name (from the start again when there are fewer)."""
    rng = random.Random(f"first sight {seed}")
    listed = population.listed
    begin = rng.randrange(len(listed))
    for at in range(count):
        yield query(_label(rng, b"b") + listed[(begin + at) % len(listed)])


def never_seen(population: Population, count: int, seed: int = 1) -> Iterator[bytes]:
    """Names never asked before, below benign ones."""
    rng = random.Random(f"never seen {seed}")
    for name in rng.choices(population.benign, k=count):
        yield query(_label(rng, b"n") + name)


def mix(population: Population, count: int, seed: int = 1, *, blocked_share: float = BLOCKED_SHARE) -> Iterator[bytes]:
    """What a resolver for many networks sees: 99.9 % benign, 90 % of that asked before, A, AAAA and HTTPS."""
    rng = random.Random(f"mix {seed}")
    popular = _zipf(population.benign, count, rng)
    blocked = _zipf(_often_blocked(population), count, rng)
    types = iter(rng.choices(_MIX_TYPES, _MIX_WEIGHTS, k=count))
    for _ in range(count):
        kind = rng.random()
        if kind < blocked_share:
            name = next(blocked)
        elif kind < blocked_share + (1 - blocked_share) * HIT_SHARE:
            name = next(popular)
        else:
            name = _label(rng, b"x") + rng.choice(population.benign)
        yield query(name, next(types))


def _often_blocked(population: Population) -> Sequence[bytes]:
    return population.listed[:SEEN_LISTED]


def _zipf(names: Sequence[bytes], count: int, rng: random.Random) -> Iterator[bytes]:
    weights = list(accumulate(1 / rank for rank in range(1, len(names) + 1)))
    return iter(rng.choices(names, cum_weights=weights, k=count))


def _label(rng: random.Random, prefix: bytes) -> bytes:
    """A label of 13 letters that no other call gave, but with a chance of 1 in 2^48."""
    return b"\x0d" + prefix + f"{rng.getrandbits(48):012x}".encode()


class PathTraffic(NamedTuple):
    """What is sent along one path."""

    path: goals.QueryPath
    stream: Callable[[int, int], Iterator[bytes]]  # count, seed -> queries
    warm_up: Callable[[], Iterator[bytes]] | None  # what to send before


def of_paths(population: Population) -> tuple[PathTraffic, ...]:
    """The traffic of each path, in the order of `goals.PATHS`."""

    def of(stream: Callable[[Population, int, int], Iterator[bytes]]) -> Callable[[int, int], Iterator[bytes]]:
        return lambda count, seed: stream(population, count, seed)

    def popular() -> Iterator[bytes]:
        return every_benign(population)

    def often_blocked() -> Iterator[bytes]:
        return every_blocked_seen(population)

    return (
        PathTraffic(goals.HIT, of(hits), popular),
        PathTraffic(goals.BLOCKED_SEEN, of(blocked_seen), often_blocked),
        PathTraffic(goals.BLOCKED_FIRST, of(blocked_first_sight), None),
        PathTraffic(goals.FORWARD, of(never_seen), None),
        PathTraffic(goals.MIX, of(mix), popular),
    )
