"""`python -m loadtest instructions`: how many instructions of the worker a query takes.

Callgrind counts them, so other programs change nothing, and a change shows that the noise of a ratio would hide. Instructions
of the kernel on behalf of the worker are not counted.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from loadtest import build, goals, pages, population, server
from loadtest.counted import BATCH, BATCHES, LISTED, NAMES, NOTHING
from loadtest.loopback import Address
from loadtest.report import WIDTH, table_of
from loadtest.server import REPOSITORY, ServerError

HISTORY: Final = REPOSITORY / "docs" / "instructions-history.jsonl"
PAGE: Final = REPOSITORY / "docs" / "performance.md"
MOST_MORE: Final = 1.05  # than the newest record; two runs differ by less than 0.01
PATHS: Final = (goals.HIT, goals.BLOCKED_SEEN, goals.BLOCKED_FIRST, goals.FORWARD)
SHOWN_RECORDS: Final = 20
_BEGIN, _END = "<!-- instructions -->\n", "<!-- end of the instructions -->"
_START_TIMEOUT_S, _TIMEOUT_S = 60.0, 240.0
_NO_UPSTREAM: Final = Address("127.0.0.1", 9)
_COMPILER = re.compile(rb"(GCC): \([^)]*\) ([0-9.]+)|(clang) version ([0-9.]+)")
_TITLE = re.compile(r"^desc: Trigger: Client Request: (\w+) (\d+)$", re.MULTILINE)
_TOTALS = re.compile(r"^totals: (\d+)(?: (\d+))?", re.MULTILINE)


class PathCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one query takes of the worker."""

    instructions: float
    system_calls: float  # reads of the clock are among them: in valgrind they enter the kernel


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Records with the same `built_with` can be compared."""

    when: str  # UTC, ISO 8601
    commit: str
    built_with: str  # Python, compiler of the kernels, C library, valgrind
    paths: dict[str, PathCost]  # by the key of the path


def missing() -> str:
    """Why instructions cannot be counted on this machine; empty when they can."""
    if shutil.which("valgrind") is None:
        return "no valgrind: apt install valgrind"
    return "" if build.compiler() else "no C compiler"


def measure(commit: str) -> Count:
    """Takes a quarter of a minute. Raises `BuildError` or `ServerError`."""
    build.program(build.CALLGRIND_MARKS)
    with tempfile.TemporaryDirectory(prefix="pdns-instructions-") as name:
        directory = Path(name)
        people = population.generated(directory, listed=LISTED, benign=NAMES, sample=1000)
        with server.started(directory / "compile", _NO_UPSTREAM, people.list_file) as resolver:
            resolver.wait_ready(_START_TIMEOUT_S)
            built = resolver.blockset()
            if built is None:
                raise ServerError(f"no blockset{resolver.last_words()}")
            blockset = shutil.copytree(built, directory / "blockset")
        counts = directory / "counts"
        done = subprocess.run(
            [
                "valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no", "--collect-systime=yes",
                f"--callgrind-out-file={counts}", sys.executable, "-m", "loadtest.counted", str(directory), str(blockset),
            ],
            cwd=REPOSITORY, env=os.environ | {"PYTHONHASHSEED": "0"}, capture_output=True, text=True, timeout=_TIMEOUT_S,
            check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise ServerError(f"callgrind ended with {done.returncode}: {done.stderr[-1000:]}")
        texts = [file.read_text() for file in directory.glob("counts.*")]
    return Count(
        when=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        commit=commit,
        built_with=built_with(),
        paths=costs_of(texts, BATCH * BATCHES),
    )


def costs_of(dumps: Sequence[str], queries: int) -> dict[str, PathCost]:
    """The least of the dumps of each path, each of `queries` queries, less what an idle event loop takes.

    Timers of the worker that come due while it is counted only ever add to it.
    """
    found: dict[str, list[tuple[int, int, int]]] = {}
    for text in dumps:
        title, totals = _TITLE.search(text), _TOTALS.search(text)
        if title is not None and totals is not None:
            found.setdefault(title[1], []).append((int(title[2]), int(totals[1]), int(totals[2] or 0)))
    idle = [min(column) for column in zip(*found[NOTHING], strict=True)]

    def each(rows: list[tuple[int, int, int]], at: int) -> float:
        return round(float(min((row[at] - row[0] * idle[at]) / queries for row in rows)), 2)

    return {path.key: PathCost(instructions=each(found[path.key], 1), system_calls=each(found[path.key], 2)) for path in PATHS}


def built_with() -> str:
    """What decides, besides our code, how many instructions there are."""
    kernel = next((REPOSITORY / "pdns" / "fast").glob("udp.*.so"))
    compiler = _COMPILER.search(kernel.read_bytes())
    compiled_by = b" ".join(part for part in compiler.groups() if part).decode() if compiler else "unknown compiler"
    said = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    libc = " ".join(platform.libc_ver())
    return f"Python {platform.python_version()}, {compiled_by}, {libc}, {said}, {platform.machine()}"


def worse(now: Count, before: Count) -> list[str]:
    """The paths that take more than `MOST_MORE` times the instructions, in words."""
    return [
        f"{path.title}: {now.paths[path.key].instructions:,.0f} instructions, before {old.instructions:,.0f}"
        for path in PATHS
        if (old := before.paths.get(path.key)) and now.paths[path.key].instructions > MOST_MORE * old.instructions
    ]


def read(history: Path = HISTORY) -> list[Count]:
    """Every record of the file, oldest first."""
    return [msgspec.json.decode(line, type=Count) for line in history.read_bytes().splitlines()]


def comparable(built: str, records: Sequence[Count]) -> Count | None:
    """The newest record that was built with the same; None when there is none."""
    return next((record for record in reversed(records) if record.built_with == built), None)


def append(record: Count, history: Path = HISTORY, page: Path = PAGE) -> None:
    """Append `record` to the history, and show it on the page."""
    with history.open("ab") as file:
        file.write(msgspec.json.encode(record) + b"\n")
    page.write_text(with_table(page.read_text(encoding="utf-8"), read(history)), encoding="utf-8")


def with_table(text: str, records: Sequence[Count]) -> str:
    """The page `text` with the newest of `records`, the newest first. Raises `ValueError` without a place."""
    rows = [
        (pages.minute(record.when), pages.commit(record.commit), record.built_with, *(_cell(record, path.key) for path in PATHS))
        for record in reversed(records[-SHOWN_RECORDS:])
    ]
    return pages.replaced(text, _BEGIN, _END, pages.table(("run", "commit", "built with", *(p.title for p in PATHS)), 3, rows))


def _cell(record: Count, key: str) -> str:
    cost = record.paths.get(key)
    return "" if cost is None else f"{cost.instructions:,.0f}"


def main(commit: str, *, record: bool) -> int:
    """Counts, prints, and keeps it when told to `record`.

    Returns the exit status: 1 when a path takes more than before, 2 when nothing could be counted.
    """
    console = Console()
    console.width = max(console.width, WIDTH)
    try:
        if why := missing():
            raise ServerError(why)
        now = measure(commit)
    except (build.BuildError, ServerError, subprocess.TimeoutExpired) as error:
        Console(stderr=True).print(f"instructions: {error}", style="red", markup=False, highlight=False)
        return 2
    before = comparable(now.built_with, read())
    show(now, before, console)
    if record:
        append(now)
        print(f"recorded in {os.path.relpath(HISTORY)} and {os.path.relpath(PAGE)}")
        return 0
    more = worse(now, before) if before is not None else []
    for line in more:
        console.print(line, style="bold red", highlight=False, markup=False)
    return 1 if more else 0


def show(now: Count, before: Count | None, console: Console) -> None:
    """Prints the table, beside the newest record that can be compared."""
    table = table_of("one query", "instructions", "recorded", "ratio", "system calls and reads of the clock")
    for path in PATHS:
        cost, old = now.paths[path.key], before.paths.get(path.key) if before is not None else None
        compared = ("", "") if old is None else (f"{old.instructions:,.0f}", f"{cost.instructions / old.instructions:.3f}")
        table.add_row(path.title, f"{cost.instructions:,.0f}", *compared, f"{cost.system_calls:.2f}")
    console.print(f"{now.built_with}; of the worker alone, batches of {BATCH}", highlight=False, markup=False)
    console.print(table)
