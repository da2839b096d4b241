"""How many file descriptors the upstream side of a process needs. What else opens descriptors has to leave these alone."""

from __future__ import annotations

from pdns.upstream.udp import MAX_RETIRED, MAX_SOCKETS

# for one upstream: connections in use and on their way out, the epoll descriptor, one to look up our address
_STREAMS_AND_EPOLL = 8
_WANTED = MAX_SOCKETS + MAX_RETIRED + _STREAMS_AND_EPOLL
_LEAST = _STREAMS_AND_EPOLL + 4


def reserve(upstreams: int, may_open: int) -> int:
    """How many of the descriptors that a process may open belong to its sockets for so many upstreams."""
    return min(upstreams * _WANTED, may_open // 2)


def udp_sockets(upstreams: int, may_open: int) -> int:
    """How many UDP sockets each of the upstreams may have open, within `reserve`. At least 4."""
    return max(reserve(upstreams, may_open) // max(upstreams, 1), _LEAST) - _STREAMS_AND_EPOLL
