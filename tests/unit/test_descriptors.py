"""Who may take file descriptors."""

from __future__ import annotations

import contextlib
import os
import resource

import pytest

from pdns.descriptors import Reserve, client_descriptors, limit, raise_descriptor_limit
from pdns.upstream.descriptors import reserve


@pytest.mark.parametrize(
    ("may_open", "upstreams", "left"), [(128, 1, 24), (128, 3, 24), (64, 1, 1), (4096, 2, 3016), (65536, 0, 65496)]
)
def test_what_clients_may_take(may_open: int, upstreams: int, left: int) -> None:
    """What is left of the limit beside the sockets for upstreams, at most half of it, and the process's own."""
    assert client_descriptors(may_open, reserve(upstreams, may_open)) == left


def test_the_limit_is_raised_as_far_as_it_may_be() -> None:
    """To the hard limit, or to as many as could ever be needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert limit() == 256
        raise_descriptor_limit()
        assert limit() == (65536 if hard == resource.RLIM_INFINITY else min(hard, 65536))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_reserve_is_there_when_no_other_descriptor_is() -> None:
    """With every descriptor taken, what is lent can be opened; it is held again after, as far as it is free."""
    reserve = Reserve(4)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        reserve.hold()
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        with pytest.raises(OSError, match="Too many open files"):
            os.dup(0)
        with reserve.lent():
            kept = os.dup(0)
        with pytest.raises(OSError, match="Too many open files"):
            taken.append(os.dup(0))
        with reserve.lent():
            taken += [kept, *(os.dup(0) for _ in range(3))]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for fd in taken:
            os.close(fd)
        reserve.let_go()
