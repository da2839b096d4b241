"""`python -m loadtest bench`: every path of a query against the bare echo and the peers; memory, start, refresh, latency."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from rich.console import Console

from loadtest import (
    build,
    disturbance,
    encrypted,
    encrypted_report,
    goals,
    history,
    lifecycle,
    nodecosts,
    offered,
    order,
    population,
    process,
    programs,
    report,
    server,
    traffic,
)
from loadtest.encrypted_results import EncryptedResults
from loadtest.loopback import Address
from loadtest.measure import OURS, QUICK, Bench, Plan, measure
from loadtest.notes import of_machine, of_paths
from loadtest.peers import measure as peers_measure
from loadtest.peers.peer import Peer
from loadtest.population import Population
from loadtest.results import PathResult, Results, SystemInfo
from loadtest.server import Resolver
from loadtest.turns import ECHO, Contender, Course
from pdns import __version__
from pdns.version import COMMIT

T = TypeVar("T")
RESULTS_DIR, LATEST = build.HERE / "results", "latest.json"
_FIRST_START_TIMEOUT_S = 180.0
_LISTED = 1_000_000


def run(plan: Plan, data: Path | None, peers: Sequence[Peer], console: Console) -> Results:
    """Measures everything. Raises `BuildError`, `ServerError` or `GeneratorError` when it cannot."""
    for name in (*build.PROGRAMS, *build.ENCRYPTED_PROGRAMS):
        build.program(name)
    server_core, generator_core = two_cores()
    machine = this_machine()
    notes = list(of_machine(machine))
    log_step = StepLog(console)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pdns-bench-")))
        log_step("names")
        people = population_of(plan, data)
        if data is not None and people.list_file.parent == build.BUILD_DIR:
            notes.append(f"{data} holds no list that is known here: the names are generated")
        feed = Path(shutil.copyfile(people.list_file, directory / "listed.txt"))
        authority = stack.enter_context(programs.serving("authority", generator_core))
        echo = stack.enter_context(programs.serving("echo", server_core))
        with server.started(directory / "with", authority.address, feed) as resolver:
            log_step(f"first start: reading and compiling {people.listed_count:,} names")
            from_text_s = resolver.wait_ready(_FIRST_START_TIMEOUT_S)
            lifecycle.pin(resolver, server_core)
            accelerated = _accelerated(resolver)
            bench = Bench(plan=plan, resolver=resolver, echo=echo, directory=directory, generator_core=generator_core)
            course = Course(
                directory=directory, authority=authority, generator_core=generator_core, rounds=plan.rounds, queries=plan.queries,
                slice_s=plan.slice_s,
            )  # fmt: skip
            field = peers_measure.Field(
                directory=directory, upstream=authority.address, server_core=server_core, generator_core=generator_core,
                people=people, listed=people.list_file, start_timeout_s=plan.peer_start_timeout_s,
            )  # fmt: skip
            with peers_measure.all_running(field, [peer for peer in peers if peer.list_form], log_step) as running:
                paths, echo_doubts = _paths(bench, course, people, running, log_step)
            log_step("refresh under load")
            rate = min(paths[0].answers_per_s / 4, goals.OFFERED_MIX_PER_S)
            refresh, busy = _beside_others(lambda: lifecycle.refresh(bench, people, feed, rate=rate))
            refresh = msgspec.structs.replace(refresh, verdict=refresh.verdict.unless(busy))
            notes += [f"unusable: refresh: {why}" for why in busy]
        log_step("start with the blockset on disk, and memory")
        start, busy = _beside_others(
            lambda: lifecycle.start(plan, directory / "with", authority.address, feed, people, from_text_s)
        )
        start = msgspec.structs.replace(start, verdict=start.verdict.unless(busy))
        notes += [f"unusable: start: {why}" for why in busy]
        memory, blockset = lifecycle.memory(directory, authority.address, feed, people, server_core, generator_core)
        log_step("the mix at 4,300 and 53,000 queries/s, one worker a core")
        at_rates, busy = _beside_others(lambda: offered.measure(plan, directory / "with", authority, feed, people))
        at_rates = [
            msgspec.structs.replace(each, verdict=each.verdict and each.verdict.unless(busy)) for each in at_rates
        ]  # fmt: skip
        notes += [f"unusable: mix at fixed rates: {why}" for why in busy]
        log_step("memory of each process and of a cached answer; forwarding over TLS")
        try:
            node = nodecosts.measure(directory / "node", authority.address, people, server_core, generator_core)
        except server.ServerError as error:  # a busy machine spoils this one, and the rest is still worth having
            node = None
            notes.append(f"memory of processes, forwarding over TLS: not measured: {str(error).splitlines()[0]}")
        over_tls = _encrypted(plan, directory, authority.address, people, peers, "encrypted", log_step)
        log_step("memory of the peers without the list")
        measured = [peers_measure.without_list(field, each) for each in running]
    notes += of_paths(paths)
    return Results(
        when=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        mode=plan.mode,
        rounds=plan.rounds,
        machine=machine,
        version=__version__,
        accelerated=accelerated,
        names=people.source,
        listed=people.listed_count,
        echo_cpu_us=statistics.median(path.echo_cpu_us for path in paths),
        echo_doubts=echo_doubts,
        paths=paths,
        offered=at_rates,
        memory=memory,
        blockset=blockset,
        start=start,
        refresh=refresh,
        node=node,
        encrypted=over_tls,
        peers=measured,
        seconds=log_step.elapsed_s(),
        notes=notes,
    )


def save(results: Results) -> Path:
    """Writes `results/<time>.json` and `results/latest.json`. Returns the path of the first."""
    RESULTS_DIR.mkdir(exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(results), indent=2)
    file = RESULTS_DIR / f"{results.when.replace(':', '')}.json"
    file.write_bytes(text + b"\n")
    (RESULTS_DIR / LATEST).write_bytes(text + b"\n")
    return file


def load(file: Path) -> Results:
    """What `save` wrote. Raises `OSError`, or `ValueError` for what another version wrote."""
    return msgspec.json.decode(file.read_bytes(), type=Results)


def main(plan: Plan, data: Path | None, peers: Sequence[Peer], *, record: bool = False, busy: bool = False) -> int:
    """Runs, prints, saves; `record`: in the history of the repository too. `busy`: beside a busy loop, compared instead of saved.

    Returns the exit status: 0 when everything was measured, met or missed; 1 also when servers changed places beside the loop.
    """
    last = None
    try:
        if busy:
            last = load(RESULTS_DIR / LATEST)
    except (OSError, ValueError) as error:
        Console(stderr=True).print(f"bench: no last bench to compare with: {error}", style="red", markup=False, highlight=False)
        return 1
    try:
        with order.busy_loop(two_cores()[1]) if busy else contextlib.nullcontext():
            results = run(plan, data, peers, Console(stderr=True))
    except (build.BuildError, server.ServerError, programs.GeneratorError) as error:
        Console(stderr=True).print(f"bench: {error}", style="red", markup=False, highlight=False)
        return 1
    console = Console()
    console.width = max(console.width, report.WIDTH)
    report.show(results, console)
    if results.encrypted is not None:
        encrypted_report.show(results.encrypted, console)
    if last is not None:
        changes = order.swapped(last, results)
        print("\n".join(changes) or f"the servers are in the order of {last.when} on every path")
        return 1 if changes else 0
    print(f"\nwritten to {os.path.relpath(save(results))}")
    if record:
        history.append(history.run_of(results, COMMIT))
        print(f"recorded in {os.path.relpath(history.HISTORY)} and {os.path.relpath(history.PAGE)}")
    return 0


def main_encrypted(plan: Plan, peers: Sequence[Peer], only: str) -> int:
    """Measures the encrypted transports alone, and of these the rows that `only` chooses; all for `encrypted`.

    Prints, and writes `results/encrypted-latest.json`. Returns the exit status, 0 also when a goal is missed.
    """
    log_step = StepLog(Console(stderr=True))
    try:
        for name in ("authority", "generator"):
            build.program(name)
        with (
            tempfile.TemporaryDirectory(prefix="pdns-bench-") as name,
            programs.serving("authority", two_cores()[1]) as authority,
        ):
            found = _encrypted(plan, Path(name), authority.address, population_of(plan, None), peers, only, log_step)
    except (build.BuildError, server.ServerError, programs.GeneratorError) as error:
        Console(stderr=True).print(f"bench: {error}", style="red", markup=False, highlight=False)
        return 1
    console = Console()
    console.width = max(console.width, report.WIDTH)
    encrypted_report.show(found, console)
    RESULTS_DIR.mkdir(exist_ok=True)
    (RESULTS_DIR / "encrypted-latest.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    return 0


def _encrypted(
    plan: Plan,
    directory: Path,
    upstream: Address,
    people: Population,
    peers: Sequence[Peer],
    only: str,
    log_step: StepLog,
) -> EncryptedResults:
    for name in build.ENCRYPTED_PROGRAMS:
        build.program(name)
    server_core, generator_core = two_cores()
    field = encrypted.EncryptedField(
        directory=directory, upstream=upstream, people=people, server_core=server_core, generator_core=generator_core,
        plan=encrypted.QUICK if plan is QUICK else encrypted.FULL,
    )  # fmt: skip
    return encrypted.measure(field, [peer for peer in peers if peer.encrypted], only, log_step)


def _beside_others(measure_it: Callable[[], T]) -> tuple[T, list[str]]:
    """What was measured, and why its latency is not to be used: the machine is looked at when it rests, before and after."""
    before = disturbance.at_rest()
    found = measure_it()
    return found, before or disturbance.at_rest()


def two_cores() -> tuple[int | None, int | None]:
    """One for the server, one for the generator; None where there is only one."""
    cores = process.cores()
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


class StepLog:
    """Prints one line for each step, with the time since the start."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def __call__(self, step: str) -> None:
        self._console.print(f"{self.elapsed_s():5.0f} s  {step}", style="dim", highlight=False, markup=False)


