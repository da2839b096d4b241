"""Prints what a bench found: the paths, ours and the peers' side by side; what belongs to no path; latency; what was missed."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadtest import notes
from loadtest.goals import Verdict
from loadtest.programs import Latency
from loadtest.results import PathResult, PeerResult, Results
from loadtest.spread import half_width
from loadtest.turns import ECHO

WIDTH = 152  # of the tables; a narrower window wraps lines, which loses nothing
_MB = 1e6


def show(results: Results, console: Console) -> None:
    """Prints everything."""
    machine = results.machine
    console.print(
        f"\npdns {results.version}, accelerated: {results.accelerated}, 1 worker; {results.names}\n"
        f"{machine.cpu}, {machine.cores} cores, Linux {machine.kernel}, Python {machine.python};"
        f" load {machine.load_before:.1f} before; {results.mode}, rounds: {results.rounds}, {results.seconds:.0f} s\n",
        highlight=False,
        markup=False,
    )
    console.print(
        "CPU time of a query: the best round; then the median as a multiple of the bare echo in the same round, peers likewise;"
        " ± per cent, nine times in ten; !: unusable",
        style="bold",
    )
    console.print(_path_table(results))
    console.print(_list_table(results))
    console.print(_goal_table(results))
    console.print("latency in ms, counted from when a query was due (open loop)", style="bold")
    console.print(_latency_table(results))
    for note in [*results.notes, *notes.unusable(results), *_peer_notes(results.peers)]:
        console.print(f"note: {note}", style="yellow", highlight=False, markup=False)
    verdicts = results.verdicts()
    unusable = sum(not verdict.usable for verdict in verdicts)
    missed = sum(verdict.usable and not verdict.met for verdict in verdicts)
    summary = f"{missed} of {len(verdicts)} goals missed" if missed else f"all {len(verdicts) - unusable} goals met"
    if unusable:
        summary += f"; {unusable} unusable: the machine was busy"
    console.print(f"\n{summary}", style="bold red" if missed else "bold yellow" if unusable else "bold green", highlight=False)


def _path_table(results: Results) -> Table:
    """A row for each path, a column for each peer that ran."""
    peers = _ran(results)
    table = table_of("path", "best, us", "x echo", "goal", "", *(peer.name for peer in peers))
    mark = "!" if results.echo_doubts else ""
    table.add_row(ECHO, f"{results.echo_cpu_us:.2f}{mark}", "1.00", *[""] * (2 + len(peers)))
    for path in results.paths:
        table.add_row(*_path_row(path), *(_peer_cell(peer, path.key) for peer in peers))
    return table


def _path_row(path: PathResult) -> list[str | Text]:
    return [
        path.title,
        f"{path.cpu_us:.2f}",
        ratio_cell(path.ratio, path.ratios, path.doubts),
        path.verdict.goal.removesuffix(" x echo"),
        met(path.verdict),
    ]


def _peer_cell(peer: PeerResult, key: str) -> str:
    found = peer.path(key)
    if found is None:
        return "-"
    return f"{ratio_cell(found.ratio, found.ratios, found.doubts)}{'*' if found.not_as_meant else ''}"


def ratio_cell(ratio: float, ratios: Sequence[float], doubts: Sequence[str]) -> str:
    """A ratio, how far its rounds are apart in per cent, and the mark of one that is not to be used."""
    return f"{ratio_text(ratio)} ±{half_width(ratios) * 100:.0f}{'!' if doubts else ''}"


def ratio_text(ratio: float) -> str:
    """Three digits: more would be noise."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}" if ratio < 100 else f"{ratio:.0f}"


