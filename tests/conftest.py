"""How hard Hypothesis tries: a little in `make test`, more in `make test-all`, for hours in `make fuzz` (HYPOTHESIS_PROFILE).

A process that runs tests beside others has a network of its own where it may (as root): no port or address of one test can be
in another's way. And after every test, what belongs to the process as a whole is as it was before.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

_CI = os.environ.get("CI") == "true"  # no place for luck

settings.register_profile("quick", deadline=None, derandomize=_CI, max_examples=25)
settings.register_profile("all", deadline=None, derandomize=_CI, max_examples=100)
settings.register_profile("fuzz", deadline=None, max_examples=50_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def pytest_configure(config: pytest.Config) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a normal user begins with 1,024, and some tests open more
    beside_others = hasattr(config, "workerinput")  # of pytest-xdist
    if beside_others and ctypes.CDLL(None).unshare(_CLONE_NEWNET) == 0:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where only `realtime` is wanted, files that do not mention it need not be read."""
    only_realtime = str(config.option.markexpr).endswith(" and realtime")
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    return True if only_realtime and is_test and b"realtime" not in collection_path.read_bytes() else None


@pytest.fixture(autouse=True)
def _the_process_stays_as_it_was() -> Iterator[None]:
    before = _of_the_process()
    yield
    assert _of_the_process() == before


def _of_the_process() -> dict[str, object]:
    return {
        "niceness": os.getpriority(os.PRIO_PROCESS, 0),
        "processors": os.sched_getaffinity(0),
        "working directory": Path.cwd(),
        "open files allowed": resource.getrlimit(resource.RLIMIT_NOFILE),
    }
