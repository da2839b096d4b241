"""Measures each peer: start, memory of the list, and the same four paths with the same packets as ours."""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from loadtest import goals, packets, process, programs, traffic
from loadtest.loopback import Address
from loadtest.peers.peer import Peer
from loadtest.peers.start import PeerError, PeerProcess, is_blocked, is_forwarded, started
from loadtest.population import Population
from loadtest.results import PeerPath, PeerResult
from loadtest.server import ask
from pdns.wire import protocol as p

ASKED_FOR_MEMORY = 2_000
_MOST_QUERIES = 300_000  # more than any peer answers in one round
_ECHO_QUERIES = 60_000
_ANSWER_TIMEOUT_S = 10.0  # for a first answer once it has started
_SETTLED_SHARE, _SETTLE_STEP_S, _SETTLE_MOST_S = 0.05, 0.25, 15.0
_SAMPLED = 20  # answers that are looked into, each path
_FEW, _MOST = 0.01, 0.99  # of the answers
PATHS = (goals.HIT, goals.BLOCKED_SEEN, goals.BLOCKED_FIRST, goals.FORWARD)


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """What peers are measured with: the same for all of them."""

    directory: Path
    authority: programs.Server
    echo: programs.Server
    server_core: int | None
    generator_core: int | None
    people: Population
    listed: Path
    round_s: float
    start_timeout_s: float  # how long each may take to its first blocked answer

    def stream_file(self, key: str) -> Path:
        """The queries of a path; written once, since no two peers share a memory."""
        file = self.directory / f"queries-{key}"
        if not file.exists():
            packets.write(file, _STREAMS[key](self.people, _MOST_QUERIES, _SEED))
        return file

    def warm_up_file(self, key: str) -> Path | None:
        """What is sent before the path is measured; None for a path of names that are new."""
        file = self.directory / f"warm-up-{key}"
        if key not in _WARM_UPS:
            return None
        if not file.exists():
            packets.write(file, _WARM_UPS[key](self.people))
        return file


_SEED = 77
_STREAMS: dict[str, Callable[[Population, int, int], Iterator[bytes]]] = {
    goals.HIT.key: traffic.hits,
    goals.BLOCKED_SEEN.key: traffic.blocked_seen,
    goals.BLOCKED_FIRST.key: traffic.blocked_first_sight,
    goals.FORWARD.key: traffic.never_seen,
}
_WARM_UPS: dict[str, Callable[[Population], Iterator[bytes]]] = {
    goals.HIT.key: lambda people: map(packets.query, people.benign),
    goals.BLOCKED_SEEN.key: traffic.every_blocked_seen,
}


def measure(field: Field, peer: Peer) -> PeerResult:
    """Never raises for what the peer does: a problem is part of the result."""
    result = PeerResult(name=peer.name, package=peer.package, list_form=peer.list_form, version="")
    if peer.path() is None:
        return msgspec.structs.replace(result, problem=f"not installed: apt install {peer.package}")
    directory = field.directory / peer.name
    result = msgspec.structs.replace(result, version=peer.version())
    try:
        with _started(field, peer, directory / "with", listed=True) as server:
            start_s = server.wait_blocked(field.people.listed[0], field.start_timeout_s)
            server.wait_forwarded(field.people.benign[0], time.monotonic() - server.started_s + _ANSWER_TIMEOUT_S)
            result = msgspec.structs.replace(result, start_s=start_s)
            _settle(server)
            with_list = _memory(field, server)
            if field.server_core is not None:
                process.pin(server.process.pid, field.server_core)
            result = msgspec.structs.replace(result, paths=[_path(field, server, path) for path in PATHS])
        with _started(field, peer, directory / "without", listed=False) as server:
            server.wait_forwarded(field.people.benign[0], _ANSWER_TIMEOUT_S)
            return msgspec.structs.replace(result, list_bytes=with_list - _memory(field, server))
    except (PeerError, programs.GeneratorError, OSError) as error:
        return msgspec.structs.replace(result, problem=str(error))


@contextlib.contextmanager
def _started(field: Field, peer: Peer, directory: Path, *, listed: bool) -> Iterator[PeerProcess]:
    try:
        with started(peer, directory, field.authority.address, field.listed if listed else None) as server:
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


def _path(field: Field, server: PeerProcess, path: goals.QueryPath) -> PeerPath:
    warm_up, file = field.warm_up_file(path.key), field.stream_file(path.key)
    if warm_up is not None:
        _generate(field, server.address, warm_up, None, seconds=10)
    echo_us = [_echo_cpu_us(field, file)]
    forwarded_before, cpu_before = field.authority.answered(), server.cpu_s()
    run = _generate(field, server.address, file, _MOST_QUERIES, seconds=field.round_s)
    cpu_us = (server.cpu_s() - cpu_before) / max(1, run.received) * 1e6
    forwarded = (field.authority.answered() - forwarded_before) / max(1, run.received)
    echo_us.append(_echo_cpu_us(field, file))
    echo_cpu_us = sum(echo_us) / len(echo_us)
    return PeerPath(
        key=path.key,
        queries=run.received,
        cpu_us=cpu_us,
        echo_cpu_us=echo_cpu_us,
        ratio=cpu_us / echo_cpu_us,
        answers_per_s=run.answers_per_s,
        lost=run.lost,
        rcodes=run.rcodes,
        forwarded=forwarded,
        not_as_meant=_not_as_meant(path, run, forwarded, _sample(server, file)),
    )


def _not_as_meant(path: goals.QueryPath, run: programs.Run, forwarded: float, sample: list[bytes | None]) -> str:
    """Why the number of this path is of something else; empty when it is of what the path says."""
    if run.received == 0 or run.lost > run.sent * _FEW:
        return f"{run.lost:,} of {run.sent:,} queries without an answer"
    if path is goals.FORWARD and forwarded < _MOST:
        return f"only {forwarded:.1%} of the answers came from the upstream"
    if path is not goals.FORWARD and forwarded > _FEW:
        return f"{forwarded:.1%} of the queries were forwarded"
    blocked = path in (goals.BLOCKED_SEEN, goals.BLOCKED_FIRST)
    wanted = {p.NOERROR, p.NXDOMAIN} if blocked else {p.NOERROR}
    odd = {code: count for code, count in run.rcodes.items() if code not in wanted}
    if sum(odd.values()) > run.received * _FEW:
        return f"answers with rcode {', '.join(map(str, sorted(odd)))}"
    wrong = sum(answer is None or not (is_blocked if blocked else is_forwarded)(answer) for answer in sample)
    return f"{wrong} of {len(sample)} answers are not {'a block' if blocked else 'of the upstream'}" if wrong else ""


def _sample(server: PeerProcess, file: Path) -> list[bytes | None]:
    """Answers to queries of the path, asked one at a time, to be looked into."""
    queries = [wire for _, wire in zip(range(_SAMPLED), packets.read(file), strict=False)]
    ids = random.Random(_SEED)
    return [ask(server.address, ids.randbytes(2) + wire[2:]) for wire in queries]


def _echo_cpu_us(field: Field, file: Path) -> float:
    cpu_before = process.cpu_s(field.echo.pid)
    run = _generate(field, field.echo.address, file, _ECHO_QUERIES, seconds=5)
    return (process.cpu_s(field.echo.pid) - cpu_before) / max(1, run.received) * 1e6


def _generate(field: Field, to: Address, file: Path, count: int | None, seconds: float) -> programs.Run:
    return programs.generate(programs.generator_command(to, file, count=count, seconds=seconds), field.generator_core)