def _list_table(results: Results) -> Table:
    """What a million names cost, ours and the peers'."""
    peers = _ran(results)
    table = table_of("a million names", "ours", "goal", "", *(peer.name for peer in peers))

    def row(what: str, verdict: Verdict, theirs: list[str]) -> None:
        table.add_row(what, verdict.measured, verdict.goal.removesuffix(" a million names"), met(verdict), *theirs)

    row("memory of the list, PSS", results.memory.verdict, [_megabytes(peer.list_bytes, results.listed) for peer in peers])
    row("start to first blocked answer", results.start.verdict, [_seconds(peer.start_s) for peer in peers])
    return table


def _goal_table(results: Results) -> Table:
    memory, blockset, refresh = results.memory, results.blockset, results.refresh
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("ours alone", "measured", "goal", ""):
        table.add_column(head, no_wrap=True)

    def row(what: str, verdict: Verdict) -> None:
        table.add_row(what, verdict.measured, verdict.goal, met(verdict))

    row("mapped files of the list, a name", blockset.verdict)
    row("worker without a list, PSS", memory.worker)
    row(f"refresh under {refresh.offered_per_s:,.0f} queries/s", refresh.verdict)
    for each in results.offered:
        if each.verdict is not None:
            row(f"mix at {each.per_s:,.0f} queries/s, {_count(each.workers)}", each.verdict)
    plain = {
        "rebuild while answering": f"{refresh.rebuild_s:.1f} s",
        "first start, list read and compiled": f"{results.start.from_text_s:.1f} s",
        "blockset on disk": f"{blockset.size / _MB:.1f} MB, {blockset.size / max(1, blockset.entries):.1f} bytes a name",
        "worker RSS with, without the list": f"{memory.with_list.rss / _MB:.1f}, {memory.without_list.rss / _MB:.1f} MB",
    }
    for what, measured in plain.items():
        table.add_row(what, measured)
    return table


def _latency_table(results: Results) -> Table:
    table = table_of("queries", "a second", "p50", "p90", "p99", "p99.9", "max", "lost", "answers/s on one core")

    def row(what: str, per_s: float, latency: Latency, lost: int, most: str = "") -> None:
        values = (latency.p50, latency.p90, latency.p99, latency.p99_9, latency.max)
        table.add_row(what, f"{per_s:,.0f}", *(f"{value / 1000:.2f}" for value in values), f"{lost:,}", most)

    for each in results.offered:
        row(f"mix, {_count(each.workers)}, not pinned", each.per_s, each.latency_us, each.lost)
    for path in results.paths:
        mark = "!" if path.open_doubts else ""
        row(
            f"{path.title}{mark}", path.offered_per_s, path.latency_us, path.lost + path.lost_closed, f"{path.answers_per_s:,.0f}"
        )
    return table


def _peer_notes(peers: list[PeerResult]) -> list[str]:
    notes = [f"{peer.name}: {peer.problem}" for peer in peers if peer.problem]
    for peer in peers:
        notes += [f"* {peer.name}, {path.key}: {path.not_as_meant}" for path in peer.paths if path.not_as_meant]
    if missing := [peer.package for peer in peers if not peer.version]:
        notes.append(f"for all peers: make peers, or apt install {' '.join(missing)}")
    versions = ", ".join(f"{peer.name} {peer.version} ({peer.list_form})" for peer in peers if peer.version)
    return [*notes, f"peers: {versions}"] if versions else notes


def _ran(results: Results) -> list[PeerResult]:
    return [peer for peer in results.peers if peer.start_s is not None]


def table_of(first: str, *others: str) -> Table:
    """An empty table; the first column is text, the others are numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column(first, no_wrap=True)
    for head in others:
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _count(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


def _megabytes(size: int | None, listed: int) -> str:
    """Scaled to a million names, as ours is."""
    return "-" if size is None else f"{size / listed * 1_000_000 / _MB:,.0f} MB"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"


def met(verdict: Verdict) -> Text:
    """The one word that the reader looks for."""
    if not verdict.usable:
        return Text("unusable", style="yellow")
    return Text("met", style="green") if verdict.met else Text("missed", style="bold red")
