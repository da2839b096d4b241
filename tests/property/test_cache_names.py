"""Which answers a cache has for a name and below it: the compiled cache and its specification say the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pdns.core.cache import AnswerCache as AnyCache
from pdns.core.entry import Entry
from pdns.fast.cache import AnswerCache
from pdns.reference.cache import ReferenceCache, is_of

_LABELS = st.sampled_from([b"\1a", b"\1b", b"\2ab", b"\1\1", b"\3com"])
_NAMES = st.lists(_LABELS, max_size=4).map(lambda labels: b"".join(labels) + b"\0")
_TAILS = st.tuples(
    st.sampled_from([b"\0\1\0\1", b"\0\x1c\0\1"]), st.sampled_from([b"\0", b"\3"]), st.sampled_from([b"\0\0", b"\0\1"])
)
_KEYS = st.tuples(_NAMES, _TAILS).map(lambda parts: parts[0] + b"".join(parts[1]))


def keys(cache: AnyCache, name: bytes, below: bool, most: int) -> list[bytes]:
    """All of them, asked for in steps."""
    found, place = [], 0
    while place >= 0:
        some, place = cache.keys_of(name, below, place, most)
        found += some
    return found


def entry() -> Entry:
    return Entry(0, "upstream", 0.0, 60, body=b"x" * 20)


@given(st.lists(_KEYS, max_size=40), st.lists(_KEYS, max_size=10), _NAMES, st.booleans(), st.integers(1, 50))
def test_the_kernel_finds_what_its_specification_finds(
    put: list[bytes], used: list[bytes], name: bytes, below: bool, most: int
) -> None:
    """The same keys, each once, whatever was replaced, used or removed before, and however many entries a step looks at."""
    caches: tuple[AnyCache, AnyCache] = ReferenceCache(1_000_000), AnswerCache(1_000_000)
    for cache in caches:
        for key in (*put, *put[::2]):
            cache.put(key, entry())
        for key in used:
            cache.get(key)
        for key in put[::3]:
            cache.remove(key)
    reference, compiled = (keys(cache, name, below, most) for cache in caches)
    assert sorted(compiled) == sorted(reference) == sorted(set(reference))
    assert all(is_of(key, name, below=below) for key in reference)


def test_what_moves_between_the_rings_is_found() -> None:
    """An answer that is used, and so kept while others come and go between two steps, is found all the same."""
    cache = AnswerCache(65_536)
    name, kept = b"\4kept\0", b"\4kept\0\0\1\0\1\0\0\0"
    numbers = iter(range(100_000))

    def others(count: int) -> None:
        for _ in range(count):
            cache.get(kept)
            cache.put(b"\5%05d\0\0\1\0\1\0\0\0" % next(numbers), entry())

    cache.put(kept, entry())
    others(1000)
    found: list[bytes] = []
    place, steps, evicted = 0, 0, cache.evictions
    while place >= 0:
        some, place = cache.keys_of(name, False, place, 20)
        found += some
        others(15)
        steps += 1
    assert kept in found
    assert cache.evictions > evicted
    assert steps > 5


def test_a_look_counts_as_no_use() -> None:
    """`peek` leaves the count of hits as it is."""
    for cache in (ReferenceCache(100_000), AnswerCache(100_000)):
        key = b"\1a\0\0\1\0\1\0\0\0"
        cache.put(key, entry())
        cache.get(key)
        hits = [seen.hits for seen in (cache.peek(key), cache.peek(key)) if seen is not None]
        assert hits == [1, 1]
        assert cache.peek(b"\1b\0\0\1\0\1\0\0\0") is None
