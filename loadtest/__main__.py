"""`python -m loadtest bench | history | size | compare | chart | soak | fleet | abuse | replay | malformed | zone`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from loadtest import abuse as abusemod
from loadtest import bench as benchmod
from loadtest import chart as chartmod
from loadtest import compare as comparemod
from loadtest import encrypted_goals, namedata, server, zoneserver
from loadtest import fleet as fleetmod
from loadtest import history as historymod
from loadtest import instructions as instructionsmod
from loadtest import malformed as malformedmod
from loadtest import replay as replaymod
from loadtest import scale as scalemod
from loadtest import sizing as sizingmod
from loadtest import soak as soakmod
from loadtest import zone as zonemod
from loadtest.fleetscene import FleetPlan
from loadtest.loopback import Address, loopback
from loadtest.measure import FULL, QUICK
from loadtest.peers import ALL, named
from loadtest.soakplay import Plan
from pdns.version import COMMIT

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
ServerOption = Annotated[tuple[str, int] | None, typer.Option("--server", metavar="ADDRESS PORT", help="the server to try")]
CompareOption = Annotated[
    tuple[str, int] | None, typer.Option("--compare", metavar="ADDRESS PORT", help="the server that is right")
]
QueriesOption = Annotated[Path, typer.Option("--queries", exists=True, dir_okay=False, help="name TAB type, a line each")]
_READY_TIMEOUT_S = 30.0


@app.command()
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="about four minutes instead of ten")] = False,
    peers: Annotated[str, typer.Option(help="which to measure beside ours, with commas; those not installed are named")] = "all",
    no_peers: Annotated[bool, typer.Option("--no-peers", help="ours alone")] = False,
    data: Annotated[Path | None, typer.Option(envvar="PDNS_DATA", help="a directory with real lists")] = None,
    record: Annotated[bool, typer.Option("--record", help="append it to docs/performance-history.jsonl")] = False,
    busy: Annotated[
        bool, typer.Option("--busy", help="beside a busy loop: is the order of the servers that of the last bench?")
    ] = False,
    only: Annotated[
        str,
        typer.Option(help="encrypted: the encrypted transports alone; or rows of them: dot, doh, dot_one, idle, beside"),
    ] = "",
) -> None:
    """CPU time per query of every path, against a bare echo and other servers; memory, start, refresh."""
    if only and not encrypted_goals.is_key(only):
        rows = ", ".join([*(path.key for path in encrypted_goals.PATHS), encrypted_goals.IDLE, encrypted_goals.BESIDE])
        raise typer.BadParameter(f"{only} is neither `encrypted` nor in one of {rows}", param_hint="--only")
    try:
        chosen = () if no_peers else ALL if peers == "all" else named(peers)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--peers") from None
    if only:
        raise typer.Exit(benchmod.main_encrypted(QUICK if quick else FULL, chosen, only))
    raise typer.Exit(benchmod.main(QUICK if quick else FULL, data, chosen, record=record, busy=busy))


@app.command()
def history() -> None:
    """Writes the table of docs/performance.md anew, from docs/performance-history.jsonl."""
    historymod.show()
    print(historymod.PAGE)


@app.command()
def instructions(
    record: Annotated[bool, typer.Option("--record", help="append them to docs/instructions-history.jsonl")] = False,
) -> None:
    """Counts the instructions of a query on each path, in callgrind. Exit status 1: a path takes 5 % more than recorded."""
    raise typer.Exit(instructionsmod.main(COMMIT, record=record))


@app.command()
def scale(
    only: Annotated[list[str] | None, typer.Option(help="names, tenants or workers; may be repeated")] = None,
    most_names: Annotated[int, typer.Option(min=10_000, help="leave larger lists out")] = 10_000_000,
    record: Annotated[bool, typer.Option("--record", help="keep it in docs/performance.md and docs/images/scale.svg")] = False,
) -> None:
    """What a hit, a block at first sight and a refresh cost with more names, tenants and workers."""
    if wrong := [axis for axis in only or () if axis not in scalemod.SIZES]:
        raise typer.BadParameter(f"{wrong[0]} is not one of {', '.join(scalemod.SIZES)}", param_hint="--only")
    raise typer.Exit(scalemod.main(only or list(scalemod.SIZES), most_names, record=record))


@app.command()
def size(
    queries_a_week: Annotated[float, typer.Option(min=0, help="of all clients; 0 or left out: write docs/sizing.md anew")] = 0,
    peak_per_s: Annotated[float, typer.Option(help="queries a second at the peak; 0: 12.3 times the average")] = 0,
    blocked_a_week: Annotated[float, typer.Option(help="blocked queries; 0: one in 1,238")] = 0,
    names: Annotated[float, typer.Option(help="listed names")] = 1_000_000,
) -> None:
    """What a service needs, by the newest recorded bench. Without a number, the tables of docs/sizing.md are written anew."""
    if not queries_a_week:
        sizingmod.show()
        print(sizingmod.PAGE)
        return
    service = sizingmod.Service(
        "yours",
        queries_a_week,
        peak_per_s or queries_a_week / sizingmod.WEEK_S * sizingmod.PEAK,
        blocked_a_week or queries_a_week * sizingmod.NATIONAL.blocked_a_week / sizingmod.NATIONAL.queries_a_week,
        names,
    )
    for line in sizingmod.arithmetic(service, *sizingmod.newest(historymod.read())):
        print(line)


@app.command()
def compare(
    checkout: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="another tree of the program, after `make dev`")],
    rounds: Annotated[int, typer.Option(min=4, help="pairs of runs for each path: more of them tell smaller differences")] = 30,
    only: Annotated[
        str, typer.Option(help="rows whose keys hold this: hit, blocked_seen, blocked_first, forward, mix, refresh")
    ] = "",
    zones: Annotated[bool, typer.Option("--zones", help="with 50 zones and 10,000 local records in this tree")] = False,
    tenants: Annotated[
        bool, typer.Option("--tenants", help="with 250 tenants, 10,000 prefixes and 40 policies in this tree")
    ] = False,
    history: Annotated[bool, typer.Option("--history", help="with names that are noted, in this tree")] = False,
) -> None:
    """CPU time per query of every path here, with that of another tree as 1. Exit status 1: a row is worse by more than 2 %."""
    more = (namedata.zones_and_records() if zones else "") + (namedata.tenants_and_policies() if tenants else "")
    more += "[history]\ndays = 30\n" if history else ""
    raise typer.Exit(comparemod.main(checkout, rounds, only, more=more))


@app.command()
def chart(
    results: Annotated[Path, typer.Option(help="what a bench wrote")] = benchmod.RESULTS_DIR / "latest.json",
    to: Annotated[Path, typer.Option(help="the picture")] = chartmod.README_CHART,
) -> None:
    """Draws the ratios of a bench: ours, the peers', and the goal."""
    try:
        found = benchmod.load(results)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{error}; `python -m loadtest bench` writes one", param_hint="--results") from None
    to.write_text(chartmod.svg(found), encoding="utf-8")
    print(to)


