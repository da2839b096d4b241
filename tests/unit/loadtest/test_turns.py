"""Servers that take turns: who is asked what and when, and what is made of the slices."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loadtest import goals, population, programs, spread, turns
from loadtest.disturbance import Disturbance
from loadtest.programs import Latency, Run
from loadtest.traffic import PathTraffic, of_paths
from loadtest.turns import ECHO, Contender, Course, Slice, Turns

LATENCY = Latency(mean=1, p50=1, p90=1, p99=1, p99_9=1, max=1)
QUIET = Disturbance(stolen=0.0, others=0.0, waited=0.0)


def one_slice(cpu_us: float, disturbed: Disturbance = QUIET) -> Slice:
    run = Run(
        sent=100, received=100, lost=0, strange=0, question_differs=0, truncated=0, send_errors=0, elapsed_s=1, answers_per_s=100,
        generator_cpu_s=0.5, rcodes={0: 90, 3: 10}, latency_us=LATENCY,
    )  # fmt: skip
    return Slice(cpu_us=cpu_us, busy=1.0, forwarded=0.0, run=run, disturbed=disturbed)


def found(disturbed: Disturbance = QUIET, **costs: list[float]) -> Turns:
    slices = {name.replace("_", " "): [one_slice(cost, disturbed) for cost in of] for name, of in costs.items()}
    return Turns(slices=slices, problems={}, last_file=Path("none"))


def test_a_ratio_is_of_its_round() -> None:
    """A machine that is twice as slow in one round changes no ratio; a server that ended has the ratios of its rounds."""
    of = found(bare_echo=[2.0, 4.0, 2.0], ours=[3.0, 6.0, 3.0], gone=[5.0])
    assert of.ratios("ours") == [1.5, 1.5, 1.5]
    assert of.ratios("gone") == [2.5]
    assert of.doubts("ours") == []
    assert of.doubts(ECHO) == ["rounds differ by ±33%"]
    assert of.rcodes("ours") == {0: 270, 3: 30}


def test_a_busy_machine_is_said_to_be_busy() -> None:
    """Each kind of disturbance is a doubt of its own, with how much it was."""
    busy = Disturbance(stolen=0.06, others=0.3, waited=0.11)
    assert found(busy, bare_echo=[2.0, 2.0], ours=[3.0, 4.0]).doubts("ours") == [
        "rounds differ by ±14%",
        "6% of the time was stolen by the hypervisor",
        "other programs took 30% of the cores",
        "the server waited 11% of the time for its core",
    ]


def test_half_of_the_interval_as_a_share() -> None:
    """With few rounds it is from least to most; with many the outermost do not count; none is no spread."""
    assert spread.half_width([0.9, 1.0, 1.1]) == pytest.approx(0.1)
    assert spread.half_width([1.0] * 8 + [5.0]) == 0.0
    assert spread.half_width([]) == 0.0


@pytest.mark.usefixtures("compiled")
def test_all_servers_get_the_same_queries_in_turn(tmp_path: Path) -> None:
    """Each round has new queries, which all servers get; another server begins each time; the warm-up is not sent to the echo."""
    people = population.generated(tmp_path, listed=100, benign=20, sample=100)
    path = next(each for each in of_paths(people) if each.path is goals.HIT)
    seeds: list[int] = []

    def stream(count: int, seed: int) -> object:
        seeds.append(seed)
        return path.stream(count, seed)

    with programs.serving("authority") as authority, programs.serving("echo") as echo:
        course = Course(directory=tmp_path, authority=authority, generator_core=None, rounds=3, queries=200, slice_s=1.0)
        contenders = [
            Contender(name=ECHO, pids=(echo.pid,), address=echo.address),
            Contender(name="authority", pids=(authority.pid,), address=authority.address),
        ]
        turns.warm_up(course, path, contenders)
        warmed = authority.answered()
        got = turns.take(course, PathTraffic(path.path, stream, None), contenders)  # type: ignore[arg-type]
    assert warmed == 3 * 20
    assert seeds == [0, 1, 2]
    assert [len(slices) for slices in got.slices.values()] == [3, 3]
    assert all(each.run.received == 200 and each.cpu_us > 0 for slices in got.slices.values() for each in slices)
    assert [each.forwarded for each in got.slices["authority"]] == [1.0, 1.0, 1.0]
    assert [each.forwarded for each in got.slices[ECHO]] == [0.0, 0.0, 0.0]


@pytest.mark.usefixtures("compiled")
def test_a_server_that_ends_is_left_out(tmp_path: Path) -> None:
    """The others go on, and the problem is said."""
    people = population.generated(tmp_path, listed=100, benign=20, sample=100)
    path = next(each for each in of_paths(people) if each.path is goals.HIT)
    gone = os.spawnv(os.P_WAIT, "/bin/true", ["true"])
    assert gone == 0
    with programs.serving("authority") as authority, programs.serving("echo") as echo:
        course = Course(directory=tmp_path, authority=authority, generator_core=None, rounds=2, queries=50, slice_s=1.0)
        contenders = [
            Contender(name="gone", pids=(2**22 - 1,), address=echo.address),
            Contender(name=ECHO, pids=(echo.pid,), address=echo.address),
        ]
        got = turns.take(course, path, contenders)
    assert got.slices["gone"] == []
    assert got.problems["gone"].startswith("it ended while it was measured")
    assert len(got.slices[ECHO]) == 2
