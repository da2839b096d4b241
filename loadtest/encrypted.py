"""Measures encrypted transports: what a query and a connection cost ours, bare servers in C and peers, in turn, in one run."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from loadtest import disturbance, packets, programs, traffic
from loadtest import encrypted_goals as goals
from loadtest.disturbance import Disturbance, Observation
from loadtest.encrypted_generate import SERVER_NAME, EncryptedRun, command, finish, generate, holding, start
from loadtest.encrypted_goals import BARE, HTTPS, QUIC, TLS, EncryptedPath
from loadtest.encrypted_results import BesideConnections, EncryptedCost, EncryptedResults, IdleMemory
from loadtest.encrypted_servers import EncryptedServer, all_started, allow_descriptors, ours
from loadtest.loopback import Address
from loadtest.peers.peer import Peer
from loadtest.population import Population
from loadtest.server import ServerError
from loadtest.spread import half_width
from pdns.demo import certificates

_QUERIES = 100_000  # in the file; a run begins again with it
_FEW = 0.01  # of the queries
_SETTLE_S = 0.3


class EncryptedPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How long to measure."""

    rounds: int
    slice_s: float  # of one path, one server, one round
    beside_s: float


QUICK = EncryptedPlan(rounds=3, slice_s=0.3, beside_s=1.5)
FULL = EncryptedPlan(rounds=7, slice_s=0.5, beside_s=4.0)


