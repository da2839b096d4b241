"""Who may take file descriptors."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from pdns.net.descriptors import client_descriptors, limit, raise_descriptor_limit
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


_WITH_NO_DESCRIPTOR_LEFT = """
import contextlib, os, resource
from pdns.net.descriptors import Reserve

def refused():
    try:
        return os.close(os.dup(0)) is not None
    except OSError as error:
        return error.strerror == "Too many open files"

reserve = Reserve(4)
reserve.fill()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
with contextlib.suppress(OSError):
    while True:
        os.dup(0)
assert refused()
with reserve.lent():
    kept = [os.dup(0)]
assert refused(), "what is left of the reserve is held again"
with reserve.lent():
    kept += [os.dup(0) for _ in range(3)]
assert len(kept) == 4
"""


def test_a_reserve_is_there_when_no_other_descriptor_is() -> None:
    """With every descriptor taken, what is lent can be opened; it is held again after, as far as it is free."""
    done = subprocess.run([sys.executable, "-c", _WITH_NO_DESCRIPTOR_LEFT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
