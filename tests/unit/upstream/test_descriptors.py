"""What part of a process's descriptors belongs to upstreams."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pdns.upstream.descriptors import reserve, udp_sockets
from pdns.upstream.udp import MAX_RETIRED, MAX_SOCKETS


def test_where_the_limit_is_high_each_upstream_gets_all_it_wants() -> None:
    """520 descriptors each, of which 512 for UDP."""
    assert reserve(3, 65536) == 3 * 520
    assert udp_sockets(3, 65536) == MAX_SOCKETS + MAX_RETIRED


def test_where_it_is_low_half_is_left_to_clients() -> None:
    """`ulimit -n 128` and three upstreams: 64 in all."""
    assert reserve(3, 128) == 64
    assert udp_sockets(3, 128) == 13


@given(st.integers(1, 64), st.integers(0, 1 << 20))
def test_the_reserve_is_never_more_than_half_and_sockets_never_none(upstreams: int, limit: int) -> None:
    """Whatever the limit is."""
    assert 0 <= reserve(upstreams, limit) <= limit // 2
    assert udp_sockets(upstreams, limit) >= 4
