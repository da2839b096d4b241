"""`python -m loadtest soak`: a week in an hour. A council's curve of queries, and meanwhile everything that can go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import platform
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
from rich.console import Console

from loadtest import accounting, build, faultplan, footprint, population, server, soakresults, unruly, week
from loadtest.accounting import Counted
from loadtest.footprint import Verdict
from loadtest.lists import Lists
from loadtest.loopback import Address, free_port
from loadtest.server import ServerError
from loadtest.soakplay import Plan, Play
from loadtest.soakresults import Hour, Results
from loadtest.soakscreen import Screen
from pdns import __version__
from pdns.wire import protocol as p

RESULTS_DIR = build.HERE / "results"
UPSTREAM_HOSTS = ("127.0.0.2", "127.0.0.3")
LISTED, BENIGN = 100_000, 10_000

PATIENCE_S = 12.0  # for how long a query may wait: `upstream.timeout_s`, and a margin
_READY_TIMEOUT_S = 60.0
_KERNEL_COUNTS_S = 3.0  # drops are taken from the kernel every 2 s
_RECOVERY_S = 15.0  # until a failure is forgotten, and an upstream that is back is found to be
_STOP_LIMIT_S = 8.0  # drain_s and two seconds, and a margin


def main(plan: Plan, console: Console | None = None) -> int:
    """Runs, prints, writes. Returns the exit status: 0 when all checks hold, 1 when not. Exits with 2 when it cannot run."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=soakresults.WIDTH)
    try:
        results = asyncio.run(run(plan, console))
    except* (build.BuildError, ServerError, OSError) as errors:
        console.print(f"soak: {_first(errors)}", style="red", highlight=False, markup=False)
        raise SystemExit(2) from None
    soakresults.show(results, console)
    console.print(f"written to {save(results)}", style="dim", highlight=False)
    return 1 if results.failed else 0


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def save(results: Results) -> Path:
    """Writes the results. Returns the file."""
    RESULTS_DIR.mkdir(parents=True, exist_ok=True)
    file = RESULTS_DIR / f"soak-{results.when.replace(':', '')}.json"
    data = msgspec.json.format(msgspec.json.encode(results), indent=2)
    for path in (file, RESULTS_DIR / "soak-latest.json"):
        path.write_bytes(data + b"\n")
    return file


async def run(plan: Plan, console: Console) -> Results:
    """One soak. Raises `BuildError`, `ServerError`, `OSError` when it cannot be held."""
    build.program("generator")
    notes = []
    people = population.generated(build.BUILD_DIR, LISTED, BENIGN, sample=20_000, seed=plan.seed)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pdns-soak-")))
        lists = Lists(people, directory / "listed.txt")
        upstreams = [stack.enter_context(unruly.started(Address(host, free_port()))) for host in UPSTREAM_HOSTS]
        async with lists.served() as http:
            listen, metrics = Address("127.0.0.1", free_port()), Address("127.0.0.1", free_port())
            text = config_text(plan, listen, metrics, [each.at for each in upstreams], directory, http)
            resolver = stack.enter_context(server.started_by(directory / "server", text, listen, metrics))
            await asyncio.to_thread(resolver.wait_ready, _READY_TIMEOUT_S)
            without = frozenset[str]()
            if "SIGUSR2" not in (server.REPOSITORY / "docs" / "operations.md").read_text():
                without = frozenset({"rolling restart"})
                notes.append("this version knows no rolling restart: there is none in the plan")
            faults = faultplan.plan(plan.run_s, plan.seed, without=without)
            play = Play(plan, people, lists, upstreams, resolver, directory, faults)
            with Screen(console, plan.run_s, play.progress) as screen:
                await play.run(screen)
                screen.show_step("waiting for the last answers")
                return await results(play, notes)


