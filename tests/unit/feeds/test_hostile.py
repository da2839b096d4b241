"""Lists made to do harm, through the process that parses: an answer, in bounded time and memory, whatever they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from feeds.jobs import Failed, Parse, Parsed, Said
from pdns.config.schema import Feed
from tests.fakes.hostile import BODIES, Hostile

MAX_CPU_S = 20.0  # of the child; the worst takes a fraction of it
MAX_MEMORY_BYTES = 640 * 1024 * 1024
MIB = 1024 * 1024


class Ended(NamedTuple):
    """How the child ended, and what it took."""

    said: Said | None
    status: int
    cpu_s: float
    memory_bytes: int


def parse_in_child(job: Parse) -> Ended:
    """Have the real child do `job`."""
    with subprocess.Popen([sys.executable, "-m", "feeds.build"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(msgspec.json.encode(job) + b"\n")
        child.stdin.flush()
        lines = child.stdout.readlines()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    said: Said | None = msgspec.json.decode(lines[-1], type=Said) if lines else None
    return Ended(said, child.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def job_of(tmp_path: Path, body: Hostile, content: bytes) -> Parse:
    raw = tmp_path / "raw"
    raw.write_bytes(content)
    feed = Feed(
        name="hostile", url=raw.as_uri(), format=body.format, json_path=body.json_path, column=body.column, max_bytes=64 * MIB,
        addresses=True,
    )  # fmt: skip
    return Parse(feed, str(raw), str(tmp_path / "parsed"))


@pytest.mark.long
@pytest.mark.parametrize("name", BODIES)
def test_hostile_lists_are_read_or_refused_within_bounds(tmp_path: Path, name: str) -> None:
    """An answer comes, whichever; the processor time and the memory that it took, and what is left on the disk, are bounded."""
    body = BODIES[name]
    ended = parse_in_child(job_of(tmp_path, body, body.make()))
    assert ended.status == 0, ended
    assert isinstance(ended.said, (Parsed, Failed))
    assert ended.cpu_s < MAX_CPU_S, ended
    assert ended.memory_bytes < MAX_MEMORY_BYTES, ended
    assert sum(path.stat().st_size for path in tmp_path.iterdir() if path.name != "raw") < 64 * MIB
