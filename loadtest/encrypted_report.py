"""Prints what was found of encrypted transports: each server beside the bare one."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from loadtest import encrypted_goals as goals
from loadtest.encrypted_goals import BARE, OURS
from loadtest.encrypted_results import EncryptedResults
from loadtest.report import met, ratio_text, table_of


def show(results: EncryptedResults, console: Console) -> None:
    """Prints everything."""
    names = list(dict.fromkeys([each.server for each in results.costs] + [each.server for each in results.idle]))
    if results.costs:
        console.print(
            "encrypted: CPU time of a query: least of the rounds, us; median x bare C (least to most of the rounds)", style="bold"
        )
        console.print(_costs(results, names))
    if results.idle:
        console.print(_idle(results, names))
    if verdicts := results.verdicts():
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for head in ("encrypted, ours", "measured", "goal", ""):
            table.add_column(head, no_wrap=True)
        for title, verdict in verdicts:
            table.add_row(title, verdict.measured, verdict.goal, met(verdict))
        console.print(table)
    for beside in results.beside:
        console.print(
            f"UDP at {goals.BESIDE_UDP_PER_S:,.0f} queries/s, {beside.server}: p99 {beside.alone_us / 1000:.2f} ms alone,"
            f" {beside.beside_us / 1000:.2f} ms beside {beside.connections_per_s:,.0f} new TLS connections/s",
            highlight=False,
        )
    spoilt = [f"unusable: {each.server}, {each.key}: {', '.join(each.doubts)}" for each in results.costs if each.doubts]
    problems = [f"* {each.server}, {each.key}: {each.problem}" for each in results.costs if each.problem]
    for note in [*results.notes, *spoilt, *problems]:
        console.print(f"note: {note}", style="yellow", highlight=False, markup=False)


def _costs(results: EncryptedResults, names: list[str]) -> Table:
    table = table_of("path", *names, "range of ours")
    for path in goals.PATHS:
        if any(cost.key == path.key for cost in results.costs):
            table.add_row(path.title, *(_cell(results, path.key, name) for name in names), _range(results, path.key))
    return table


def _range(results: EncryptedResults, key: str) -> str:
    ours = results.cost(key, OURS)
    return f"{ratio_text(min(ours.ratios))}-{ratio_text(max(ours.ratios))} x" if ours is not None and ours.ratios else ""


def _cell(results: EncryptedResults, key: str, name: str) -> str:
    cost = results.cost(key, name)
    if cost is None:
        return "-"
    star = f"{'!' if cost.doubts else ''}{'*' if cost.problem else ''}"
    if name == BARE or not cost.ratios:
        return f"{_us(cost.cpu_us)}{star}"
    return f"{_us(cost.cpu_us)}, {ratio_text(cost.ratio)} x{star}"


def _us(microseconds: float) -> str:
    return f"{microseconds:.2f}" if microseconds < 100 else f"{microseconds:.0f}"


def _idle(results: EncryptedResults, names: list[str]) -> Table:
    table = table_of("memory of an idle connection", *names)
    for transport, title in ((goals.TLS, "DoT"), (goals.HTTPS, "DoH")):
        found = {each.server: each.connection_bytes for each in results.idle if each.transport == transport}
        table.add_row(title, *(f"{found[name] / 1000:.1f} kB" if name in found else "-" for name in names))
    return table
