"""The history of benches: a line for each recorded run in a file, and the newest of them as the table of a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from loadtest import encrypted_goals, goals, pages
from loadtest.encrypted_goals import OURS
from loadtest.encrypted_results import EncryptedResults
from loadtest.report import ratio_text
from loadtest.results import NodeCosts, PathResult, PeerPath, PeerResult, Results, SystemInfo
from loadtest.server import REPOSITORY
from loadtest.spread import half_width

HISTORY: Final = REPOSITORY / "docs" / "performance-history.jsonl"
PAGE: Final = REPOSITORY / "docs" / "performance.md"
SHOWN_RUNS: Final = 20
_BEGIN, _END = "<!-- the newest runs -->\n", "<!-- end of the runs -->"
_PEERS_BEGIN, _PEERS_END = "<!-- the newest run, peers -->\n", "<!-- end of the peers -->"
_ENCRYPTED_BEGIN, _ENCRYPTED_END = "<!-- the newest runs, encrypted -->\n", "<!-- end of the encrypted runs -->"
_HEAD = ("run", "commit", "machine", "mode", "echo, µs", *(path.title for path in goals.PATHS))
_ENCRYPTED_HEAD = ("run", "commit", *(path.title for path in encrypted_goals.PATHS))


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """What `docs/sizing.md` needs of a bench besides CPU time. Bytes unless named otherwise."""

    list_memory: float  # of one listed name, in all workers together
    blockset: float  # of one listed name, on the disk
    compile_us: float  # wall time to read and compile one listed name, while queries are answered
    cached_answer: float
    processes: dict[str, int]
    forward_tls_us: float  # 0: not measured
    forward_https_us: float = 0.0  # 0: not measured


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """CPU time of a query on one path as a multiple of the bare echo: the median of the rounds, and what belongs to it."""

    median: float
    least: float
    most: float
    spread: float  # half of the interval in which the median lies nine times in ten, as a share
    usable: bool  # False: the machine was too busy


class PeerRun(msgspec.Struct, frozen=True, kw_only=True):
    """One of the other servers."""

    version: str
    ratios: dict[str, Ratio]  # by the key of the path; those of something else than the path means are left out


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One bench: where and of what it was, and what each path cost as a multiple of the bare echo."""

    when: str  # UTC, ISO 8601
    commit: str  # empty when it was not recorded
    version: str
    mode: str  # quick | full
    machine: SystemInfo
    echo_cpu_us: float
    ratios: dict[str, float]  # by the key of the path
    rounds: dict[str, Ratio] = {}  # the same with their rounds; runs before 2026-11-30 16:00 have none
    stolen: float = 0.0  # share of the time of all cores, the most of any path
    others: float = 0.0  # likewise, of other programs
    peers: dict[str, PeerRun] = {}
    encrypted: dict[str, float] = {}  # by the key of the path: with the bare server in C as 1
    sizes: Sizes | None = None  # runs before 2026-11-30 have none


def run_of(results: Results, commit: str) -> Run:
    """What the history keeps of a bench."""
    return Run(
        when=results.when,
        commit=commit,
        version=results.version,
        mode=results.mode,
        machine=results.machine,
        echo_cpu_us=round(results.echo_cpu_us, 3),
        ratios={path.key: round(path.ratio, 3) for path in results.paths},
        rounds={path.key: _ratio_of(path, results) for path in results.paths},
        stolen=round(max(path.disturbed.stolen for path in results.paths), 3),
        others=round(max(path.disturbed.others for path in results.paths), 3),
        peers={peer.name: _peer_of(peer, results) for peer in results.peers if peer.paths},
        encrypted=_encrypted_of(results.encrypted) if results.encrypted is not None else {},
        sizes=_sizes_of(results, results.node) if results.node is not None else None,
    )


def _ratio_of(path: PathResult | PeerPath, results: Results) -> Ratio:
    return Ratio(
        median=round(path.ratio, 3),
        least=round(min(path.ratios), 3),
        most=round(max(path.ratios), 3),
        spread=round(half_width(path.ratios), 3),
        usable=not path.doubts and not results.echo_doubts,
    )


def _peer_of(peer: PeerResult, results: Results) -> PeerRun:
    ratios = {path.key: _ratio_of(path, results) for path in peer.paths if path.ratios and not path.not_as_meant}
    return PeerRun(version=peer.version, ratios=ratios)


