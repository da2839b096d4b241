"""`pdns explain NAME`: which feeds list a name, by which rule, and what a client gets."""

from __future__ import annotations

import time
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

import typer
from dnslib import QTYPE, DNSRecord
from rich.console import Console
from rich.text import Text

from pdns import feedstatus
from pdns.blockset import Blockset, Listing, Rule
from pdns.cli.feedtable import aligned
from pdns.config import Config
from pdns.configload import default_config_path, load
from pdns.core import names
from pdns.core import protocol as p
from pdns.core.cache import AnswerCache
from pdns.core.outcome import Answer, Drop, Forward
from pdns.core.query import Query
from pdns.core.resolver import Resolver
from pdns.errors import BlocksetError, ConfigErrors, InvalidName
from pdns.generations import CURRENT, blocksets_directory

EXIT_INVALID = 2
_REACH = {Rule.EXACT: "this name only", Rule.SUBTREE: "the name and everything below it", Rule.BELOW: "everything below it"}
_TITLES = ("feed", "category", "mode", "listed name", "reaches", "feed last changed")
_SHOWN_TYPES = (p.A, p.AAAA, p.HTTPS)


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The domain name to explain")],
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="For a client of this tenant [default: of none]")] = "",
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="The configuration [default: as for serve]")
    ] = None,
) -> None:
    """Say which feeds list a name, by which rule, since when, and what a client gets."""
    raise typer.Exit(explain(name, tenant, config))


def explain(name: str, tenant: str, path: Path | None) -> int:
    """Prints the explanation and returns 0; 2 with the reason on stderr when the name or the configuration is no good."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        qname = names.from_text(name)
        config = load(default_config_path(path))
        address = _address_of(config, tenant)
    except InvalidName as failure:
        errors.print(f'"{name}" is not a domain name: {failure.reason}', style="red")
        return EXIT_INVALID
    except ConfigErrors as failure:
        for error in failure.errors:
            errors.print(str(error), style="red")
        return EXIT_INVALID
    except LookupError as failure:
        errors.print(str(failure.args[0]), style="red")
        return EXIT_INVALID
    state_dir = Path(config.state.dir)
    try:
        blockset = Blockset.open(blocksets_directory(state_dir) / CURRENT)
    except BlocksetError as failure:
        if config.feed:
            errors.print(f"no blockset to look in ({failure}); start `pdns serve` or run `pdns feeds update`", style="yellow")
        blockset = None
    output = Console(soft_wrap=True, highlight=False, markup=False)
    output.print(Text(names.to_text(qname), style="bold"))
    _print_listings(output, config, blockset, qname)
    _print_answers(output, config, blockset, qname, address)
    return 0


def _address_of(config: Config, tenant: str) -> str:
    """An address that a client of `tenant` could have. Raises `LookupError` for a tenant that is not configured."""
    if not tenant:
        return next((str(ip_network(text)[0]) for text in config.access.networks), "127.0.0.1")
    for candidate in config.tenant:
        if candidate.name == tenant:
            return str(ip_network(candidate.networks[0])[0])
    known = ", ".join(candidate.name for candidate in config.tenant) or "none are configured"
    raise LookupError(f'no tenant "{tenant}"; tenants: {known}')


def _print_listings(output: Console, config: Config, blockset: Blockset | None, qname: bytes) -> None:
    listings = blockset.lookup(qname) if blockset is not None else ()
    if not listings:
        output.print("  listed by no feed")
        return
    configured = {feed.name: feed for feed in config.feed}
    status = feedstatus.read(Path(config.state.dir))
    rows = [_TITLES]
    for listing in listings:
        feed = configured.get(listing.feed)
        changed_s = status.feeds[listing.feed].last_changed_s if status and listing.feed in status.feeds else 0.0
        rows.append(
            (
                listing.feed,
                feed.category if feed else "",
                feed.mode if feed else "no longer configured",
                names.to_text(listing.name),
                _reach(listing),
                time.strftime("%Y-%m-%d %H:%M", time.localtime(changed_s)) if changed_s else "",
            )
        )
    aligned(output, rows, indent="  ")


def _reach(listing: Listing) -> str:
    return ("excepts " if listing.allow else "") + _REACH[listing.rule]


def _print_answers(output: Console, config: Config, blockset: Blockset | None, qname: bytes, address: str) -> None:
    resolver = Resolver(config, AnswerCache(config.cache.max_bytes))
    resolver.set_blockset(blockset, ready=True)
    told = {QTYPE[qtype]: _outcome(resolver, qname, qtype, address) for qtype in _SHOWN_TYPES}
    if len(outcomes := set(told.values())) == 1:
        told = {"any type": outcomes.pop()}
    output.print("  a client gets")
    for qtype, outcome in told.items():
        output.print(f"    {qtype:<8}  {outcome}")


def _outcome(resolver: Resolver, qname: bytes, qtype: int, address: str) -> str:
    """What the resolver decides, in words."""
    question = qname + qtype.to_bytes(2) + p.CLASS_IN.to_bytes(2)
    query = Query(0, p.RD, question, qtype, p.CLASS_IN, edns=False, do=False, udp_bytes=65535)
    outcome = resolver.handle(query, resolver.client(address), address, 0.0)
    if isinstance(outcome, Forward):
        return "what the upstream says, unless its CNAMEs or addresses lead to something listed"
    if isinstance(outcome, Drop):
        return f"no answer ({outcome.reason})"
    assert isinstance(outcome, Answer)  # the others are for queries that come in batches
    return _answer_text(outcome, query)


def _answer_text(answer: Answer, query: Query) -> str:
    entry = answer.entry
    if entry.silent:
        return f"no answer at all ({_reason(answer)})"
    record = DNSRecord.parse(entry.render(query, 0.0, 65535))
    rcode = p.RCODE_NAMES.get(entry.rcode, str(entry.rcode))
    data = ", ".join(f"{QTYPE[rr.rtype]} {rr.rdata}" for rr in record.rr) or ("NODATA" if entry.rcode == p.NOERROR else rcode)
    ttl_s = min((rr.ttl for rr in (*record.rr, *record.auth)), default=0)
    return f"{data} for {ttl_s} s ({_reason(answer)})"


def _reason(answer: Answer) -> str:
    if answer.entry.ede is not None:
        code, text = answer.entry.ede
        return f"{answer.source}, EDE {code}: {text.decode()}"
    return answer.source
