"""`pdns feeds check`: fetches each configured source once and suggests a fix for failures. Changes nothing that is live."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from pdns.cli.commands import EXIT_INVALID, consoles, load_config
from pdns.cli.feed_table import aligned
from pdns.config.catalogue import catalogue
from pdns.config.schema import Config, Feed, State
from pdns.state.feed_status import FeedsStatus, FeedStatus

_TITLES = ("feed", "status", "format", "entries", "licence", "commercial", "service", "next step")
_REFUSED = ("the server said 401", "the server said 403", "a web page")
_STEPS = (  # a part of the reason -> what to do, where the reason does not say so itself
    ("a web page, not a list", "the url leads to a web page: the list has moved, or needs a login; open it in a browser"),
    ("the list is empty", "the list is empty at the moment, or was discontinued: ask the publisher"),
    ("no names in", "set format (and column or json_path) as the publisher describes the list"),
    ("checksum_url", "wait for the publisher to finish, then try again; if it stays so do not use the list"),
    ("older than one of", "the server, or an attacker, sends an old list: ask the publisher; the current copy stays in use"),
    ("signature", "wait for the publisher to finish, then try again; if it stays so do not use the list"),
    ("certificate", "check the clock of this machine and ca_file; for a proxy that decrypts TLS, put its CA into ca_file"),
    ("SSL", "check that the server offers TLS 1.2 or later at this port, and check ca_file"),
    ("Name or service", "check the host in url, and that the servers in [upstream] answer"),
    ("Cannot connect", "check the host in url, the servers in [upstream], the firewall and the proxy"),
    ("No such file", "create the file, or correct url"),
)


class Checked(msgspec.Struct, frozen=True):
    """The outcome for one source."""

    feed: str
    url: str
    ok: bool
    error: str
    format: str
    entries: int
    addresses: int
    licence: str
    commercial: str  # yes, no, ask, unknown
    service: str
    next_step: str


def check(path: Path | None, name: str, *, as_json: bool) -> int:
    """Prints a row for each source. Returns 0 when all are fine, 1 when one fails, 2 for an invalid configuration or `name`."""
    console, errors = consoles()
    config = load_config(path, errors)
    if config is None:
        return EXIT_INVALID
    feeds = tuple(feed for feed in config.feed if name in ("", feed.name))
    if name and not feeds:
        errors.print(Text(f"no feed {name}; feeds: {', '.join(feed.name for feed in config.feed) or 'none'}", "red"))
        return EXIT_INVALID
    columns = (TextColumn("trying"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("", total=len(feeds))

        def on_status(status: FeedsStatus) -> None:
            progress.update(task, completed=sum(feed.last_attempt_s > 0 for feed in status.feeds.values()))

        status = _try_all(config, feeds, on_status)
    checked = [_checked(feed, status.feeds[feed.name]) for feed in feeds]
    if as_json:
        print(msgspec.json.encode(checked).decode())
    else:
        aligned(console, [_TITLES, *map(_row, checked)])
    return 0 if all(one.ok for one in checked) else 1


def _try_all(config: Config, feeds: tuple[Feed, ...], on_status: Callable[[FeedsStatus], None]) -> FeedsStatus:
    from feeds.refresh import build_once  # noqa: PLC0415 (only this command needs all that)

    logging.getLogger("feeds").setLevel(logging.CRITICAL)  # all of it is in what is printed
    with tempfile.TemporaryDirectory(prefix="pdns-check-") as directory:
        return build_once(msgspec.structs.replace(config, state=State(dir=directory), feed=feeds), on_status)


def _checked(feed: Feed, status: FeedStatus) -> Checked:
    entry = catalogue().get(feed.use, {})
    held = status.held_update.finding.reason if status.held_update is not None else ""
    error = status.last_error or held
    return Checked(
        feed=feed.name,
        url=status.url,
        ok=not error,
        error=error,
        format=status.format,
        entries=status.entries,
        addresses=status.addresses,
        licence=entry.get("licence", "") or "unknown",
        commercial=entry.get("commercial", "unknown"),
        service=entry.get("service", "unknown"),
        next_step=_next_step(feed, error) if error else _moved(status),
    )


def _moved(status: FeedStatus) -> str:
    return f'moved permanently: set url = "{status.moved_to}"' if status.moved_to else ""


def _next_step(feed: Feed, error: str) -> str:
    entry = catalogue().get(feed.use, {})
    refused = any(sign in error for sign in _REFUSED)
    if refused and "key" in entry and not (feed.token_file or feed.token_env):
        return f"get a key at {entry['key']}, put it into a file, and set token_file to it"
    if "notice" in entry:
        return str(entry["notice"])
    mirrors = entry.get("mirrors", ())
    if mirrors and feed.url not in mirrors:
        return f"try a mirror: url = {mirrors[0]}"
    return next((step for part, step in _STEPS if part in error), "")


def _row(checked: Checked) -> tuple[str, ...]:
    entries = f"{checked.entries:,}" + (f" + {checked.addresses:,} addresses" if checked.addresses else "")
    said = "; ".join(filter(None, (checked.error, checked.next_step)))
    result = "ok" if checked.ok else "FAILS"
    return checked.feed, result, checked.format or "-", entries, checked.licence, checked.commercial, checked.service, said
