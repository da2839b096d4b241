"""`pdns report`: what was blocked in a period, for people; and what is known of one name or one machine."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from pdns.cli.commands import EXIT_INVALID, ConfigOption, consoles, load_config
from pdns.config.policies import NO_TENANT
from pdns.config.schema import Config
from pdns.errors import PdnsError
from pdns.event_store.open import open_store
from pdns.files.safe_files import read_bounded, write_whole
from pdns.incident_lookup import incident_of
from pdns.report.content import gather
from pdns.report.formats import ReportFormat, rendered
from pdns.report.incident import verified
from pdns.report.incident_formats import rendered_incident
from pdns.report.periods import InvalidPeriod, Period, typed_period
from pdns.state import feed_status

_FORMATS: tuple[ReportFormat, ...] = ("text", "html", "json", "csv")
_MOST_BYTES = 256 * 1024 * 1024


def command(
    config: ConfigOption = None,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Since when: 24h, 7d, 4w, 2026-11-23 or 2026-11-23T14:00")
    ] = "7d",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="Until when, likewise [default: now]")] = "",
    tenant: Annotated[str, typer.Option("--tenant", "-t", metavar="TENANT", help="Of this tenant only")] = "",
    form: Annotated[str, typer.Option("--format", "-f", metavar="FORMAT", help="text, html, json or csv")] = "text",
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to this file")] = None,
    time_zone: Annotated[str, typer.Option("--time-zone", metavar="ZONE", help="Of the times: Europe/London")] = "UTC",
    incident: Annotated[bool, typer.Option("--incident", help="All that is known of a name or a machine")] = False,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="With --incident: the name, and names below it")] = "",
    client: Annotated[
        str, typer.Option("--client", metavar="CLIENT", help="With --incident: the machine, as events name it")
    ] = "",
    verify: Annotated[
        Path | None, typer.Option("--verify", metavar="FILE", help="Compare the hash of an incident report in JSON")
    ] = None,
) -> None:
    """Report what was blocked: headline numbers, machines to look at, top lists, what the feeds are worth."""
    console, errors = consoles()
    try:
        if verify is not None:
            raise typer.Exit(_verify(verify, console, errors))
        chosen = next((known for known in _FORMATS if known == form), None)
        if chosen is None:
            raise InvalidPeriod(f"--format: expected text, html, json or csv, got {form[:40]}")
        if bool(name or client) != incident:
            raise InvalidPeriod("--incident: name the domain with --name, the machine with --client, or both" if incident
                                else "--name, --client: only with --incident")  # fmt: skip
        period = typed_period(since, until, time.time(), time_zone)
    except InvalidPeriod as error:
        errors.print(Text(str(error), "red"))
        raise typer.Exit(EXIT_INVALID) from None
    loaded = load_config(config, errors)
    if loaded is None or not _is_known(loaded, tenant, errors):
        raise typer.Exit(EXIT_INVALID)
    try:
        made = _made(loaded, period, tenant, chosen, incident=incident, name=name, client=client)
    except (PdnsError, ValueError) as error:
        errors.print(Text(str(error), "red"))
        raise typer.Exit(1) from None
    raise typer.Exit(_write(made, output, console, errors))


def _made(config: Config, period: Period, tenant: str, form: ReportFormat, *, incident: bool, name: str, client: str) -> bytes:
    queries = open_store(config)
    try:
        if incident:
            found = incident_of(queries, config, period, time.time(), name=name, client=client, tenant=tenant or None)
            return rendered_incident(found, form)
        status = feed_status.read(Path(config.state.dir))
        return rendered(gather(queries, config, status, period, tenant or None, time.time()), form)
    finally:
        queries.close()


def _is_known(config: Config, tenant: str, errors: Console) -> bool:
    known = [one.name for one in config.tenant]
    if tenant and tenant not in (NO_TENANT, *known):
        errors.print(Text(f"no tenant {tenant}; tenants: {', '.join(known) or 'none are configured'}", "red"))
        return False
    return True


def _verify(path: Path, console: Console, errors: Console) -> int:
    try:
        content = verified(read_bounded(path, _MOST_BYTES, follow_links=True))
    except (OSError, PdnsError) as error:
        errors.print(Text(f"{path}: {error.strerror if isinstance(error, OSError) else error}", "red"))
        return 1
    console.print(Text(f"{path}: unchanged since {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(content.made_s))} UTC"))
    return 0


def _write(made: bytes, output: Path | None, console: Console, errors: Console) -> int:
    if output is None:
        sys.stdout.buffer.write(made)
        sys.stdout.buffer.flush()
        return 0
    path = output.absolute()
    try:
        write_whole(path.parent.resolve() / path.name, made, mode=0o600)
    except OSError as error:
        hint = f"; write it with `pdns report ... > {output}`" if isinstance(error, PermissionError) else ""
        errors.print(Text(f"{output}: {error.strerror}{hint}", "red"))
        return 1
    console.print(Text(f"{output}: {len(made):,} bytes"))
    return 0