def config_text(
    plan: Plan, listen: Address, metrics: Address, upstreams: Iterable[Address], directory: Path, http: Address
) -> str:
    """Two upstreams, two required feeds, a cache that is soon full, so that memory is soon level; all else as shipped."""
    servers = ", ".join(f'"udp://{upstream}"' for upstream in upstreams)
    return f"""\
[server]
listen = ["{listen}"]
[upstream]
servers = [{servers}]
[cache]
max_bytes = {1 << 20 if plan.run_s < footprint.SHORT_RUN_S else 4 << 20}
[block]
ttl_s = 60
[state]
dir = "{directory / "server" / "state"}"
[metrics]
listen = "{metrics}"
[[feed]]
name = "file"
url = "{(directory / "listed.txt").as_uri()}"
category = "malware"
refresh_s = 30
required = true
[[feed]]
name = "http"
url = "http://{http}/list.txt"
category = "phishing"
refresh_s = 30
timeout_s = 3
required = true
"""


async def results(play: Play, notes: list[str]) -> Results:
    """Waits until all is quiet, checks everything, ends the resolver."""
    await asyncio.sleep(_KERNEL_COUNTS_S)
    try:
        final = await asyncio.to_thread(play.count)
    except (OSError, ValueError) as error:  # it is not there any more, or does not answer
        play.faults.failures.append(f"no /metrics at the end: {error}")
        final = play.last_count
    after = await play.settled()
    kernel = footprint.drops_verdict(
        play.footprint.drops,
        final.dropped.get("udp_receive_buffer_full", 0),
        sockets_may_change=play.faults.rolled_workers > 0,
    )
    disk_before = play.footprint.disk[0][1]
    before_s = time.monotonic()
    await asyncio.to_thread(server.stop, play.resolver.process)
    ended_s = time.monotonic() - before_s
    left = play.footprint.left_alive()
    hours = [_hour_result(play, each) for each in play.week if each.hour in play.reports]
    sent = play.sent()
    account = accounting.account(sent, final, play.faults.deaths)
    waits = [wait for _, wait in play.witness.waits]
    over_1s = sum(hour.over_1s for hour in hours) + sum(wait > 1 for wait in waits)
    over_5s = sum(hour.over_5s for hour in hours) + sum(wait > 5 for wait in waits)
    verdicts = [
        *_answer_verdicts(play, account, final),
        kernel,
        _end_verdict(play, ended_s),
        *footprint.memory_verdicts(play.footprint.points, play.plan.run_s),
        *footprint.descriptor_verdicts(play.before, after),
        footprint.process_verdict(play.before, after, left),
        footprint.disk_verdict(play.footprint.disk, disk_before),
    ]
    if play.scrape_failures:
        notes.append(f"{play.scrape_failures} scrapes of /metrics failed")
    notes += _log_notes(play)
    return Results(
        when=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        run_s=play.plan.run_s, rate_scale=play.plan.rate_scale, seed=play.plan.seed, version=__version__,
        machine=f"{len(os.sched_getaffinity(0))} cores, Linux {platform.release()}, Python {platform.python_version()}",
        hours=hours, account=account,
        within_1s=(sent.received - over_1s) / max(1, sent.sent), within_5s=(sent.received - over_5s) / max(1, sent.sent),
        servfail=sum(hour.servfail for hour in hours) + len(play.witness.servfail), blocked_seen=play.witness.blocked,
        witness_sent=play.witness.sent + play.witness.tcp_sent, tcp_sent=play.witness.tcp_sent,
        tcp_unanswered=sent.tcp_unanswered, wrong=play.witness.wrong, windows=play.faults.all_windows(),
        deaths=play.faults.deaths, effects_s=[round(effect_s, 2) for effect_s in play.faults.effects_s],
        failures=play.faults.failures, footprint=play.footprint.series(), verdicts=verdicts, notes=notes,
    )  # fmt: skip


def _hour_result(play: Play, each: week.Slice) -> Hour:
    report, end_s = play.reports[each.hour], each.start_s + each.length_s
    windows = play.faults.windows
    return Hour(
        hour=each.hour, start_s=each.start_s, length_s=each.length_s, rate=each.rate, sent=report.sent,
        received=report.received, over_1s=report.over_1s, over_5s=report.over_5s,
        p99_ms=report.latency_us.p99 / 1000, worst_ms=report.latency_us.max / 1000,
        servfail=report.rcodes.get(p.SERVFAIL, 0), faults=play.active_during(each),
        to_blame=[w.kind for w in windows if not accounting.unexplained(each.start_s, end_s, [w], PATIENCE_S)],
    )  # fmt: skip


