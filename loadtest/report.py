"""Prints what a bench found: one table of paths, one of goals that belong to no path, and what was missed."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadtest.goals import Verdict
from loadtest.results import PathResult, Results

WIDTH = 124  # of the tables; a narrower window wraps lines, which loses nothing
_MB = 1e6


def show(results: Results, console: Console) -> None:
    """Prints everything."""
    machine = results.machine
    kind = "compiled fast path" if results.accelerated else "pure Python"
    console.print(
        f"\npdns {results.version}, {kind}, 1 worker; {results.names}\n"
        f"{machine.cpu}, {machine.cores} cores, Linux {machine.kernel}, Python {machine.python};"
        f" {results.mode}, rounds: {results.rounds}\n",
        highlight=False,
    )
    console.print(_path_table(results))
    console.print(_other_table(results))
    for note in results.notes:
        console.print(f"note: {note}", style="yellow", highlight=False)
    console.print("latency and loss are of an open loop, at half of answers/s; of the mix, at 53,000 queries/s", style="dim")
    verdicts = results.verdicts()
    missed = sum(not verdict.met for verdict in verdicts)
    summary = f"{missed} of {len(verdicts)} goals missed" if missed else f"all {len(verdicts)} goals met"
    console.print(f"\n{summary}", style="bold red" if missed else "bold green", highlight=False)


def _path_table(results: Results) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("path", no_wrap=True)
    for head in ("queries", "CPU us", "x echo", "goal", "", "answers/s", "p50 ms", "p99 ms", "lost"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_row("bare echo", "", f"{results.echo_cpu_us:.2f}", "1.00", *[""] * 6)
    for path in results.paths:
        table.add_row(*_path_row(path))
    return table


def _path_row(path: PathResult) -> list[str | Text]:
    latency = path.latency_us
    return [
        path.title,
        f"{path.queries:,}",
        f"{path.cpu_us:.2f}",
        f"{path.ratio:.2f}",
        path.verdict.goal.removesuffix(" x echo") if path.verdict else "",
        met(path.verdict) if path.verdict else "",
        f"{path.answers_per_s:,.0f}",
        f"{latency.p50 / 1000:.2f}",
        f"{latency.p99 / 1000:.2f}",
        f"{path.lost + path.lost_closed:,}",
    ]


def _other_table(results: Results) -> Table:
    memory, blockset, refresh = results.memory, results.blockset, results.refresh
    table = Table(box=box.SIMPLE_HEAD)
    for head in ("what", "goal", "", "measured"):
        table.add_column(head, no_wrap=True)

    def row(what: str, verdict: Verdict) -> None:
        table.add_row(what, verdict.goal, met(verdict), verdict.measured)

    row("the mix at 53,000 queries/s", results.offered_mix)
    row("memory of the list, worker PSS", memory.verdict)
    row("start to the first blocked answer", results.start.verdict)
    row(f"refresh under {refresh.offered_per_s:,.0f} queries/s", refresh.verdict)
    grown = memory.with_list.rss - memory.without_list.rss
    plain = {
        "worker RSS with, without the list": f"{memory.with_list.rss / _MB:.1f}, {memory.without_list.rss / _MB:.1f} MB",
        "RSS the list adds, of that mapped file": f"{grown / _MB:.1f}, {memory.with_list.blockset / _MB:.1f} MB",
        "blockset on disk": f"{blockset.size / _MB:.1f} MB, {blockset.size / max(1, blockset.entries):.1f} bytes a name",
        "first start, list read and compiled": f"{results.start.from_text_s:.1f} s",
        "rebuild while answering": f"{refresh.rebuild_s:.1f} s",
    }
    for what, measured in plain.items():
        table.add_row(what, "", "", measured)
    return table


def met(verdict: Verdict) -> Text:
    """The one word that the reader looks for."""
    return Text("met", style="green") if verdict.met else Text("missed", style="bold red")
