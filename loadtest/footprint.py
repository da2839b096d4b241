"""What the resolver takes of the machine over time - processes, memory, descriptors, disk - and whether that stays level."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from loadtest import process

MIN_POINTS = 10  # fewer make no line
SETTLED_AFTER = 0.1  # of the run: a new process fills its cache
MAX_RISE_BYTES, MAX_RISE_SHARE = 3_000_000, 0.05  # of memory, over the stretch that is looked at: whichever is more
SHORT_RUN_S = 1200.0  # in less, a process still meets things for the first time: each thread of a pool its first large list
MAX_RISE_SHORT_BYTES = 8_000_000
MORE_DESCRIPTORS = 4  # than at the start: pipes of a job, a page that is being read
DISK_GROWTH, DISK_SLACK_BYTES = 2.0, 4_000_000  # two generations of a list, and a job at work

_MAX_POINTS = 400
_ROLES = {
    "pdns.worker": "worker", "feeds.refresh": "feeds", "pdns.events": "events", "pdns.page": "page", "pdns.quic": "quic",
    "pdns serve": "supervisor",
}  # fmt: skip


class Life(NamedTuple):
    """One process: ids are used again, id and start together are not."""

    pid: int
    started: int  # clock ticks since boot


class Point(NamedTuple):
    """One process at one moment. Bytes; `at_s` is of the run."""

    at_s: float
    life: Life
    role: str
    rss: int
    pss: int
    anonymous: int
    descriptors: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that had to stay level. `ok` is None when the run was too short to tell."""

    what: str
    limit: str
    measured: str
    ok: bool | None