class EncryptedField(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for all servers."""

    directory: Path
    upstream: Address
    people: Population
    server_core: int | None
    generator_core: int | None
    plan: EncryptedPlan

    def file(self, name: str, make: Callable[[], Iterator[bytes]]) -> Path:
        """A file of queries, written once."""
        file = self.directory / name
        if not file.exists():
            packets.write(file, make())
        return file

    def hits(self) -> Path:
        """Popular names."""
        return self.file("encrypted-hits", lambda: traffic.hits(self.people, _QUERIES, 21))

    def every_name(self) -> Path:
        """Each popular name once."""
        return self.file("encrypted-names", lambda: map(packets.query, self.people.benign))


def measure(field: EncryptedField, peers: Sequence[Peer], only: str, log_step: Callable[[str], None]) -> EncryptedResults:
    """Never raises for what a server does: a problem is part of the result. `only` chooses by the keys of `encrypted_goals`."""
    notes: list[str] = []
    idle: list[IdleMemory] = []
    costs: list[EncryptedCost] = []
    wants = {key: only in ("encrypted", key) for key in (goals.IDLE, goals.BESIDE)}
    allow_descriptors(3 * goals.IDLE_CONNECTIONS)
    log_step("encrypted: start")
    with all_started(field.directory / "encrypted", field.upstream, peers, field.server_core, notes) as servers:
        if wants[goals.IDLE]:
            log_step(f"encrypted: memory of {goals.IDLE_CONNECTIONS:,} idle connections")
            idle = _idle(field, servers, notes)
        for path in goals.chosen(only):
            log_step(path.title)
            costs += _costs(field, path, [server for server in servers if path.transport in server.addresses])
    beside = []
    if wants[goals.BESIDE]:
        log_step(f"UDP beside {goals.NEW_PER_S:.0f} new TLS connections a second")
        beside = _beside_ours(field, notes)
    return EncryptedResults(costs=costs, idle=idle, beside=beside, notes=notes)


# ---- a path ----------------------------------------------------------------------------------------------------------


class _Slice(msgspec.Struct, frozen=True, kw_only=True):
    cpu_us: float
    busy: float
    run: EncryptedRun
    disturbed: Disturbance


def _costs(field: EncryptedField, path: EncryptedPath, servers: list[EncryptedServer]) -> list[EncryptedCost]:
    """The servers take turns in short slices, so that what disturbs the machine disturbs all of them."""
    slices: dict[str, list[_Slice]] = {server.name: [] for server in servers}
    problems: dict[str, str] = {}
    for number in range(field.plan.rounds):
        for at in range(len(servers)):
            server = servers[(at + number) % len(servers)]
            if server.name in problems:
                continue
            try:
                if number == 0:
                    _warm(field, server, path.transport)
                slices[server.name].append(_slice(field, path, server))
            except (programs.GeneratorError, OSError) as error:
                problems[server.name] = str(error)
    bare = slices.get(BARE, [])
    return [_cost(path, server.name, slices[server.name], bare, problems.get(server.name, "")) for server in servers]


def _warm(field: EncryptedField, server: EncryptedServer, transport: str) -> None:
    """Puts every name into the cache of the server."""
    path = EncryptedPath(key="", title="", transport=transport, connections=1 if transport == QUIC else 2, window=20)
    words = command(server.addresses[transport], field.every_name(), path, seconds=10, count=len(field.people.benign))
    generate(words, field.generator_core)


def _slice(field: EncryptedField, path: EncryptedPath, server: EncryptedServer) -> _Slice:
    words = command(
        server.addresses[path.transport], field.hits(), path, seconds=field.plan.slice_s
    )  # fmt: skip
    observed = Observation(server.pids[path.transport], [])
    before_s = server.cpu_s(path.transport)
    run = generate(words, field.generator_core)
    cpu_s = server.cpu_s(path.transport) - before_s
    return _Slice(
        cpu_us=cpu_s / max(1, run.received) * 1e6,
        busy=cpu_s / max(1e-6, run.elapsed_s),
        run=run,
        disturbed=observed.end(run.generator_cpu_s),
    )


def _cost(path: EncryptedPath, name: str, slices: list[_Slice], bare: list[_Slice], problem: str) -> EncryptedCost:
    ratios = [one.cpu_us / other.cpu_us for one, other in zip(slices, bare, strict=False) if other.cpu_us]
    runs = [each.run for each in slices if each.run.received] or []
    return EncryptedCost(
        key=path.key,
        server=name,
        cpu_us=min((each.cpu_us for each in slices), default=0.0),
        median_cpu_us=statistics.median(each.cpu_us for each in slices) if slices else 0.0,
        ratio=statistics.median(ratios) if ratios else 0.0,
        ratios=ratios,
        doubts=disturbance.doubts(half_width(ratios), disturbance.mean([each.disturbed for each in slices])),
        busy=statistics.median(each.busy for each in slices) if slices else 0.0,
        answer_bytes=statistics.median(run.answer_bytes for run in runs) if runs else 0.0,
        latency_us=_median_latency(runs),
        problem=problem or _not_as_meant(path, runs),
    )


def _median_latency(runs: list[EncryptedRun]) -> programs.Latency:
    fields = programs.Latency.__struct_fields__
    return programs.Latency(**{
        field: statistics.median(getattr(run.latency_us, field) for run in runs) if runs else 0.0 for field in fields
    })  # fmt: skip


def _not_as_meant(path: EncryptedPath, runs: list[EncryptedRun]) -> str:
    """Why the number is of something else than the path says; empty when it is not."""
    sent, received = sum(run.sent for run in runs), sum(run.received for run in runs)
    if received == 0:
        return "no answers"
    if (missing := sent - received) > sent * _FEW:
        return f"{missing:,} of {sent:,} queries without an answer"
    if strange := sum(run.strange + run.question_differs + run.http_errors for run in runs):
        return f"{strange:,} answers to something else"
    if received - sum(run.rcodes.get(0, 0) for run in runs) > received * _FEW:
        return "answers that are not NOERROR"
    if not path.new and (ended := sum(run.ended for run in runs)):
        return f"{ended:,} connections were ended by the server"
    resumed, handshakes = sum(run.resumed for run in runs), sum(run.handshakes for run in runs)
    if path.resume and resumed < handshakes / 2:
        return f"only {resumed:,} of {handshakes:,} connections were resumed"
    return ""


# ---- idle connections, and UDP beside new ones -----------------------------------------------------------------------


def _idle(field: EncryptedField, servers: list[EncryptedServer], notes: list[str]) -> list[IdleMemory]:
    """Before anything else, and those of one transport beside those of the other: memory that is free again would hide them."""
    found, count = [], goals.IDLE_CONNECTIONS
    for server in servers:
        with contextlib.ExitStack() as stack:
            for transport in (TLS, HTTPS):
                if transport not in server.addresses:
                    continue
                try:
                    _warm(field, server, transport)
                    before = server.memory(transport)
                    stack.enter_context(
                        holding(server.addresses[transport], field.every_name(), transport, count, field.generator_core)
                    )
                    time.sleep(_SETTLE_S)
                    taken = server.memory(transport) - before
                except (programs.GeneratorError, OSError) as error:
                    notes.append(f"idle connections of {server.name}, {transport}: {error}")
                    continue
                found.append(IdleMemory(server=server.name, transport=transport, connection_bytes=taken / count))
    return found


def _beside_ours(field: EncryptedField, notes: list[str]) -> list[BesideConnections]:
    """One worker a core and nothing pinned, as in service. The clients that connect run when nothing else wants to."""
    directory = field.directory / "beside"
    directory.mkdir(parents=True)
    files = certificates.self_signed(directory, SERVER_NAME)
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(ours(directory / "ours", field.upstream, files, (TLS,), workers=0))
        except ServerError as error:
            notes.append(f"UDP beside new connections: {str(error).splitlines()[0]}")
            return []
        return [_beside(field, server)]


def _beside(field: EncryptedField, server: EncryptedServer) -> BesideConnections:
    assert server.udp is not None
    seconds, rate = field.plan.beside_s, goals.BESIDE_UDP_PER_S
    programs.generate(programs.generator_command(server.udp, field.every_name(), progress=False))
    asks = programs.generator_command(
        server.udp, field.hits(), count=int(rate * seconds), rate=rate, seconds=seconds + 0.5, progress=False
    )  # fmt: skip
    path = msgspec.structs.replace(goals.DOT_NEW, connections=200)
    connects = command(
        server.addresses[TLS], field.hits(), path, seconds=seconds + 0.5, rate=goals.NEW_PER_S
    )  # fmt: skip
    alone, beside, per_s = [], [], []
    for _ in range(field.plan.rounds):
        alone.append(programs.generate(asks).latency_us.p99)
        others = start(connects, None, idle=True)
        time.sleep(0.2)
        beside.append(programs.generate(asks).latency_us.p99)
        run = finish(others)
        per_s.append(run.handshakes / max(1e-6, run.elapsed_s))
    return BesideConnections(
        server=server.name,
        alone_us=statistics.median(alone),
        beside_us=statistics.median(beside),
        ratio=statistics.median(one / other for one, other in zip(beside, alone, strict=True)),
        connections_per_s=statistics.median(per_s),
    )
