"""`pdns cache`: what the running server has cached, and dropping it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import msgspec
import typer
from rich.text import Text

from pdns.cli.api_client import ask
from pdns.cli.commands import ConfigOption, ReasonOption, consoles
from pdns.cli.feed_table import aligned

_TITLES = ("type", "code", "source", "expires", "hits", "worker", "policy", "for", "answer")

app = typer.Typer(help="Cached answers of the running server.", no_args_is_help=True, rich_markup_mode=None)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The domain name")]


@app.command("show")
def show_command(
    name: NameArgument,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; times are seconds from now")] = False,
) -> None:
    """Show the cached answers for a name, of every type and policy."""
    code, said = ask(config, "GET", f"/api/cache?name={quote(name, safe='')}")
    console, _ = consoles()
    if code:
        raise typer.Exit(code)
    if as_json:
        print(msgspec.json.encode(said).decode())
    elif not said["answers"]:
        console.print(Text(f"nothing is cached for {said['name']}"))
    else:
        aligned(console, [_TITLES, *(_row(one) for one in said["answers"])])
    if not as_json and said["count"] > len(said["answers"]) > 0:
        console.print(Text(f"and {said['count'] - len(said['answers'])} more"))


@app.command("flush")
def flush_command(
    name: NameArgument,
    config: ConfigOption = None,
    below: Annotated[bool, typer.Option("--below", help="Also every name below it")] = False,
    reason: ReasonOption = "",
) -> None:
    """Drop the cached answers for a name from every worker."""
    code, said = ask(config, "POST", "/api/cache/flush", {"name": name, "below": below, "reason": reason})
    if not code:
        consoles()[0].print(Text(said["text"]), soft_wrap=True)
    raise typer.Exit(code)


def _row(one: dict[str, object]) -> tuple[str, ...]:
    left = one["expires_in_s"]
    assert isinstance(left, float | int)
    records = one["answer"]
    assert isinstance(records, list)
    clients = [word for word, given in (("DNSSEC", one["dnssec"]), ("unchecked", one["unchecked"])) if given]
    return (
        str(one["qtype"]),
        str(one["rcode"]),
        str(one["source"]),
        f"in {left:.0f} s" if left > 0 else f"stale, since {-left:.0f} s",
        str(one["hits"]),
        str(one["worker"]),
        str(one["policy"]),
        ", ".join(clients) or "all",
        "; ".join(" ".join(str(record).split()[3:]) for record in records),
    )
