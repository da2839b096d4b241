"""`pdns explain NAME`: which feeds list a name or an address, by which rule, since when, and what a client gets."""

from __future__ import annotations

import time
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from dnslib import QTYPE, DNSRecord
from rich.console import Console
from rich.text import Text

from pdns import overrides
from pdns.blockset import Blockset
from pdns.cli.feedtable import aligned
from pdns.cli.ordering import EXIT_INVALID, ConfigOption
from pdns.config import Config
from pdns.configload import default_config_path, load
from pdns.core import names
from pdns.core import protocol as p
from pdns.core.cache import AnswerCache
from pdns.core.outcome import Answer, Drop, Forward
from pdns.core.policy import CLEAN, Policy
from pdns.core.query import Query
from pdns.core.resolver import Resolver
from pdns.errors import BlocksetError, ConfigErrors, InvalidName
from pdns.explanation import Explanation, Said, of_address, of_name
from pdns.generations import current_directory
from pdns.overrides import Overrides

_TITLES = (
    "feed",
    "category",
    "mode",
    "listed",
    "reaches",
    "threat",
    "first seen",
    "last seen",
    "published",
    "expires",
    "reference",
)
_ALWAYS = 5  # of the titles; a column behind them is there when it has something to say
_SHOWN_TYPES = (p.A, p.AAAA, p.HTTPS)


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The domain name, or the IP address, to explain")],
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="For a client of this tenant [default: of none]")] = "",
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for a program; times are seconds since the epoch")] = False,
) -> None:
    """Say which feeds list a name or an address, by which rule, since when, and what a client gets."""
    raise typer.Exit(explain(name, tenant, config, as_json=as_json))


def explain(name: str, tenant: str, path: Path | None, *, as_json: bool = False) -> int:
    """Prints the explanation and returns 0; 2 with the reason on stderr when the name or the configuration is no good."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        address = _as_address(name)
        qname = b"" if address is not None else names.from_text(name)
        config = load(default_config_path(path))
        client = _address_of(config, tenant)
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
    blockset, current = _blockset(config, errors), _overrides(config, errors)
    if address is not None:
        explanation, answers = of_address(config, blockset, current, address), _what_it_does(config, blockset, current, address)
    else:
        explanation, answers = of_name(config, blockset, current, qname), _answers(config, blockset, current, qname, client)
    if explanation.problem:
        errors.print(f"facts cannot be read: {explanation.problem}", style="yellow")
    if as_json:
        print(msgspec.json.encode({**msgspec.to_builtins(explanation), "answers": answers}).decode())
        return 0
    output = Console(soft_wrap=True, highlight=False, markup=False)
    output.print(Text(explanation.asked, style="bold"))
    _print_listings(output, explanation)
    output.print("  a client gets" if address is None else "  an answer that leads there")
    for qtype, outcome in answers.items():
        output.print(f"    {qtype:<8}  {outcome}")
    return 0


def _as_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _blockset(config: Config, errors: Console) -> Blockset | None:
    try:
        return Blockset.open(current_directory(Path(config.state.dir)))
    except BlocksetError as failure:
        if config.feed:
            errors.print(f"no blockset to look in ({failure}); start `pdns serve` or run `pdns feeds update`", style="yellow")
        return None


def _overrides(config: Config, errors: Console) -> Overrides:
    """What is in force beside the configuration."""
    try:
        return overrides.read(Path(config.state.dir)).at(time.time())
    except (OSError, msgspec.DecodeError) as failure:
        errors.print(f"{overrides.FILE_NAME} cannot be read: {failure}", style="yellow")
        return Overrides()


def _address_of(config: Config, tenant: str) -> str:
    """An address that a client of `tenant` could have. Raises `LookupError` for a tenant that is not configured."""
    if not tenant:
        return next((str(ip_network(text)[0]) for text in config.access.networks), "127.0.0.1")
    for candidate in config.tenant:
        if candidate.name == tenant:
            return str(ip_network(candidate.networks[0])[0])
    known = ", ".join(candidate.name for candidate in config.tenant) or "none are configured"
    raise LookupError(f'no tenant "{tenant}"; tenants: {known}')


def _print_listings(output: Console, explanation: Explanation) -> None:
    if (local := explanation.local) is not None:
        output.print(f"  {'blocked' if local.action == 'block' else 'allowed'} here: {local.name}: {local.reason}")
    if not explanation.said:
        output.print("  listed by no feed")
        return
    rows = [_TITLES, *map(_row, explanation.said)]
    shown = [at for at in range(len(_TITLES)) if at < _ALWAYS or any(row[at] for row in rows[1:])]
    aligned(output, [tuple(row[at] for at in shown) for row in rows], indent="  ")


def _row(said: Said) -> tuple[str, ...]:
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


def _what_it_does(
    config: Config, blockset: Blockset | None, current: Overrides, address: IPv4Address | IPv6Address
) -> dict[str, str]:
    """What becomes of an answer with this address, whoever gets it."""
    policy = Policy(config, current.rules(0.0))
    decision = policy.decide_address(blockset, address.packed, b"\0") if blockset is not None else CLEAN
    if decision.verdict is not None:
        feed, category = decision.verdict.feed, decision.verdict.category
        return {"any": f"is blocked by {feed} ({category}), which lists {decision.rule}, unless an allowlist has the name"}
    if decision.monitored:
        return {"any": f"passes; {', '.join(feed for feed, _ in decision.monitored)} would block it, in monitor mode"}
    return {"any": "passes"}


def _answers(config: Config, blockset: Blockset | None, current: Overrides, qname: bytes, address: str) -> dict[str, str]:
    resolver = Resolver(config, AnswerCache(config.cache.max_bytes))
    resolver.set_blockset(blockset, ready=True)
    resolver.override(current.rules(0.0))
    told = {QTYPE[qtype]: _outcome(resolver, qname, qtype, address) for qtype in _SHOWN_TYPES}
    return {"any type": outcomes.pop()} if len(outcomes := set(told.values())) == 1 else told


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
