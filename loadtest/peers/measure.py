"""Measures each peer: start, memory of the list, and its part of the paths on which all servers take turns."""

from __future__ import annotations

import contextlib
import random
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from loadtest import goals, packets, process, programs, traffic
from loadtest.loopback import Address
from loadtest.peers.peer import Peer
from loadtest.peers.start import PeerError, PeerProcess, is_blocked, is_forwarded, started
from loadtest.population import Population
from loadtest.results import PeerPath, PeerResult
from loadtest.server import ask, last_lines
from loadtest.turns import Contender, Turns
from pdns.wire import protocol as p

ASKED_FOR_MEMORY = 2_000
_ANSWER_TIMEOUT_S = 10.0  # for a first answer once it has started
_SETTLED_SHARE, _SETTLE_STEP_S, _SETTLE_MOST_S = 0.05, 0.25, 15.0
_SAMPLED = 20  # answers that are looked into, each path
_SAMPLE_SEED = 77
_FEW, _MOST = 0.01, 0.99  # of the answers
_FORWARDED = {  # least and most, for each answer; a question asked twice of the upstream is no fault
    goals.HIT.key: (0.0, _FEW),
    goals.BLOCKED_SEEN.key: (0.0, _FEW),
    goals.BLOCKED_FIRST.key: (0.0, _FEW),
    goals.FORWARD.key: (_MOST, 10.0),
    goals.MIX.key: (0.05, 0.2),
}


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """What peers are measured with: the same for all of them."""

    directory: Path
    upstream: Address
    server_core: int | None
    generator_core: int | None
    people: Population
    listed: Path
    start_timeout_s: float  # how long each may take to its first blocked answer


class RunningPeer(msgspec.Struct, kw_only=True):
    """One that takes part, or has a problem."""

    peer: Peer
    result: PeerResult
    server: PeerProcess | None = None
    with_list: int = 0  # PSS

    @property
    def contender(self) -> Contender | None:
        """As what it takes turns; None while it cannot."""
        if self.server is None or self.result.problem is not None:
            return None
        return Contender(name=self.peer.name, pids=(self.server.process.pid,), address=self.server.address)

    def add(self, path: goals.QueryPath, found: Turns) -> None:
        """Its part of a path that was measured. One that ended takes part no more."""
        name = self.peer.name
        if self.contender is None or self.server is None:
            return
        if name in found.problems:
            self.result = msgspec.structs.replace(self.result, problem=f"{found.problems[name]}{last_lines(self.server.log)}")
        if found.slices[name]:
            sample = _sample(self.server, found.last_file)
            self.result = msgspec.structs.replace(self.result, paths=[*self.result.paths, path_of(path, name, found, sample)])


@contextlib.contextmanager
def all_running(field: Field, peers: Sequence[Peer], log_step: Callable[[str], None]) -> Iterator[list[RunningPeer]]:
    """Each is started, with the list, when the one before is idle; all are killed on leaving. Never raises for what one does."""
    with contextlib.ExitStack() as stack:
        running = []
        for peer in peers:
            log_step(peer.name)
            running.append(_run(field, peer, stack))
        yield running


def _run(field: Field, peer: Peer, stack: contextlib.ExitStack) -> RunningPeer:
    result = PeerResult(name=peer.name, package=peer.package, list_form=peer.list_form, version="")
    if peer.path() is None:
        return RunningPeer(peer=peer, result=msgspec.structs.replace(result, problem=f"not installed: {peer.install}"))
    result = msgspec.structs.replace(result, version=peer.version())
    own = stack.enter_context(contextlib.ExitStack())
    try:
        server = own.enter_context(_started(field, peer, field.directory / peer.name / "with", listed=True))
        start_s = server.wait_blocked(field.people.listed[0], field.start_timeout_s)
        server.wait_forwarded(field.people.benign[0], time.monotonic() - server.started_s + _ANSWER_TIMEOUT_S)
        _settle(server)
        with_list = _memory(field, server)
        if field.server_core is not None:
            process.pin(server.process.pid, field.server_core)
    except (PeerError, programs.GeneratorError, OSError) as error:
        own.close()
        return RunningPeer(peer=peer, result=msgspec.structs.replace(result, problem=str(error)))
    return RunningPeer(peer=peer, result=msgspec.structs.replace(result, start_s=start_s), server=server, with_list=with_list)


