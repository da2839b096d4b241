"""`pdns events`: what was blocked, by whom it was asked, what was found, and whether the numbers add up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from dns import rdatatype
from rich.text import Text

from pdns.cli.commands import EXIT_INVALID, ConfigOption, consoles, load_config
from pdns.cli.event_sinks import add_sinks
from pdns.cli.feed_table import LATEST_S, aligned
from pdns.config.schema import Config
from pdns.errors import InvalidName, PdnsError
from pdns.event_erasing import erase_events
from pdns.event_store.event import Event, Finding, Hour
from pdns.event_store.open import open_store
from pdns.event_store.queries import EventQueries, MachineRow, Window
from pdns.incident_lookup import client_texts
from pdns.policy_diff import NO_TENANT
from pdns.report.periods import InvalidPeriod, typed_period
from pdns.wire import names

app = typer.Typer(help="Blocked and monitored queries, one by one.", invoke_without_command=True, rich_markup_mode=None)
SinceOption = Annotated[str, typer.Option("--since", metavar="TIME", help="Since when: 1h, 7d, 2026-11-23 or 2026-11-23T14:00")]
UntilOption = Annotated[str, typer.Option("--until", metavar="TIME", help="Until when, likewise [default: now]")]
TenantOption = Annotated[str, typer.Option("--tenant", "-t", metavar="TENANT", help="Of this tenant only")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, metavar="N", help="At most so many rows")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON lines; times are seconds since the epoch")]
_EVENT_TITLES = ("time", "times", "tenant", "client", "name", "type", "listed", "feed", "category", "action")
_FINDING_TITLES = ("time", "kind", "tenant", "client", "about", "what")
_MACHINE_TITLES = ("client", "tenant", "threat", "category", "times", "first", "last", "every", "stopped", "names")
_HOUR_TITLES = ("hour", "node", "queries", "blocked", "monitored", "events", "merged", "lost", "unaccounted")
_NO_MACHINES = "no machines"
Row = Sequence[str]


@app.callback()
def events_command(
    context: typer.Context,
    config: ConfigOption = None,
    since: SinceOption = "1h",
    until: UntilOption = "",
    tenant: TenantOption = "",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Queried or listed names at or below this one")] = "",
    client: Annotated[str, typer.Option("--client", metavar="CLIENT", help="An address, a network or a pseudonym")] = "",
    feed: Annotated[str, typer.Option("--feed", metavar="FEED", help="It decided, or lists the name too")] = "",
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """Blocked and monitored queries. Without a command: show the last ones, the newest first."""
    if context.invoked_subcommand is not None:
        if config is not None:
            context.default_map = {context.invoked_subcommand: {"config": str(config)}}
        return

    def ask(store: EventQueries, loaded: Config, window: Window, of: str | None) -> list[Event]:
        below = names.to_text(names.from_text(name)) if name else ""
        clients = client_texts(loaded, client, with_pseudonyms=True) if client else ()
        return store.events(window, of, name=below, clients=clients, feed=feed, limit=limit)

    raise typer.Exit(_show(config, (since, until, tenant), ask, _EVENT_TITLES, _event_row, "no events", as_json=as_json))


@app.command("findings")
def findings_command(
    config: ConfigOption = None,
    since: SinceOption = "7d",
    until: UntilOption = "",
    tenant: TenantOption = "",
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """Show what deserves a look, the newest first. Findings block nothing."""

    def ask(store: EventQueries, _config: Config, window: Window, of: str | None) -> list[Finding]:
        return store.findings(window, of, limit=limit)

    raise typer.Exit(_show(config, (since, until, tenant), ask, _FINDING_TITLES, _finding_row, "no findings", as_json=as_json))


@app.command("machines")
def machines_command(
    config: ConfigOption = None,
    since: SinceOption = "7d",
    until: UntilOption = "",
    tenant: TenantOption = "",
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """Show the machines to look at: those with a named threat first, with the period of those that ask on a timer."""

    def ask(store: EventQueries, _config: Config, window: Window, of: str | None) -> list[MachineRow]:
        return store.machines(window, of, limit)

    raise typer.Exit(_show(config, (since, until, tenant), ask, _MACHINE_TITLES, _machine_row, _NO_MACHINES, as_json=as_json))


@app.command("hours")
def hours_command(
    config: ConfigOption = None,
    since: SinceOption = "24h",
    until: UntilOption = "",
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show whether the events account for every blocked query: blocked + monitored = events + merged + lost + unaccounted."""

    def ask(store: EventQueries, _config: Config, window: Window, of: str | None) -> list[Hour]:
        return store.hours(window, of)

    raise typer.Exit(_show(config, (since, until, tenant), ask, _HOUR_TITLES, _hour_row, "no hours", as_json=as_json))


