"""`pdns explain NAME`: which feeds list a name or an address, by which rule, since when, and what a client gets.

`pdns explain CASE` says the same of the name behind a case reference.
"""

from __future__ import annotations

import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec.structs import replace
from rich.console import Console
from rich.text import Text

from pdns.answer_preview import answers_leading_to, answers_to, client_of_tenant
from pdns.case_lookup import listing_of, statement_of, tenant_of
from pdns.cli.cases import case_text, cases_of, typed_case
from pdns.cli.commands import EXIT_INVALID, ConfigOption, load_config, next_step
from pdns.cli.feed_table import aligned
from pdns.cli.live_server import upstream_states
from pdns.core.case import CaseError
from pdns.errors import InvalidName
from pdns.explain import (
    Explanation,
    FeedStatement,
    PolicyStatement,
    RouteStatement,
    UnknownError,
    decision_for,
    host_of,
    live_blockset,
    of_address,
    of_name,
)
from pdns.state import overrides
from pdns.state.cases import Case
from pdns.wire import names

_TITLES = (
    "feed",
    "category",
    "mode",
    "listed",
    "reaches",
    "threat",
    "first seen",
    "last in the feed",
    "published",
    "expires",
    "reference",
)
_ALWAYS = 5  # of the titles; a column behind them is there when it has something to say


def command(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The domain name, the IP address, or the case reference to explain")
    ],
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="For a client of this tenant [default: no tenant]")] = "",
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; times are seconds since the epoch")] = False,
) -> None:
    """Show which feeds list a name or an address, by which rule and since when, where questions go, and what a client gets."""
    raise typer.Exit(explain_any(name, tenant, config, as_json=as_json))