def _encrypted_of(results: EncryptedResults) -> dict[str, float]:
    costs = {path.key: results.cost(path.key, OURS) for path in encrypted_goals.PATHS}
    return {key: round(cost.ratio, 3) for key, cost in costs.items() if cost is not None and cost.ratio and not cost.doubts}


def _sizes_of(results: Results, node: NodeCosts) -> Sizes:
    entries = results.blockset.entries
    return Sizes(
        list_memory=round((results.memory.with_list.pss - results.memory.without_list.pss) / entries, 2),
        blockset=round(results.blockset.size / entries, 2),
        compile_us=round(results.refresh.rebuild_s / entries * 1e6, 2),
        cached_answer=round(node.cached_answer_bytes, 1),
        processes=node.memory_bytes,
        forward_tls_us=round(node.forward_tls_us, 1),
        forward_https_us=round(node.forward_https_us, 1),
    )


def append(run: Run, history: Path = HISTORY, page: Path = PAGE) -> None:
    """Append `run` to the history, and show it on the page."""
    with history.open("ab") as file:
        file.write(msgspec.json.encode(run) + b"\n")
    show(history, page)


def read(history: Path = HISTORY) -> list[Run]:
    """Every run of the file, oldest first."""
    return [msgspec.json.decode(line, type=Run) for line in history.read_bytes().splitlines()]


def show(history: Path = HISTORY, page: Path = PAGE) -> None:
    """Write the table of the page anew from the file."""
    page.write_text(with_table(page.read_text(encoding="utf-8"), read(history)), encoding="utf-8")


def with_table(text: str, runs: Sequence[Run]) -> str:
    """The page `text` with the newest of `runs` in its tables, the newest first. Raises `ValueError` without a place."""
    newest = runs[-SHOWN_RUNS:]
    text = pages.replaced(text, _BEGIN, _END, pages.table(_HEAD, 4, [_row(run) for run in reversed(newest)]))
    text = pages.replaced(text, _PEERS_BEGIN, _PEERS_END, _beside_peers(runs))
    encrypted = [_encrypted_row(run) for run in reversed(newest) if run.encrypted]
    return pages.replaced(text, _ENCRYPTED_BEGIN, _ENCRYPTED_END, pages.table(_ENCRYPTED_HEAD, 2, encrypted))


def _row(run: Run) -> tuple[str, ...]:
    machine = f"{run.machine.cpu}, {run.machine.cores} cores, load {run.machine.load_before:.1f}"
    ratios = (_cell(run, path.key) for path in goals.PATHS)
    return pages.minute(run.when), pages.commit(run.commit), machine, run.mode, f"{run.echo_cpu_us:.2f}", *ratios


def _cell(run: Run, key: str) -> str:
    if key in run.rounds:
        return _ratio_text(run.rounds[key])
    return ratio_text(run.ratios[key]) if key in run.ratios else ""


def _ratio_text(ratio: Ratio) -> str:
    return f"{ratio_text(ratio.median)} ±{ratio.spread * 100:.0f}{'' if ratio.usable else '!'}"


def _beside_peers(runs: Sequence[Run]) -> str:
    """The newest run that has peers; nothing when none has."""
    run = next((run for run in reversed(runs) if run.peers), None)
    if run is None:
        return ""
    when = f"{pages.minute(run.when)}, {pages.commit(run.commit)}, {run.mode}, {run.machine.cpu}, {run.machine.cores} cores"
    busy = f"other programs {run.others:.0%} of the cores, stolen {run.stolen:.0%}"
    head = ("path", "goal", "pdns", *(f"{name} {peer.version}" for name, peer in run.peers.items()))
    rows = [
        (
            path.title,
            f"{path.max_ratio:g}",
            _cell(run, path.key),
            *(_ratio_text(peer.ratios[path.key]) if path.key in peer.ratios else "-" for peer in run.peers.values()),
        )
        for path in goals.PATHS
    ]
    return f"{when}; {busy}.\n\n{pages.table(head, 1, rows)}"


def _encrypted_row(run: Run) -> tuple[str, ...]:
    ratios = (ratio_text(run.encrypted[path.key]) if path.key in run.encrypted else "" for path in encrypted_goals.PATHS)
    return pages.minute(run.when), pages.commit(run.commit), *ratios
