"""Entries of feeds, of every kind, for tests."""

from __future__ import annotations

from hypothesis import strategies as st

from feeds.annotations import NameAnnotation
from feeds.fleet.entries_text import CLIENT, NAME, NETWORK, Said, TextEntry
from pdns.core.listing import DROP, LOCAL_DATA, NODATA, NXDOMAIN, PASSTHRU, TCP_ONLY, ListedAction


def key_of(labels: list[bytes]) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in labels)


def _network(address_bytes: int) -> st.SearchStrategy[bytes]:
    address = st.binary(min_size=address_bytes, max_size=address_bytes)
    return st.builds(lambda packed, bits: packed + bytes((bits,)), address, st.integers(0, 8 * address_bytes))


names = st.lists(st.binary(min_size=1, max_size=63), max_size=3).map(key_of) | st.lists(
    st.sampled_from([b"com", b"example", b"www", b"a", b"x" * 63, b"9", b"-", b"!", b"~"]), max_size=3
).map(key_of)
networks = _network(4) | _network(16)
times = st.sampled_from([0.0, 1.0, 1.7e9, 1234.5]) | st.floats(min_value=0.0, max_value=1e12)
told = st.builds(NameAnnotation, st.text(max_size=10), st.text(max_size=10), times, times)
rdatas = st.lists(st.binary(max_size=8), min_size=1, max_size=2).map(tuple)
actions = st.sampled_from([ListedAction(kind) for kind in (NXDOMAIN, NODATA, PASSTHRU, DROP, TCP_ONLY)]) | st.builds(
    lambda data: ListedAction(LOCAL_DATA, tuple(sorted(data.items()))),
    st.dictionaries(st.sampled_from([1, 5, 28]), rdatas, min_size=1, max_size=2),
)
perhaps = st.none() | actions
days = st.integers(0, 0xFFFF)
said_of_names = st.builds(Said, st.integers(1, 15), days, st.just(NameAnnotation()) | told, perhaps, perhaps)
said_of_clients = st.builds(Said, st.just(0), days, st.just(NameAnnotation()), actions, st.none())


def _ordered(kind: str, keys: st.SearchStrategy[bytes], said: st.SearchStrategy[Said]) -> st.SearchStrategy[list[TextEntry]]:
    return st.dictionaries(keys, said, max_size=6).map(
        lambda entries: [TextEntry(kind, key, entries[key]) for key in sorted(entries)]  # type: ignore[arg-type]
    )


entries = st.tuples(
    _ordered(NETWORK, networks, said_of_names), _ordered(CLIENT, networks, said_of_clients), _ordered(NAME, names, said_of_names)
).map(lambda parts: [entry for part in parts for entry in part])