def explain_any(text: str, tenant: str, path: Path | None, *, as_json: bool = False) -> int:
    """As `explain`, of a name, an address, or every name that a case reference leads to."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        reference = typed_case(text)
    except CaseError as failure:
        errors.print(f'{failure}. If it is a name, write "{text}."', style="red")
        return EXIT_INVALID
    config = load_config(path, errors, reads_only=True) if reference else None
    if config is None:
        return EXIT_INVALID if reference else explain(text, tenant, path, as_json=as_json)
    found = cases_of(reference, config, errors)
    codes = []
    for case in found:
        listed, is_listed = listing_of(case, config)
        if not as_json:
            Console(soft_wrap=True, highlight=False, markup=False).print(case_text(case, is_listed=is_listed))
        codes.append(explain(listed, tenant or tenant_of(case, config), path, as_json=as_json, case=case))
    return max(codes, default=EXIT_INVALID)


def explain(name: str, tenant: str, path: Path | None, *, as_json: bool = False, case: Case | None = None) -> int:
    """Prints the explanation, in JSON with `case`, and returns 0. Returns 2, with the reason on stderr, when the name or the
    configuration is invalid or the listing is unknown.
    """
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        host = host_of(name)
        address = _as_address(host)
        qname = b"" if address is not None else names.from_text(host)
        config = load_config(path, errors, reads_only=True)
        if config is None:
            return EXIT_INVALID
        client = client_of_tenant(config, tenant)
    except InvalidName as failure:
        errors.print(f'"{name}" is not a domain name: {failure.reason}', style="red")
        return EXIT_INVALID
    except LookupError as failure:
        errors.print(str(failure.args[0]), style="red")
        return EXIT_INVALID
    try:
        blockset = live_blockset(config)
        current = overrides.read(Path(config.state.dir)).at(time.time())
    except UnknownError as failure:
        advice = "" if failure.advice else f"; {next_step(Path(config.state.dir))}"
        errors.print(f"{failure}{advice}", style="red")
        return EXIT_INVALID
    except (OSError, msgspec.DecodeError) as failure:
        errors.print(f"local entries are unknown: {overrides.FILE_NAME} cannot be read: {failure}", style="red")
        return EXIT_INVALID
    if address is not None:
        explanation, answers = (
            of_address(config, blockset, current, address),
            answers_leading_to(config, blockset, current, address, client, time.time()),
        )
    else:
        explanation, answers = (
            replace(
                of_name(config, blockset, current, qname, upstream_states(config), time.time()),
                decision=decision_for(config, blockset, current, qname, client, time.time()),
            ),
            answers_to(config, blockset, current, qname, client, time.time()),
        )
    if explanation.problem:
        errors.print(f"annotations cannot be read: {explanation.problem}", style="yellow")
    if as_json:
        more = {} if case is None else {"case": msgspec.to_builtins(statement_of(case))}
        print(msgspec.json.encode({**more, **msgspec.to_builtins(explanation), "answers": answers}).decode())
        return 0
    output = Console(soft_wrap=True, highlight=False, markup=False)
    output.print(Text(explanation.asked, style="bold"))
    _print_listings(output, explanation, tenant)
    if (decision := explanation.decision) is not None:
        output.print(f"  {_decision_text(decision)}")
    if explanation.route is not None and explanation.record is None:
        output.print(f"  {_route_text(explanation.route, may_be_blocked=bool(explanation.said or explanation.local))}")
    output.print("  a client gets" if address is None else "  an answer that leads there")
    for qtype, outcome in answers.items():
        output.print(f"    {qtype:<8}  {outcome}")
    return 0


def _as_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _print_listings(output: Console, explanation: Explanation, tenant: str) -> None:
    if explanation.record is not None:
        output.print(f"  answered by local records: {explanation.record.name} ({explanation.record.source})")
    for entry in explanation.allowed:
        if not tenant or entry.by.startswith("policy ") or entry.by in ("block.allow", f"tenant {tenant}"):
            output.print(f"  allowed by {entry.by}: {entry.name}")
    if (local := explanation.local) is not None:
        output.print(f"  {'blocked' if local.action == 'block' else 'allowed'} here: {local.name}: {local.reason}")
    if not explanation.said:
        output.print("  listed by no feed")
        return
    rows = [_TITLES, *map(_row, explanation.said)]
    shown = [at for at in range(len(_TITLES)) if at < _ALWAYS or any(row[at] for row in rows[1:])]
    aligned(output, [tuple(row[at] for at in shown) for row in rows], indent="  ")


def _decision_text(decision: PolicyStatement) -> str:
    """What the policy decides, in words."""
    by = f" by {decision.by}" if decision.by else ""
    rule = f", which names {decision.rule}" if decision.rule else ""
    reason = f": {decision.reason}" if decision.reason else ""
    return f"policy {decision.policy}: {decision.outcome}{by}{rule}{reason}"


def _route_text(route: RouteStatement, *, may_be_blocked: bool) -> str:
    """Where questions go, in words."""
    forwarded = "if not blocked, forwarded" if may_be_blocked and route.checked else "forwarded"
    why = f"zone {route.zone}" if route.zone else "in no zone"
    how = f", {route.strategy}" if len(route.servers) > 1 else ""
    beyond = f"; if they fail, to group {route.fallback}" if route.fallback else ""
    unchecked = "; not checked by feeds and local blocks" if not route.checked else ""
    servers = [f"{server} [{route.states[server]}]" if server in route.states else server for server in route.servers]
    return f"{forwarded} to {', '.join(servers)} ({why}{how}){beyond}{unchecked}"


def _row(said: FeedStatement) -> tuple[str, ...]:
    mode = "switched off" if said.disabled else said.mode
    first, last = _day(said.first_seen_s), _minute(said.last_seen_s)
    published, expires = _day(said.published_s), _minute(said.expires_s)
    return (
        said.feed, said.category, mode, said.listed, said.reach, said.threat, first, last, published, expires, said.reference
    )  # fmt: skip


def _day(time_s: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(time_s)) if time_s else ""


def _minute(time_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(time_s)) if time_s else ""