def _answer_verdicts(play: Play, account: accounting.Account, final: Counted) -> list[Verdict]:
    faults, witness = play.faults, play.witness
    quiet = sum(
        report.sent - report.received
        for each in play.week
        if (report := play.reports.get(each.hour)) is not None
        and accounting.unexplained(each.start_s, each.start_s + each.length_s, faults.windows, PATIENCE_S)
    ) + sum(
        accounting.unexplained(at_s - play.started_s, at_s - play.started_s, faults.windows, PATIENCE_S)
        for at_s, _ in witness.lost
    )
    differs = sum(report.question_differs for report in play.reports.values())
    deaths = len(faults.deaths)
    most_restarts = deaths + faults.rolled_workers
    return [
        Verdict(
            what="queries unaccounted for",
            limit=f"0, beyond {accounting.BATCH} a killed worker at each step and what it had in hand",
            measured=f"{account.total_unaccounted} of {account.sent:,}; {max(0, final.in_hand):,} died with workers,"
            f" which had {sum(death.in_hand for death in faults.deaths):,} in hand",
            ok=account.total_unaccounted == 0 and account.sent > 0,
        ),
        Verdict(what="lost where no fault may lose", limit="0", measured=str(quiet), ok=quiet == 0),
        Verdict(
            what="SERVFAIL without an upstream fault",
            limit=f"0, up to {_RECOVERY_S:.0f} s after one",
            measured=str(servfail := _unexplained_servfail(play)),
            ok=servfail == 0,
        ),
        Verdict(
            what="wrong answers",
            limit="0",
            measured=f"{witness.wrong_count} of {len(witness.waits):,} that were checked ({witness.blocked:,} blocked);"
            f" {differs} questions not echoed",
            ok=witness.wrong_count == differs == 0 and witness.blocked > 0,
        ),
        Verdict(
            what="workers that ended",
            limit=f"{deaths}, those we killed",
            measured=f"{final.worker_restarts}",
            ok=deaths <= final.worker_restarts <= most_restarts,
        ),
        Verdict(
            what="reloads, refreshes, replacements",
            limit="0 that did not happen",
            measured=f"{len(faults.failures)} of {len(faults.windows)} faults"
            + (f"; a changed list in force after {max(faults.effects_s):.1f} s at most" if faults.effects_s else ""),
            ok=not faults.failures and bool(faults.windows),
        ),
    ]


def _unexplained_servfail(play: Play) -> int:
    """A failure is remembered, and an upstream that is back is found by a probe: that takes a moment."""
    upstream = [window for window in play.faults.windows if window.series == "upstream"]

    def explained(start_s: float, end_s: float) -> bool:
        return any(window.start_s <= end_s and start_s <= window.end_s + _RECOVERY_S for window in upstream)

    of_week = sum(
        report.rcodes.get(p.SERVFAIL, 0)
        for each in play.week
        if (report := play.reports.get(each.hour)) is not None
        and not explained(each.start_s, each.start_s + each.length_s + PATIENCE_S)
    )
    sent_s = [at_s - play.started_s for at_s in play.witness.servfail]
    return of_week + sum(not explained(at_s, at_s + PATIENCE_S) for at_s in sent_s)


def _end_verdict(play: Play, ended_s: float) -> Verdict:
    code = play.resolver.process.returncode
    return Verdict(
        what="end after SIGTERM",
        limit=f"exit code 0 within {_STOP_LIMIT_S:.0f} s",
        measured=f"exit code {code} after {ended_s:.1f} s",
        ok=code == 0 and ended_s <= _STOP_LIMIT_S,
    )


def _log_notes(play: Play) -> list[str]:
    """Lines of the log that speak of a bug."""
    lines = play.resolver.log.read_text(errors="replace").splitlines()
    odd = [line for line in lines if "Traceback" in line or " raised" in line or "never retrieved" in line]
    return [f"the log has {len(odd)} lines that speak of a bug, such as: {odd[0]}"] if odd else []