def _paths(
    bench: Bench, course: Course, people: Population, running: Sequence[peers_measure.RunningPeer], log_step: StepLog
) -> tuple[list[PathResult], list[str]]:
    """Every path, all servers in turn; the peers keep theirs. And why the yardstick is not to be trusted."""
    results, doubts = [], []
    ours = Contender(name=OURS, pids=(bench.resolver.worker(),), address=bench.resolver.address)
    echo = Contender(name=ECHO, pids=(bench.echo.pid,), address=bench.echo.address)
    for path_traffic in traffic.of_paths(people):
        log_step(path_traffic.path.title)
        others = [contender for each in running if (contender := each.contender) is not None]
        result, found = measure(bench, course, path_traffic, [echo, ours, *others])
        results.append(result)
        doubts += [f"{path_traffic.path.title}: {doubt}" for doubt in found.doubts(ECHO)]
        for each in running:
            each.add(path_traffic.path, found)
    return results, doubts


def population_of(plan: Plan, data: Path | None) -> Population:
    """The names that a bench asks for: those of the lists in `data`, or generated ones."""
    real = population.from_data(data, benign=plan.benign) if data is not None else None
    return real or population.generated(build.BUILD_DIR, listed=_LISTED, benign=plan.benign)


def _accelerated(resolver: Resolver) -> str:
    """What `pdns_build_info` says: yes or no. Raises `ServerError` when it says nothing."""
    for labels in resolver.scrape().get("pdns_build_info", {}):
        if says := dict(labels).get("accelerated"):
            return says
    raise server.ServerError("pdns_build_info has no label accelerated: see docs/metrics.md")


def this_machine() -> SystemInfo:
    """Where this runs, now."""
    cpu_info = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in cpu_info if line.startswith("model name")]
    return SystemInfo(
        cpu=models[0] if models else platform.machine(),
        cores=len(process.cores()),
        kernel=platform.release(),
        python=platform.python_version(),
        load_before=os.getloadavg()[0],
    )