@app.command()
def soak(
    minutes: Annotated[float, typer.Option(min=0.25, max=1440, help="how long the week takes")] = 60.0,
    rate_scale: Annotated[float, typer.Option(min=0.001, max=2, help="1: 4,300 queries/s on average, 53,000 at peak")] = 0.1,
    seed: Annotated[int, typer.Option(help="another one: other names, other faults at other times")] = 1,
) -> None:
    """A council's week in an hour, while everything fails that can. Exit status 1: a query is lost, a leak, a wrong answer."""
    raise typer.Exit(soakmod.main(Plan(minutes=minutes, rate_scale=rate_scale, seed=seed)))


@app.command()
def fleet(
    nodes: Annotated[int, typer.Option(min=4, max=1000, help="processes that fetch, verify and apply")] = 200,
    minutes: Annotated[float, typer.Option(min=0.5, max=1440, help="roughly how long; the scale of an hour and a week")] = 10.0,
    poll_s: Annotated[float, typer.Option("--poll-s", min=0.2, max=3600, help="fleet.poll_s of every node")] = 10.0,
    names: Annotated[int, typer.Option(min=1000, help="listed names")] = 200_000,
    seed: Annotated[int, typer.Option(help="another one: other names, other changes")] = 1,
    keep: Annotated[Path | None, typer.Option(help="work in this new directory, and leave it")] = None,
    only: Annotated[list[str] | None, typer.Option(help="a step, may be repeated: change, bad list, store down ...")] = None,
) -> None:
    """One publisher, many nodes, three resolvers with traffic, one S3 server, and faults. Exit status 1: a goal is missed."""
    plan = FleetPlan(nodes=nodes, minutes=minutes, poll_s=poll_s, names=names, seed=seed)
    raise typer.Exit(fleetmod.main(plan, keep=keep, only=only or ()))


