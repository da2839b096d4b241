"""The answer cache: its bound, its fairness, its arithmetic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pdns.core.cache import MAX_ENTRY_BYTES
from pdns.core.entry import Entry
from pdns.reference.cache import ReferenceCache

operations = st.lists(st.tuples(st.sampled_from("pgr"), st.integers(0, 30), st.integers(0, 3000)), max_size=200)


def entry(size: int = 0) -> Entry:
    return Entry(0, "upstream", 0.0, 60, body=bytes(size))


@given(operations)
def test_bound_and_arithmetic_hold(steps: list[tuple[str, int, int]]) -> None:
    """However it is used, the cache is never over its bound and its size is the sum of what it holds."""
    cache = ReferenceCache(20_000)
    for what, number, size in steps:
        key = bytes([number])
        if what == "p":
            cache.put(key, entry(size))
        elif what == "g":
            cache.get(key)
        else:
            cache.remove(key)
        held = [cache.get(bytes([n])) for n in range(31)] if not steps else [*cache._probation.values(), *cache._main.values()]
        assert cache.size_bytes == sum(e.size_bytes + 1 for e in held if e is not None) <= 20_000
        assert len(cache) == len(held)


def test_a_flood_of_new_names_leaves_popular_answers() -> None:
    """Ten thousand names asked once do not push out a name that was asked twice."""
    cache = ReferenceCache(100_000)
    for number in range(50):
        cache.put(b"popular%d" % number, entry(10))
        cache.get(b"popular%d" % number)
    for number in range(10_000):
        cache.put(b"flood%d" % number, entry(10))
        if number % 100 == 0:
            for popular in range(50):
                cache.get(b"popular%d" % popular)
    assert all(cache.get(b"popular%d" % number) is not None for number in range(50))
    assert cache.evictions > 9_000


def test_unused_answers_are_evicted() -> None:
    """An answer that was popular once leaves when others have become so."""
    cache = ReferenceCache(65_536)
    for generation in range(4):
        for number in range(100):
            cache.put(b"%d-%d" % (generation, number), entry(10))
            cache.get(b"%d-%d" % (generation, number))
    assert cache.get(b"0-0") is None
    assert cache.get(b"3-99") is not None


def test_a_huge_answer_is_not_kept() -> None:
    """An answer over 16 KiB takes no room from others, and replaces nothing with itself."""
    cache = ReferenceCache(1_000_000)
    cache.put(b"k", entry(10))
    cache.put(b"k", entry(MAX_ENTRY_BYTES))
    assert cache.get(b"k") is None
    assert cache.size_bytes == 0


def test_replacing_keeps_the_place_in_the_main_queue() -> None:
    """A refreshed answer stays where its popularity brought it."""
    cache = ReferenceCache(10_000)
    cache.put(b"a", entry(10))
    cache.get(b"a")
    for number in range(30):
        cache.put(b"%d" % number, entry(10))
    cache.put(b"a", entry(20))
    assert b"a" in cache._main
    cache.remove(b"a")
    assert cache.get(b"a") is None


def test_shrinking_evicts() -> None:
    """A smaller bound holds at once."""
    cache = ReferenceCache(100_000)
    for number in range(100):
        cache.put(b"%d" % number, entry(100))
    cache.resize(10_000)
    assert cache.size_bytes <= 10_000
