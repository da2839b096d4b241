"""The memory of the rate limits: several processes count one client together."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pdns.config.schema import RateLimit
from pdns.fast.clients import RateLimiter as CompiledLimiter
from pdns.reference import rate_limit
from pdns.telemetry.worker_memory import RateLimitMemory, map_limits, new_limits

KINDS = [rate_limit.RateLimiter, CompiledLimiter]
_ASK = """
import sys, time
from pdns.config.schema import RateLimit
from pdns.fast.clients import RateLimiter
from pdns.telemetry.worker_memory import map_limits
limiter = RateLimiter(RateLimit(queries_per_s=1000, burst=5000), map_limits(int(sys.argv[1])))
addresses = [f"192.0.2.{number}" for number in range(20)]
print("ready", flush=True)
sys.stdin.readline()
print(sum(limiter.admits(address, 1000.0) for _ in range(4000) for address in addresses))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_burst_and_then_a_rate(kind: type[rate_limit.RateLimiter]) -> None:
    """A burst of 50, then 10 a second, never more; after a pause no more than a burst has come back."""
    limiter = kind(RateLimit(queries_per_s=10, burst=50), new_limits())
    assert [limiter.admits("192.0.2.1", 1000.0) for _ in range(60)] == [True] * 50 + [False] * 10
    assert sum(limiter.admits("192.0.2.1", 1000.0 + tick / 100) for tick in range(1, 501)) in (49, 50)
    assert sum(limiter.admits("192.0.2.1", 5000.0) for _ in range(100)) == 50


@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_of_prefixes_frees_no_client(kind: type[rate_limit.RateLimiter]) -> None:
    """A client that has used up its burst is still limited after queries from 200,000 other addresses."""
    limiter = kind(RateLimit(queries_per_s=10, burst=50), new_limits())
    assert sum(limiter.admits("192.0.2.1", 1000.0) for _ in range(60)) == 50
    for number in range(200_000):
        limiter.admits(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1000.0)
    assert not limiter.admits("192.0.2.1", 1000.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_limit_holds_at_once(kind: type[rate_limit.RateLimiter]) -> None:
    """From 1 a second, burst used up, to 1,000 a second: after a second the client may ask again."""
    memory = new_limits()
    slow = kind(RateLimit(queries_per_s=1, burst=1000), memory)
    assert sum(slow.admits("192.0.2.1", 1000.0) for _ in range(2000)) == 1000
    quick = kind(RateLimit(queries_per_s=1000, burst=1000), memory)
    assert not quick.admits("192.0.2.1", 1000.0)
    assert sum(quick.admits("192.0.2.1", 1001.0) for _ in range(2000)) == 1000


def test_processes_count_together_to_the_last_query() -> None:
    """Four processes ask at once for 20 clients: each gets its burst of 5,000 once, exactly."""
    limits = RateLimitMemory()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", _ASK, str(limits.fd)],
            pass_fds=[limits.fd],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    processes = [start() for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert sum(int(process.communicate(timeout=60)[0]) for process in processes) == 20 * 5000
    limits.close()


def test_memory_of_another_size_is_refused() -> None:
    """What another version left cannot be read as ours; and a worker cannot shrink what the others have mapped."""
    fd = os.memfd_create("other")
    os.ftruncate(fd, 4096)
    with pytest.raises(ValueError, match="4096 bytes"):
        map_limits(fd)
    os.close(fd)
    limits = RateLimitMemory()
    with pytest.raises(PermissionError):
        os.ftruncate(limits.fd, 4096)
    limits.close()