def without_list(field: Field, ran: RunningPeer) -> PeerResult:
    """What became of a peer that ran, and what the list takes of its memory: it is started again without one."""
    if ran.contender is None:
        return ran.result
    try:
        with _started(field, ran.peer, field.directory / ran.peer.name / "without", listed=False) as server:
            server.wait_forwarded(field.people.benign[0], _ANSWER_TIMEOUT_S)
            return msgspec.structs.replace(ran.result, list_bytes=ran.with_list - _memory(field, server))
    except (PeerError, programs.GeneratorError, OSError) as error:
        return msgspec.structs.replace(ran.result, problem=str(error))


@contextlib.contextmanager
def _started(field: Field, peer: Peer, directory: Path, *, listed: bool) -> Iterator[PeerProcess]:
    try:
        with started(peer, directory, field.upstream, field.listed if listed else None) as server:
            yield server
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _settle(server: PeerProcess) -> None:
    """Waits, not for ever, until it does nothing any more: some go on to work on the list when they already answer."""
    deadline = time.monotonic() + _SETTLE_MOST_S
    before = server.cpu_s()
    while time.monotonic() < deadline:
        time.sleep(_SETTLE_STEP_S)
        now = server.cpu_s()
        if now - before < _SETTLED_SHARE * _SETTLE_STEP_S:
            return
        before = now


def _memory(field: Field, server: PeerProcess) -> int:
    """PSS after a few blocked queries, as for ours."""
    file = field.directory / "memory-packets"
    if not file.exists():
        packets.write(file, traffic.blocked_first_sight(field.people, ASKED_FOR_MEMORY, seed=99))
    _generate(field, server.address, file, ASKED_FOR_MEMORY, seconds=5)
    server.check_alive()
    return process.memory(server.process.pid).pss


def path_of(path: goals.QueryPath, name: str, found: Turns, sample: Sequence[bytes | None]) -> PeerPath:
    """One path of the peer called `name`, which has slices. `sample`: some of its answers."""
    slices, ratios = found.slices[name], found.ratios(name)
    runs = [each.run for each in slices]
    forwarded = sum(each.forwarded * each.run.received for each in slices) / max(1, sum(run.received for run in runs))
    return PeerPath(
        key=path.key,
        queries=sum(run.received for run in runs),
        cpu_us=min(each.cpu_us for each in slices),
        median_cpu_us=found.median(name, lambda one: one.cpu_us),
        ratio=statistics.median(ratios) if ratios else 0.0,
        ratios=ratios,
        disturbed=found.disturbed(name),
        doubts=found.doubts(name),
        answers_per_s=found.median(name, lambda one: one.run.answers_per_s),
        lost=sum(run.lost for run in runs),
        rcodes=found.rcodes(name),
        forwarded=forwarded,
        not_as_meant=_not_as_meant(path, runs, forwarded, sample),
    )


def _not_as_meant(path: goals.QueryPath, runs: Sequence[programs.Run], forwarded: float, sample: Sequence[bytes | None]) -> str:
    """Why the number of this path is of something else; empty when it is of what the path says."""
    received, lost, sent = (sum(getattr(run, field) for run in runs) for field in ("received", "lost", "sent"))
    if received == 0 or lost > sent * _FEW:
        return f"{lost:,} of {sent:,} queries without an answer"
    least, most = _FORWARDED[path.key]
    if forwarded < least:
        return f"only {forwarded:.1%} of the answers came from the upstream"
    if forwarded > most:
        return f"{forwarded:.1%} of the queries were forwarded"
    blocked = path in (goals.BLOCKED_SEEN, goals.BLOCKED_FIRST)
    wanted = {p.NOERROR, p.NXDOMAIN} if blocked else {p.NOERROR}
    odd = {code for run in runs for code in run.rcodes} - wanted
    if sum(run.rcodes.get(code, 0) for run in runs for code in odd) > received * _FEW:
        return f"answers with rcode {', '.join(map(str, sorted(odd)))}"
    if path is goals.MIX:
        return ""
    wrong = sum(answer is None or not (is_blocked if blocked else is_forwarded)(answer) for answer in sample)
    return f"{wrong} of {len(sample)} answers are not {'a block' if blocked else 'of the upstream'}" if wrong else ""


def _sample(server: PeerProcess, file: Path) -> list[bytes | None]:
    """Answers to queries of the path, asked one at a time, to be looked into."""
    queries = [wire for _, wire in zip(range(_SAMPLED), packets.read(file), strict=False)]
    ids = random.Random(_SAMPLE_SEED)
    return [ask(server.address, ids.randbytes(2) + wire[2:]) for wire in queries]


def _generate(field: Field, to: Address, file: Path, count: int | None, seconds: float) -> programs.Run:
    return programs.generate(programs.generator_command(to, file, count=count, seconds=seconds), field.generator_core)
