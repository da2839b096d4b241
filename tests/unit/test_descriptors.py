"""Who may take file descriptors."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from pdns.descriptors import client_descriptors, raise_descriptor_limit

CODE = "from pdns.descriptors import client_descriptors; print(client_descriptors({}))"


@pytest.mark.parametrize(
    ("limit", "upstreams", "left"), [(128, 1, 24), (128, 3, 24), (64, 1, 1), (4096, 2, 3016), (2048, 0, 2008)]
)
def test_what_clients_may_take(limit: int, upstreams: int, left: int) -> None:
    """What is left of the limit beside the sockets for upstreams, at most half of it, and the process's own."""
    done = subprocess.run(
        ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(limit), sys.executable, "-c", CODE.format(upstreams)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert int(done.stdout) == left


def test_the_limit_is_raised_as_far_as_it_may_be() -> None:
    """To the hard limit, or to as many as could ever be needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == (65536 if hard == resource.RLIM_INFINITY else min(hard, 65536))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert client_descriptors(1) > 1
