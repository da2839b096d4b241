"""Which faults happen when. Pure: the same seed plans the same week."""

from __future__ import annotations

import random
from typing import Literal, NamedTuple

Series = Literal["upstream", "feeds", "processes"]

STOP_S = 1.5  # of a worker: noticed by clients, not by the supervisor
HANG_S = 30.0  # at most: the supervisor kills it after 10 s
PROCESSES_UNTIL = 2 / 3  # of the run: after that no worker is touched, so that its memory can be seen to be level
_LEAD_S = 1.0
_LEAST_GAP_S = {"upstream": 3.0, "feeds": 4.0, "processes": 2.5}


class Kind(NamedTuple):
    """A fault. `least_run_s`: a shorter run has no time for it."""

    name: str
    series: Series
    what: str
    may_lose: bool = False  # queries may go without an answer
    least_run_s: float = 0.0


KINDS = (
    Kind("one silent", "upstream", "one of two upstreams answers nothing"),
    Kind("truncating", "upstream", "both upstreams truncate over UDP, and answer over TCP"),
    Kind("all servfail", "upstream", "both upstreams answer SERVFAIL"),
    Kind("one gone", "upstream", "one of two upstreams has closed its port"),
    Kind("all slow", "upstream", "both upstreams take 0.6 s"),
    Kind("all silent", "upstream", "both upstreams answer nothing"),
    Kind("all gone", "upstream", "both upstreams have closed their ports"),
    Kind("list changes", "feeds", "names come to the file feed, others go"),
    Kind("http changes", "feeds", "the list over HTTP gets longer"),
    Kind("http 404", "feeds", "the list over HTTP is not found"),
    Kind("http page", "feeds", "an error page with status 200"),
    Kind("http empty", "feeds", "an empty body with status 200"),
    Kind("http cut", "feeds", "a body that ends in the middle"),
    Kind("http hangs", "feeds", "no answer over HTTP"),
    Kind("list empty", "feeds", "the file feed is empty for a while"),
    Kind("kill worker", "processes", "SIGKILL to a worker", may_lose=True),
    Kind("reload", "processes", "SIGHUP with a changed file"),
    Kind("stop worker", "processes", f"SIGSTOP to a worker for {STOP_S:g} s", may_lose=True),
    Kind("broken reload", "processes", "SIGHUP with a file that is no TOML"),
    Kind("rolling restart", "processes", "SIGUSR2: each worker is replaced by a new one"),
    Kind("kill feeds", "processes", "SIGKILL to the feeds process"),
    Kind("hang worker", "processes", "SIGSTOP to a worker until the supervisor replaces it", may_lose=True, least_run_s=100.0),
)


class Planned(NamedTuple):
    """A planned fault. It begins at `at_s` of the run; `hold_s` is its length where the test decides that."""

    at_s: float
    kind: Kind
    hold_s: float


def plan(run_s: float, seed: int, *, without: frozenset[str] = frozenset()) -> list[Planned]:
    """The faults of each series follow each other in rounds, and each kind comes once in a round: as in the table, then shuffled.

    In an hour each series has one about every minute. A few minutes have each kind about once, some seconds only the first ones.
    """
    rng = random.Random(f"faults {seed}")
    planned = []
    for series, least_gap_s in _LEAST_GAP_S.items():
        kinds = [kind for kind in KINDS if kind.series == series and kind.name not in without and run_s >= kind.least_run_s]
        until_s = run_s * (PROCESSES_UNTIL if series == "processes" else 0.93)
        gap_s = min(60.0, max(least_gap_s, (until_s - _LEAD_S) / (len(kinds) + 0.5)))
        at_s, waiting = _LEAD_S + gap_s * rng.uniform(0.1, 0.5), list(kinds)
        while at_s < until_s:
            hold_s = min(gap_s * 0.5, rng.uniform(2.0, 12.0))
            planned.append(Planned(at_s, waiting.pop(0), hold_s))
            if not waiting:
                waiting = rng.sample(kinds, len(kinds))
            at_s += gap_s * rng.uniform(0.85, 1.15)
    return sorted(planned)
