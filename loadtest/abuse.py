"""`python -m loadtest abuse`: what an honest client gets while others attack, beside what it got just before."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from loadtest import bench, build, packets, programs, server, tcpecho
from loadtest.attack import HONEST, random_names
from loadtest.client import ask_tcp
from loadtest.goals import Verdict
from loadtest.loopback import Address, free_port
from loadtest.notes import of_machine
from loadtest.packets import query
from loadtest.report import met
from loadtest.results import SystemInfo
from loadtest.server import Resolver
from pdns import __version__

LIMIT_PER_S: Final = 500  # as in deploy/pdns.toml
BURST: Final = 2000
ATTACKER_PER_S: Final = 367.0  # below the limit
HONEST_PER_S: Final = 100.0
HONEST_TCP_PER_S: Final = 50.0
ROUNDS: Final = 3  # of each measurement; the p99 is the median of theirs
MIN_ANSWERED: Final = 0.99
MAX_P99_RATIO: Final = 2.0
_CACHED_NAMES: Final = 50
_PATIENCE_S: Final = 5.0  # what a stub resolver waits
_READY_TIMEOUT_S: Final = 30.0
_BEGUN_S: Final = 1.0  # the attack has, before the honest client is looked at
_SETTLE_S: Final = 60.0  # after it, until what it left in flight is gone, at most
_GOOD_ANSWERS: Final = 20  # in a row: then it is as before
_CAPACITY_S: Final = 2.0
_REPOSITORY: Final = Path(__file__).resolve().parent.parent
_NOERROR = 0
_WIDTH: Final = 165


class Attack(NamedTuple):
    """One row. `kind` is what `loadtest.attack` plays."""

    key: str
    title: str
    kind: str
    clients: int
    per_s: float = ATTACKER_PER_S  # of each client
    tcp: bool = False  # the honest client comes over TCP, with a connection for each query
    flood: bool = False  # it may be more than the machine can do


ATTACKS: Final = (
    Attack("hang-1", "hanging names, 1 client", "hang", 1),
    Attack("hang-3", "hanging names, 3 clients", "hang", 3),
    Attack("hang-10", "hanging names, 10 clients", "hang", 10),
    Attack("hang-50", "hanging names, 50 clients", "hang", 50, flood=True),
    Attack("slow", "random names of a slow domain, 10 clients", "slow", 10),
    Attack("cache", "cache flooding, 10 clients", "flood", 10),
    Attack("tcp-idle", "6 x 200 idle TCP connections", "tcp-idle", 6, tcp=True),
    Attack("tcp-busy", "6 x 200 TCP connections, names that hang", "tcp-busy", 6, tcp=True),
    Attack("tcp-unread", "TCP, pipelining without reading, 6 clients", "tcp-unread", 6, tcp=True),
    Attack("hot", "one hot name, 10 clients", "hot", 10),
    Attack("steer", "names meant for one worker, 10 clients", "steer", 10),
    Attack("forged", "forged sources, 1,000 addresses", "forged", 1, per_s=20_000.0, flood=True),
    Attack("forged-own", "forged source: the honest client's, it asks over TCP", "forged-own", 1, per_s=2000.0, tcp=True),
)


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """The answers that the honest client got."""

    asked: int
    answered: int  # with NOERROR, not truncated
    p99_ms: float  # of those with an answer of any kind

    @property
    def answered_share(self) -> float:
        """Answered of asked."""
        return self.answered / max(1, self.asked)


class AbuseRow(msgspec.Struct, frozen=True, kw_only=True):
    """One attack."""

    key: str
    title: str
    attack_per_s: float  # queries that it sent
    before: Service
    during: Service
    bystander_before: Service  # what the same client gets from a server that is not attacked
    bystander_during: Service
    verdict: Verdict


class AbuseResults(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    when: str  # UTC, ISO 8601
    machine: SystemInfo
    version: str
    workers: int
    seconds: float  # of each round
    capacity_per_s: float  # what the resolver answered of the honest mix, in closed loop
    rows: list[AbuseRow]
    notes: list[str]


def chosen(keys: Sequence[str]) -> tuple[Attack, ...]:
    """The attacks of these keys, all of them for none. Raises `ValueError`."""
    known = {attack.key: attack for attack in ATTACKS}
    if unknown := [key for key in keys if key not in known]:
        raise ValueError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
    return tuple(attack for attack in ATTACKS if not keys or attack.key in keys)


def slower(before: Service, during: Service) -> float:
    """How much p99 has grown."""
    return during.p99_ms / max(before.p99_ms, 0.001)


def verdict(attack: Attack, before: Service, during: Service, remaining: float, bystander: float = 1.0) -> Verdict:
    """99 % answered and p99 at most twice what it was; in a flood, at least the share `remaining` answered.

    `bystander` is how much slower a server that is not attacked became on the same cores. That part is not the attack's.
    """
    ratio = slower(before, during) / max(bystander, 1.0)
    measured = f"{100 * during.answered_share:.1f} %, p99 x {ratio:.1f}"
    if attack.flood and remaining < 1:
        least = min(MIN_ANSWERED, remaining)
        return Verdict(goal=f"≥ {100 * least:.0f} % (flood)", measured=measured, met=during.answered_share >= least)
    fine = during.answered_share >= MIN_ANSWERED and ratio <= MAX_P99_RATIO
    return Verdict(goal=f"≥ {100 * MIN_ANSWERED:.0f} %, p99 ≤ {MAX_P99_RATIO:.0f} x", measured=measured, met=fine)


def run(attacks: Sequence[Attack], seconds: float, console: Console) -> AbuseResults:
    """Plays `attacks` against one `pdns serve`. Raises `ServerError`, `BuildError`, `GeneratorError`."""
    machine = bench.this_machine()
    workers = max(2, machine.cores)
    began_s = time.monotonic()

    def report_step(step: str) -> None:
        console.print(f"{time.monotonic() - began_s:5.0f} s  {step}", style="dim", highlight=False, markup=False)

    with (
        tempfile.TemporaryDirectory(prefix="pdns-abuse-") as name,
        programs.serving("authority") as authority,
        programs.serving("echo") as echo,
        tcpecho.started() as tcp_echo,
    ):
        directory = Path(name)
        with _resolver(directory, authority.address, workers) as resolver:
            resolver.wait_ready(_READY_TIMEOUT_S)
            report_step("what it can do")
            _honest_udp(resolver.address, directory, 1.0)  # fills the cache
            capacity = _capacity(directory, authority.address, workers)
            rows = []
            for attack in attacks:
                report_step(attack.title)
                both = (resolver.address, tcp_echo if attack.tcp else echo.address)
                rows.append(_row(attack, both, resolver, directory, seconds, capacity))
                _settle(resolver)
    return AbuseResults(
        when=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        machine=machine,
        version=__version__,
        workers=workers,
        seconds=seconds,
        capacity_per_s=capacity,
        rows=rows,
        notes=list(of_machine(machine)),
    )


def show(results: AbuseResults, console: Console) -> None:
    """Prints the table."""
    machine = results.machine
    console.print(
        f"\npdns {results.version}, {results.workers} workers; an honest client with {HONEST_PER_S:.0f} queries/s, or"
        f" {HONEST_TCP_PER_S:.0f} over TCP;\nlimit {LIMIT_PER_S} queries/s a client;"
        f" {results.capacity_per_s:,.0f} answers/s at most\n"
        f"{machine.cpu}, {machine.cores} cores, Linux {machine.kernel}, Python {machine.python};"
        f" load {machine.load_before:.1f} before; {results.when}\n",
        highlight=False,
        markup=False,
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for head in ("attack", "its queries/s", "answered before", "answered", "p99 before", "p99", "another's", "goal", ""):
        table.add_column(head, no_wrap=True, justify="left" if head in ("attack", "goal", "") else "right")
    for row in results.rows:
        bystander = slower(row.bystander_before, row.bystander_during)
        table.add_row(
            row.title, f"{row.attack_per_s:,.0f}",
            f"{100 * row.before.answered_share:.1f} %", f"{100 * row.during.answered_share:.1f} %",
            f"{row.before.p99_ms:.2f} ms", f"{row.during.p99_ms:.2f} ms", f"x {bystander:.1f}", row.verdict.goal,
            met(row.verdict),
        )  # fmt: skip
    console.print(table)
    for note in results.notes:
        console.print(f"note: {note}", style="yellow", highlight=False, markup=False)
    console.print("another's: p99 of a server that is not attacked, on the same cores, against before", style="dim")
    missed = sum(not row.verdict.met for row in results.rows)
    summary = f"{missed} of {len(results.rows)} goals missed" if missed else f"all {len(results.rows)} goals met"
    console.print(f"\n{summary}", style="bold red" if missed else "bold green", highlight=False)


def save(results: AbuseResults) -> Path:
    """Writes `results/abuse-<time>.json`. Returns its path."""
    bench.RESULTS_DIR.mkdir(exist_ok=True)
    file = bench.RESULTS_DIR / f"abuse-{results.when.replace(':', '')}.json"
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    return file


def main(attacks: Sequence[Attack], seconds: float) -> int:
    """Runs, prints, saves. Returns the exit status: 1 when a goal is missed, 2 when it could not be measured."""
    try:
        results = run(attacks, seconds, Console(stderr=True))
    except (build.BuildError, server.ServerError, programs.GeneratorError) as error:
        Console(stderr=True).print(f"abuse: {error}", style="red", markup=False, highlight=False)
        return 2
    console = Console()
    console.width = max(console.width, _WIDTH)
    show(results, console)
    print(f"\nwritten to {os.path.relpath(save(results))}")
    return 0 if all(row.verdict.met for row in results.rows) else 1


@contextlib.contextmanager
def _resolver(directory: Path, upstream: Address, workers: int, *, limited: bool = True) -> Iterator[Resolver]:
    listen, metrics = Address("127.0.0.1", free_port()), Address("127.0.0.1", free_port())
    state = directory / ("state" if limited else "unlimited")
    text = server.config_text(listen, metrics, upstream, state, None, workers)
    if limited:
        text += f"[rate_limit]\nqueries_per_s = {LIMIT_PER_S}\nburst = {BURST}\n"
    with server.started_by(directory, text, listen, metrics) as resolver:
        yield resolver


def _capacity(directory: Path, upstream: Address, workers: int) -> float:
    """What such a resolver answers of the honest mix at most, with a client on the same cores."""
    with _resolver(directory / "capacity", upstream, workers, limited=False) as resolver:
        resolver.wait_ready(_READY_TIMEOUT_S)
        packets.write(directory / "many", _honest_queries(200_000))
        return programs.generate(
            programs.generator_command(resolver.address, directory / "many", seconds=_CAPACITY_S, progress=False)
        ).answers_per_s


def _settle(resolver: Resolver) -> None:
    """Wait until the last attack has left nothing, or the next row would be compared with that. Raises `ServerError`."""
    until_s = time.monotonic() + _SETTLE_S
    while sum(resolver.scrape().get("pdns_in_flight", {}).values()):
        if time.monotonic() > until_s:
            raise server.ServerError(f"questions are in flight {_SETTLE_S:.0f} s after an attack{resolver.last_words()}")
        time.sleep(0.25)
    good = 0
    for wire in _honest_queries(10**6):
        answer = server.ask(resolver.address, wire)
        good = good + 1 if answer is not None and server.rcode(answer) == _NOERROR else 0
        if good == _GOOD_ANSWERS:
            return
        if time.monotonic() > until_s:
            raise server.ServerError(f"not as before {_SETTLE_S:.0f} s after an attack{resolver.last_words()}")


def _row(
    attack: Attack, both: tuple[Address, Address], resolver: Resolver, directory: Path, seconds: float, capacity: float
) -> AbuseRow:
    before, bystander_before = _honest(attack, both, directory, seconds)
    command = [sys.executable, "-m", "loadtest.attack", attack.kind, str(resolver.address.port), str(attack.clients)]
    lasts_s = _BEGUN_S + 2 * ROUNDS * seconds
    with subprocess.Popen(
        [*command, str(attack.per_s), str(lasts_s + _PATIENCE_S)], stdout=subprocess.PIPE, text=True, cwd=_REPOSITORY
    ) as attacker:
        time.sleep(_BEGUN_S)
        during, bystander_during = _honest(attack, both, directory, seconds)
        sent, _ = attacker.communicate()
    if attacker.returncode != 0:
        raise server.ServerError(f"{attack.key}: the attackers ended with {attacker.returncode}{resolver.last_words()}")
    attack_per_s = int(sent) / (lasts_s + _PATIENCE_S)
    remaining = capacity / (attack_per_s + HONEST_PER_S)
    return AbuseRow(
        key=attack.key,
        title=attack.title,
        attack_per_s=attack_per_s,
        before=before,
        during=during,
        bystander_before=bystander_before,
        bystander_during=bystander_during,
        verdict=verdict(attack, before, during, remaining, slower(bystander_before, bystander_during)),
    )


def _honest_queries(count: int) -> Iterator[bytes]:
    """Half of them for names that are in the cache, half for new ones."""
    fresh = random_names(b"\6honest\3zzz\0")
    for number in range(count):
        name = next(fresh) if number % 2 else b"\3www\3" + f"{number % _CACHED_NAMES:03}".encode() + b"\6honest\3zzz\0"
        yield query(name)


def _honest(attack: Attack, servers: Sequence[Address], directory: Path, seconds: float) -> list[Service]:
    """For each of `servers`, asked by turns, so many rounds of `seconds`: what was answered in all, and the median of their p99s.

    A single pause does not move a median.
    """
    measure = _honest_tcp if attack.tcp else _honest_udp
    turns = [[measure(server, directory, seconds) for server in servers] for _ in range(ROUNDS)]
    return [
        Service(
            asked=sum(one.asked for one in rounds),
            answered=sum(one.answered for one in rounds),
            p99_ms=statistics.median(one.p99_ms for one in rounds),
        )
        for rounds in zip(*turns, strict=True)
    ]


def _honest_udp(to: Address, directory: Path, seconds: float) -> Service:
    """The generator, a process of its own, from an address that no attacker has."""
    file = directory / "honest"
    count = packets.write(file, _honest_queries(int(HONEST_PER_S * seconds)))
    found = programs.generate(
        programs.generator_command(
            to, file, count=count, rate=HONEST_PER_S, seconds=seconds + 1, timeout_ms=int(_PATIENCE_S * 1000),
            progress=False,
        )
    )  # fmt: skip
    answered = found.rcodes.get(_NOERROR, 0) - found.truncated
    return Service(asked=found.sent, answered=max(0, answered), p99_ms=found.latency_us.p99 / 1000)


def _honest_tcp(to: Address, directory: Path, seconds: float) -> Service:  # noqa: ARG001 (as `_honest_udp`)
    """A connection for each query, each in the time that it is due, whatever became of those before."""

    async def one(wire: bytes, due_s: float) -> float | None:
        await asyncio.sleep(due_s - time.monotonic())
        answer = await ask_tcp(to, wire, _PATIENCE_S)
        good = answer is not None and server.rcode(answer) == _NOERROR
        return time.monotonic() - due_s if good else None

    async def all_of_them() -> list[float | None]:
        began_s = time.monotonic()
        wires = _honest_queries(max(1, int(HONEST_TCP_PER_S * seconds)))
        return await asyncio.gather(*(one(wire, began_s + number / HONEST_TCP_PER_S) for number, wire in enumerate(wires)))

    times = asyncio.run(all_of_them())
    good = sorted(each for each in times if each is not None)
    p99_s = good[min(len(good) - 1, int(len(good) * 0.99))] if good else _PATIENCE_S
    return Service(asked=len(times), answered=len(good), p99_ms=p99_s * 1000)


assert HONEST == "127.0.0.1"  # where the generator and `ask_tcp` send from
