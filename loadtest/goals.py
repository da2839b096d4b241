"""What is measured, and what it must be: the design's numbers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

AVERAGE_MIX_PER_S = 4_300.0  # a week's 2.6 bn queries
OFFERED_MIX_PER_S = 53_000.0  # the same at the published peak-to-average ratio
_MB = 1e6


class QueryPath(msgspec.Struct, frozen=True, kw_only=True):
    """One way of a query through the server."""

    key: str
    title: str
    sources: frozenset[str]  # what pdns_responses_total must call its answers
    max_ratio: float  # CPU time per query, with the bare echo as 1


HIT = QueryPath(key="hit", title="forwarded answer from cache", sources=frozenset({"cache"}), max_ratio=1.15)
BLOCKED_SEEN = QueryPath(key="blocked_seen", title="blocked name, seen before", sources=frozenset({"blocked"}), max_ratio=1.15)
BLOCKED_FIRST = QueryPath(key="blocked_first", title="blocked name, first sight", sources=frozenset({"blocked"}), max_ratio=1.5)
FORWARD = QueryPath(key="forward", title="forward a name never seen", sources=frozenset({"upstream"}), max_ratio=2.5)
MIX = QueryPath(
    key="mix", title="mix: 99.9 % benign, 90 % hits", sources=frozenset({"cache", "upstream", "blocked"}), max_ratio=1.25
)
PATHS = (HIT, BLOCKED_SEEN, BLOCKED_FIRST, FORWARD, MIX)

MAX_NAME_BYTES = 16.0  # of a listed name, in all mapped files together, on real lists
MAX_START_S = 0.5
MAX_WORKER_BYTES = 30 * _MB  # PSS, without a list
MAX_OFFERED_P99_US = 1000.0
MAX_P99_9_DURING_REFRESH = 1.25  # "unchanged": two runs of the same load differ by that much


def max_ratio(key: str) -> float:
    """What a path may cost. Raises `KeyError` for an unknown one."""
    return {path.key: path.max_ratio for path in PATHS}[key]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One goal: what it asks, what was measured, whether it is met."""

    goal: str
    measured: str
    met: bool
    usable: bool = True  # False: the machine was so busy that neither may be said

    def unless(self, doubts: Sequence[str]) -> Verdict:
        """The same; not usable when there are `doubts`."""
        return msgspec.structs.replace(self, usable=self.usable and not doubts)


def ratio_verdict(path: QueryPath, ratio: float) -> Verdict:
    """CPU time per query against the echo."""
    return Verdict(goal=f"≤ {path.max_ratio:g} x echo", measured=f"{ratio:.2f} x echo", met=ratio <= path.max_ratio)


def offered_verdict(offered: int, lost: int, p99_us: float) -> Verdict:
    """The mix at 53,000 queries a second. `lost` includes what the generator could not even send."""
    return Verdict(
        goal="p99 ≤ 1 ms, none lost",
        measured=f"p99 {p99_us / 1000:.2f} ms, {lost:,} of {offered:,} lost",
        met=p99_us <= MAX_OFFERED_P99_US and lost == 0,
    )


def memory_verdict(extra_bytes: float, listed: int) -> Verdict:
    """Memory that the list costs, scaled to a million names."""
    per_million = extra_bytes / listed * 1_000_000
    return Verdict(
        goal=f"≤ {MAX_NAME_BYTES:g} MB a million names",
        measured=f"{per_million / _MB:.1f} MB",
        met=per_million <= MAX_NAME_BYTES * _MB,
    )


def files_verdict(size: int, names: int) -> Verdict:
    """All files of a blockset that workers map, for each listed name."""
    each = size / max(1, names)
    return Verdict(goal=f"≤ {MAX_NAME_BYTES:g} bytes", measured=f"{each:.1f} bytes", met=each <= MAX_NAME_BYTES)


def worker_verdict(pss_bytes: float) -> Verdict:
    """A worker without a list."""
    return Verdict(
        goal=f"≤ {MAX_WORKER_BYTES / _MB:g} MB", measured=f"{pss_bytes / _MB:.1f} MB", met=pss_bytes <= MAX_WORKER_BYTES
    )


def start_verdict(seconds: float) -> Verdict:
    """From the start of the program to the first blocked answer, the blockset being on disk."""
    return Verdict(goal="≤ 0.5 s", measured=f"{seconds:.2f} s", met=seconds <= MAX_START_S)


def refresh_verdict(lost: int, before_p99_9_us: float, during_p99_9_us: float) -> Verdict:
    """The same load without and with a rebuild of the whole list in the background."""
    return Verdict(
        goal="none lost, p99.9 ≤ 1.25 x",
        measured=f"{lost:,} lost, p99.9 {before_p99_9_us / 1000:.2f} → {during_p99_9_us / 1000:.2f} ms",
        met=lost == 0 and during_p99_9_us <= before_p99_9_us * MAX_P99_9_DURING_REFRESH,
    )
