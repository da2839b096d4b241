"""What is said of encrypted transports: the goals, the tables, the doubts."""

from __future__ import annotations

import io

import msgspec
from rich.console import Console

from loadtest import encrypted, encrypted_goals, encrypted_report, history
from loadtest.encrypted_goals import BARE, OURS
from loadtest.encrypted_results import BesideConnections, EncryptedCost, EncryptedResults, IdleMemory
from tests.unit.loadtest.test_report import LATENCY, some_results


def cost(key: str, server: str, cpu_us: float, ratios: list[float], problem: str = "") -> EncryptedCost:
    return EncryptedCost(
        key=key, server=server, cpu_us=cpu_us, median_cpu_us=cpu_us, ratio=sorted(ratios)[len(ratios) // 2], ratios=ratios,
        busy=0.9, answer_bytes=67, latency_us=LATENCY, problem=problem,
    )  # fmt: skip


def results(ratio: float) -> EncryptedResults:
    """Ours at `ratio` times the bare server in each path, dnsdist at two times it, with a doubt."""
    costs = []
    for path in encrypted_goals.PATHS:
        costs += [
            cost(path.key, BARE, 10, [1.0, 1.0, 1.0]),
            cost(path.key, OURS, 10 * ratio, [ratio, ratio + 0.02, ratio - 0.04]),
        ]
        costs.append(cost(path.key, "dnsdist", 20, [2.0, 2.0, 2.0], "a doubt" if path is encrypted_goals.DOT_ONE else ""))
    return EncryptedResults(
        costs=costs,
        idle=[IdleMemory(server=OURS, transport="tls", connection_bytes=20_000 * ratio)],
        beside=[BesideConnections(server=OURS, alone_us=100, beside_us=120, ratio=1.2 * ratio, connections_per_s=500)],
        notes=["a note"],
    )


def shown(found: EncryptedResults) -> str:
    out = io.StringIO()
    encrypted_report.show(found, Console(file=out, width=130))
    return out.getvalue()


def test_goals_are_met_or_missed() -> None:
    """Each path has its goals against the bare server and the peers that were measured; idle memory and UDP have one each."""
    good, bad = results(1.02), results(1.9)
    assert all(verdict.met for _, verdict in good.verdicts())
    assert not any(verdict.met for _, verdict in bad.verdicts())
    wanted = {(path.title, server) for path in encrypted_goals.PATHS for server in path.max_ratios if server != "dnsproxy"}
    assert len(good.verdicts()) == len(wanted) + 2


def test_a_server_that_was_not_measured_has_no_goal() -> None:
    """Without the bare server or ours nothing is said of a path."""
    found = results(1.0)
    without = [each for each in found.costs if each.server != OURS]
    assert len(msgspec.structs.replace(found, costs=without).verdicts()) == 2


def test_the_table_has_ours_beside_the_others() -> None:
    """Microseconds, the ratio to the bare server with its range for ours, a star where there is a doubt."""
    text = shown(results(1.02))
    row = next(line for line in text.splitlines() if encrypted_goals.DOT_ONE.title in line)
    assert "10.20, 1.02 x  " in row
    assert row.rstrip().endswith("0.98-1.04 x")
    assert "20.00, 2.00 x*" in row
    assert "note: a note" in text
    assert "* dnsdist, dot_one: a doubt" in text
    assert "20.4 kB" in text
    assert "500 new TLS connections/s" in text
    assert max(map(len, text.splitlines())) <= 130


def test_what_a_busy_machine_spoilt_is_said() -> None:
    """A row with doubts has a mark and a note, its goals are neither met nor missed, and the history leaves it out."""
    found = results(1.02)
    costs = [
        msgspec.structs.replace(each, doubts=["other programs took 40% of the cores"]) if each.key == "dot_one" else each
        for each in found.costs
    ]
    busy = msgspec.structs.replace(found, costs=costs)
    text = shown(busy)
    assert "10.20, 1.02 x!" in text
    assert "note: unusable: pdns, dot_one: other programs took 40% of the cores" in text
    assert [verdict.usable for title, verdict in busy.verdicts() if title == encrypted_goals.DOT_ONE.title] == [False, False]
    run = history.run_of(msgspec.structs.replace(some_results(1.1, 8_000_000, 0.3, 0), encrypted=busy), "abc")
    assert run.encrypted.keys() == {path.key for path in encrypted_goals.PATHS} - {"dot_one"}


def test_history_keeps_the_ratios() -> None:
    """A recorded bench keeps ours with the bare server as 1, and the page shows it in a table of its own."""
    run = history.run_of(msgspec.structs.replace(some_results(1.1, 8_000_000, 0.3, 0), encrypted=results(1.02)), "abc")
    assert run.encrypted == {path.key: 1.02 for path in encrypted_goals.PATHS}
    places = (
        history._BEGIN, history._END, history._PEERS_BEGIN, history._PEERS_END, history._ENCRYPTED_BEGIN, history._ENCRYPTED_END,
    )  # fmt: skip
    text = history.with_table("".join(places), [run, msgspec.structs.replace(run, encrypted={})])
    assert text.count("| 1.02 |") > 0
    assert text.count("| 2026-01-02 03:04 |") == 3


def test_rows_are_chosen_by_their_keys() -> None:
    """`encrypted` is everything; a part of a key is the rows that have it; anything else chooses no row."""
    assert encrypted_goals.chosen("encrypted") == encrypted_goals.PATHS
    assert {path.key for path in encrypted_goals.chosen("many")} == {"dot_many", "doh_many", "doq_many"}
    assert encrypted_goals.is_key("idle")
    assert not encrypted_goals.is_key("nothing")


def test_quick_is_quicker() -> None:
    """The plan for development measures less of everything."""
    assert encrypted.QUICK.rounds < encrypted.FULL.rounds
    assert encrypted.QUICK.slice_s < encrypted.FULL.slice_s
