"""Everything that parses what others wrote, fed with broken input:

    python -m tests.fuzz.parsers --inputs 20000 --seed 1

feeds each format, each container and each other file or message so many inputs, in a few processes under limits of the kernel,
and prints a table. A finding is an exception that its reader does not announce, a result that does not hold together, an input
that takes longer than it may, or the end of the process; it is written to `tests/fuzz/regressions/lists/`, which `test_lists.py`
reads. The same seed makes the same inputs.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from tests.fuzz import files, lists

REGRESSIONS: Final = Path(__file__).parent / "regressions" / "lists"
TARGETS: Final = (*lists.TARGETS, *files.TARGETS)
MAX_CPU_S: Final = 2.0  # over one input of some kilobytes
_MEMORY: Final = Path("/dev/shm")
_LIMITS: Final = (
    (resource.RLIMIT_DATA, 1 << 30),
    (resource.RLIMIT_FSIZE, 64 << 20),
    (resource.RLIMIT_NOFILE, 128),
    (resource.RLIMIT_CPU, 1800),
    (resource.RLIMIT_CORE, 0),
)


class Result(NamedTuple):
    """What came of one target."""

    target: str
    inputs: int
    input_bytes: int
    read: int  # taken; the others were refused, with a reason
    slowest_s: float  # over one input
    took_s: float  # of processor time
    findings: list[str]


def inputs(target: str, seed: int, count: int) -> Iterator[bytes]:
    """So many for one target."""
    return files.inputs(target, seed, count) if target in files.TARGETS else lists.Mutant(seed).inputs(target, count)


def feed_one(target: str, content: bytes, directory: Path) -> bool:
    """Have `content` read as the program does. False: it was refused, in a way that its reader announces."""
    began_s = time.perf_counter()
    taken = _take(target, content, directory)
    if time.perf_counter() - began_s > MAX_CPU_S:  # once more by the clock of this process, which costs more than an input does
        began_s = time.process_time()
        _take(target, content, directory)
        took_s = time.process_time() - began_s
        assert took_s < MAX_CPU_S, f"{took_s:.1f} s of processor time for {len(content):,} bytes"
    return taken


def _take(target: str, content: bytes, directory: Path) -> bool:
    if target in files.TARGETS:
        return files.TARGETS[target].read(content, directory)
    return lists.feed_one(target, content, directory) is not None


def run(target: str, seed: int, count: int) -> Result:
    """Feed `target` with so many inputs."""
    read = input_bytes = 0
    slowest_s, began_s, findings = 0.0, time.process_time(), list[str]()
    with tempfile.TemporaryDirectory(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as directory:
        last = Path(directory, "last")
        for content in inputs(target, seed, count):
            input_bytes += len(content)
            one_began_s = time.perf_counter()
            try:
                read += feed_one(target, content, last.parent)
            except Exception:  # noqa: BLE001 - whatever it is, it was found
                path = REGRESSIONS / f"{target}-{sha256(content).hexdigest()[:12]}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                findings.append(f"{path.name}\n{traceback.format_exc()}")
            slowest_s = max(slowest_s, time.perf_counter() - one_began_s)
    return Result(target, count, input_bytes, read, slowest_s, time.process_time() - began_s, findings)


def _limit() -> None:
    logging.disable(logging.CRITICAL)
    for limit, value in _LIMITS:
        _, hard = resource.getrlimit(limit)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (most, most))


def run_all(targets: Sequence[str], seed: int, count: int, processes: int) -> Iterator[Result]:
    """Each target's result, as it is there. A process that ends is a finding of those that were not done."""
    with ProcessPoolExecutor(processes, initializer=_limit) as pool:
        doing = {pool.submit(run, target, seed, count): target for target in targets}
        for done in as_completed(doing):
            try:
                yield done.result()
            except BrokenProcessPool:
                yield Result(doing[done], 0, 0, 0, 0.0, 0.0, ["the process that fed it, or one beside it, has ended"])


def main() -> int:
    """0: nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.parsers")
    parser.add_argument("--inputs", type=int, default=20_000, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=TARGETS, nargs="*")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    began_s, results = time.monotonic(), list[Result]()
    sys.stdout.write("| target | inputs | MB | read | refused | slowest | processor time |\n|---|---|---|---|---|---|---|\n")
    for result in run_all(arguments.only or TARGETS, arguments.seed, arguments.inputs, arguments.processes):
        results.append(result)
        refused = result.inputs - result.read - len(result.findings)
        sys.stdout.write(
            f"| {result.target} | {result.inputs:,} | {result.input_bytes / 1e6:.0f} | {result.read:,} | {refused:,} | "
            f"{result.slowest_s * 1000:.0f} ms | {result.took_s:.0f} s |\n"
        )
        sys.stdout.write("".join(f"\n{finding}\n" for finding in result.findings[:3]))
        sys.stdout.flush()
    found = sum(len(result.findings) for result in results)
    total = sum(result.inputs for result in results)
    sys.stdout.write(f"\n{total:,} inputs, {found:,} findings, {time.monotonic() - began_s:.0f} s\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