@app.command()
def abuse(
    seconds: Annotated[float, typer.Option(min=1, max=300, help="of each round, of which a row has six")] = 5.0,
    only: Annotated[
        list[str] | None, typer.Option(help=f"a row, may be repeated: {', '.join(a.key for a in abusemod.ATTACKS)}")
    ] = None,
) -> None:
    """What an honest client gets while others attack. Exit status 1: less than the goal."""
    try:
        attacks = abusemod.chosen(only or [])
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--only") from None
    raise typer.Exit(abusemod.main(attacks, seconds))


@app.command()
def replay(
    queries: QueriesOption,
    server_at: ServerOption = None,
    compare: CompareOption = None,
    limit: Annotated[int, typer.Option(help="ask only the first N")] = 0,
) -> None:
    """Asks two servers the same questions and shows where they differ. Exit status 1: somewhere.

    Without --compare, a root zone is made from the questions and served here; without --server, the resolver is
    started with that as its upstream.
    """
    questions, odd = replaymod.read_questions(queries)
    questions = questions[:limit] if limit else questions
    console = Console()
    if odd:
        console.print(f"{len(odd)} lines are not a name and a type: {odd[:3]}", highlight=False, markup=False)
    report = asyncio.run(_replay(questions, _address(server_at), _address(compare)))
    replaymod.show(report, console)
    raise typer.Exit(1 if report.different else 0)


@app.command()
def malformed(
    corpus: Annotated[Path, typer.Option(exists=True, file_okay=False, help="a directory of packets, one a file")],
    server_at: ServerOption = None,
    good_name: Annotated[str, typer.Option(help="a name below which good queries ask")] = "com",
) -> None:
    """Sends broken packets over UDP and TCP; a good query in between must always be answered. Exit status 1: one was not."""
    reports = asyncio.run(_malformed(corpus, _address(server_at), good_name))
    console = Console()
    for report in reports:
        malformedmod.show(report, console)
    raise typer.Exit(1 if any(report.failed for report in reports) else 0)


@app.command()
def zone(
    queries: QueriesOption,
    python: Annotated[bool, typer.Option("--python", help="serve it here even if nsd is installed")] = False,
) -> None:
    """Serves a root zone made from a file of queries, until interrupted."""
    questions, _ = replaymod.read_questions(queries)
    text = "\n".join(zonemod.lines(questions)) + "\n"

    async def serve() -> None:
        with tempfile.TemporaryDirectory(prefix="pdns-zone-") as directory:
            async with zoneserver.serving(text, Path(directory), python=python) as address:
                print(f"the zone . with {len(text.splitlines())} records on {address}", flush=True)
                await asyncio.Event().wait()

    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


async def _replay(questions: list[replaymod.Question], to: Address | None, compare: Address | None) -> replaymod.Report:
    with tempfile.TemporaryDirectory(prefix="pdns-replay-") as name:
        directory = Path(name)
        if compare is not None:
            if to is None:
                with server.started(directory / "server", compare, None) as resolver:
                    await asyncio.to_thread(resolver.wait_ready, _READY_TIMEOUT_S)
                    return await replaymod.replay(questions, resolver.address, compare)
            return await replaymod.replay(questions, to, compare)
        text = "\n".join(zonemod.lines(questions)) + "\n"
        async with zoneserver.serving(text, directory) as authority:
            if to is not None:
                return await replaymod.replay(questions, to, authority)
            return await _replay(questions, None, authority)


async def _malformed(corpus: Path, to: Address | None, good_name: str) -> list[malformedmod.Report]:
    if to is not None:
        return await malformedmod.run(corpus, to, good_name)
    with tempfile.TemporaryDirectory(prefix="pdns-malformed-") as name:
        directory = Path(name)
        async with zoneserver.serving("\n".join(zonemod.lines([])) + "\n", directory) as authority:
            with server.started(directory / "server", authority, None) as resolver:
                await asyncio.to_thread(resolver.wait_ready, _READY_TIMEOUT_S)
                return await malformedmod.run(corpus, resolver.address, good_name)


def _address(option: tuple[str, int] | None) -> Address | None:
    if option is None:
        return None
    try:
        return loopback(*option)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


if __name__ == "__main__":
    app()