def tree(root: int) -> dict[Life, str]:
    """`root` and all below it that live: what each is. A child of one of the long-lived processes is a job."""
    parents: dict[int, tuple[int, int, str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = process.stat(int(entry.name))
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if fields[0] != "Z":
                    parents[int(entry.name)] = int(fields[1]), int(fields[19]), command
    found: dict[Life, str] = {}
    front = [root]
    while front:
        pid = front.pop()
        if pid in parents:
            _, started, command = parents[pid]
            found[Life(pid, started)] = next((role for part, role in _ROLES.items() if part in command), "job")
        front += [child for child, (parent, _, _) in parents.items() if parent == pid]
    return found


def is_alive(life: Life) -> bool:
    """Whether that very process still runs."""
    try:
        fields = process.stat(life.pid)
    except OSError:
        return False
    return fields[0] != "Z" and int(fields[19]) == life.started


def disk_bytes(directory: Path) -> int:
    """What the files below `directory` take on the disk."""
    total = 0
    for at, _, files in os.walk(directory):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(Path(at, name)).st_blocks * 512
    return total


def udp_drops(port: int) -> dict[int, int]:
    """What the kernel threw away because a socket's buffer was full: for each UDP socket on `port`, by its inode."""
    drops = {}
    for file in ("/proc/net/udp", "/proc/net/udp6"):
        for line in Path(file).read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port:
                drops[int(fields[9])] = int(fields[12])
    return drops


class Footprint:
    """Samples of one resolver."""

    def __init__(self, root: int, state_dir: Path, port: int) -> None:
        self.points: list[Point] = []
        self.disk: list[tuple[float, int]] = []
        self.lives: dict[Life, str] = {}
        self.drops: dict[int, int] = {}  # of each UDP socket on `port`, also of those that are closed by now
        self._root = root
        self._port = port
        self._state_dir = state_dir
        self._started_s = time.monotonic()

    def start_clock(self, started_s: float) -> None:
        """The run begins at this time.monotonic(); what was seen before counts as of its beginning."""
        self._started_s = started_s

    def sample(self) -> list[Point]:
        """Looks at everything now."""
        at_s = time.monotonic() - self._started_s
        now = []
        for life, role in tree(self._root).items():
            self.lives[life] = role
            with contextlib.suppress(OSError, KeyError):  # it has just ended
                memory = process.memory(life.pid)
                descriptors = len(list(Path(f"/proc/{life.pid}/fd").iterdir()))
                now.append(Point(at_s, life, role, memory.rss, memory.pss, memory.anonymous, descriptors))
        self.points += now
        self.disk.append((at_s, disk_bytes(self._state_dir)))
        self.drops |= udp_drops(self._port)
        return now

    def series(self) -> dict[str, list[tuple[float, int, int, int, int]]]:
        """For each process but jobs: seconds of the run, PSS, RSS, anonymous memory, descriptors; some hundred points at most."""
        series: dict[str, list[tuple[float, int, int, int, int]]] = {}
        for point in self.points:
            if point.role != "job":
                row = round(point.at_s, 1), point.pss, point.rss, point.anonymous, point.descriptors
                series.setdefault(f"{point.role} {point.life.pid}", []).append(row)
        return {name: rows[:: len(rows) // _MAX_POINTS + 1] for name, rows in series.items()}

    def left_alive(self) -> list[Life]:
        """Those of all that were ever seen that still run."""
        return [life for life in self.lives if is_alive(life)]


def slope(points: list[tuple[float, float]]) -> float:
    """Of the line that fits best by least squares. Raises `ZeroDivisionError` when all are at one moment."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def memory_verdicts(points: list[Point], run_s: float) -> list[Verdict]:
    """One for each process that lived to the end: the rise of the line through its memory (PSS) in the second half of the run, or
    in what it lived of that once it had settled.
    """
    verdicts = []
    last_s = max((point.at_s for point in points), default=0.0)
    for life in dict.fromkeys(point.life for point in points):
        of_it = [point for point in points if point.life == life]
        role = of_it[-1].role
        if role == "job" or of_it[-1].at_s < last_s:
            continue
        since_s = max(run_s / 2, of_it[0].at_s + run_s * SETTLED_AFTER)
        line = [(point.at_s, float(point.pss)) for point in of_it if since_s <= point.at_s <= run_s]
        what = f"memory of {role} {life.pid}"
        if len(line) < MIN_POINTS:
            verdicts.append(Verdict(what=what, limit="level", measured=f"too few samples ({len(line)})", ok=None))
            continue
        span_s, mean = line[-1][0] - line[0][0], sum(y for _, y in line) / len(line)
        per_s = slope(line)
        limit = max(MAX_RISE_SHORT_BYTES if run_s < SHORT_RUN_S else MAX_RISE_BYTES, MAX_RISE_SHARE * mean)
        verdicts.append(
            Verdict(
                what=what,
                limit=f"rise <= {limit / 1e6:.1f} MB in {span_s:.0f} s",
                measured=f"{per_s * span_s / 1e6:+.2f} MB ({per_s * 3600 / 1e6:+.1f} MB/h) at {mean / 1e6:.1f} MB PSS,"
                f" {of_it[-1].rss / 1e6:.1f} MB RSS",
                ok=per_s * span_s <= limit,
            )
        )
    return verdicts


def descriptor_verdicts(before: list[Point], after: list[Point]) -> list[Verdict]:
    """For each kind of process: the most that one has when the load is over, against before it began."""
    verdicts = []
    for role in ("supervisor", "worker", "feeds"):
        had = max((point.descriptors for point in before if point.role == role), default=0)
        has = max((point.descriptors for point in after if point.role == role), default=0)
        verdicts.append(
            Verdict(
                what=f"descriptors of {role}",
                limit=f"<= {had + MORE_DESCRIPTORS}",
                measured=f"{has}, {had} before",
                ok=0 < has <= had + MORE_DESCRIPTORS,
            )
        )
    return verdicts


def process_verdict(before: list[Point], after: list[Point], left: list[Life]) -> Verdict:
    """As many processes when the load is over as before it began, and none once the resolver has ended."""
    had, has = len([point for point in before if point.role != "job"]), len(after)
    return Verdict(
        what="processes",
        limit=f"{had} after the load, 0 after the end",
        measured=f"{has} after the load, {len(left)} after the end",
        ok=had == has and not left,
    )


def drops_verdict(drops: dict[int, int], counted: int, *, sockets_may_change: bool) -> Verdict:
    """What the kernel has dropped, against what the resolver says of it. Of a closed socket the last may be missing."""
    kernel = sum(drops.values())
    return Verdict(
        what="datagrams that the kernel dropped",
        limit="as many as pdns_dropped_total says",
        measured=f"{kernel:,}, and {counted:,}",
        ok=bool(drops) and (kernel == counted or (sockets_may_change and kernel < counted)),
    )


def disk_verdict(disk: list[tuple[float, int]], before: int) -> Verdict:
    """The most that the state directory ever took, against what it took when the lists had been loaded."""
    most, limit = max((size for _, size in disk), default=0), before * DISK_GROWTH + DISK_SLACK_BYTES
    return Verdict(
        what="disk of the state directory",
        limit=f"<= {limit / 1e6:.1f} MB",
        measured=f"{most / 1e6:.1f} MB at most, {before / 1e6:.1f} MB before",
        ok=most <= limit,
    )