@app.command("erase")
def erase_command(
    config: ConfigOption = None,
    client: Annotated[str, typer.Option("--client", metavar="CLIENT", help="An address, or as events name the client")] = "",
    tenant: Annotated[str, typer.Option("--tenant", "-t", metavar="TENANT", help="All of this tenant, or the client there")] = "",
) -> None:
    """Erase what the store of this machine has of a client or a tenant, and say where else copies may be."""
    console, errors = consoles()
    loaded = load_config(config, errors)
    if loaded is None:
        raise typer.Exit(EXIT_INVALID)
    if not client and not tenant:
        errors.print(Text("name a client with --client, a tenant with --tenant, or both", "red"))
        raise typer.Exit(EXIT_INVALID)
    try:
        outcome = erase_events(loaded, client=client, tenant=tenant)
    except (PdnsError, OSError) as error:
        errors.print(Text(str(error), "red"))
        raise typer.Exit(1) from None
    for line in (outcome.text, *outcome.copies):
        console.print(Text(line), soft_wrap=True)


add_sinks(app)


def _show(
    path: Path | None,
    of: tuple[str, str, str],
    ask: Callable[[EventQueries, Config, Window, str | None], Iterable[Any]],
    titles: Row,
    row: Callable[[Any], Row],
    nothing: str,
    *,
    as_json: bool,
) -> int:
    """Print a row for each result. Returns 0, 1 when the store cannot be read, or 2 for what cannot be asked."""
    console, errors = consoles()
    since, until, tenant = of
    config = load_config(path, errors)
    if config is None:
        return EXIT_INVALID
    try:
        period = typed_period(since, until, time.time())
        store = open_store(config)
        try:
            found = list(ask(store, config, Window(period.start_s, period.end_s), tenant or None))
        finally:
            store.close()
    except (InvalidPeriod, InvalidName) as error:
        errors.print(Text(str(error), "red"))
        return EXIT_INVALID
    except PdnsError as error:
        errors.print(Text(str(error), "red"))
        return 1
    if as_json:
        for one in found:
            print(msgspec.json.encode(one).decode())
    elif found:
        aligned(console, [titles, *map(row, found)])
    elif tenant and tenant not in (NO_TENANT, *(one.name for one in config.tenant)):
        known = ", ".join(one.name for one in config.tenant)
        errors.print(Text(f"{nothing}, and no tenant {tenant}; tenants: {known or 'none are configured'}", "red"))
        return EXIT_INVALID
    else:
        console.print(Text(_with_reason(config, nothing)))
    return 0


def _with_reason(config: Config, nothing: str) -> str:
    clients = {config.events.clients, *(one.events_clients for one in config.tenant)} - {""}
    return (
        f"{nothing}: events say nothing about clients (events.clients)"
        if (nothing, clients) == (_NO_MACHINES, {"none"})
        else nothing
    )


def _event_row(event: Event) -> Row:
    qtype = rdatatype.to_text(rdatatype.RdataType.make(event.qtype))
    action = event.action if event.kind == "blocked" else "monitored"
    return (
        _clock(event.time_s), str(event.n), event.tenant, event.client, event.qname, qtype,
        "" if event.listed == event.qname else event.listed, event.feed, event.category, action,
    )  # fmt: skip


def _finding_row(finding: Finding) -> Row:
    return _clock(finding.time_s), finding.kind, finding.tenant, finding.client, finding.subject, finding.text


def _machine_row(machine: MachineRow) -> Row:
    more = machine.domains - len(machine.names)
    listed = ", ".join(machine.names) + (f" and {more} more" if more else "")
    every = "" if machine.period_s is None else f"{_length(machine.period_s)} ±{(machine.jitter or 0.0) * 100:.0f}%"
    stopped = "" if machine.stopped_since_s is None else _clock(machine.stopped_since_s)
    return (
        machine.client, machine.tenant, machine.threat, machine.category, str(machine.n), _clock(machine.first_s),
        _clock(machine.last_s), every, stopped, listed,
    )  # fmt: skip


def _hour_row(hour: Hour) -> Row:
    counts = (hour.queries, hour.blocked, hour.monitored, hour.events, hour.merged, hour.lost, hour.unaccounted)
    return _clock(hour.start_s), hour.node, *map(str, counts)


def _clock(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(min(at_s, LATEST_S)))


def _length(seconds: float) -> str:
    """Two digits are enough."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{math.floor(seconds + 0.5)} s"
