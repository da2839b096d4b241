"""`pdns top`: how the running server does, on a terminal, once a second."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from pdns.cli.commands import EXIT_INVALID, ConfigOption, consoles, load_config
from pdns.cli.top_keys import pressed
from pdns.cli.top_source import Latest, NoStatusError, StatusReaderThread, endpoint_of, read_once
from pdns.cli.top_terminal import TopTerminal
from pdns.cli.top_view import TopLook, TopState, header, plain, screen, shown_rows
from pdns.config.addresses import Endpoint
from pdns.telemetry.live_status import LiveStatus


def command(
    config: ConfigOption = None,
    once: Annotated[bool, typer.Option("--once", help="Print everything once, as plain text; so does a pipe")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything once, as JSON")] = False,
) -> None:
    """Show rates, latency, blocked names as they happen, feeds, upstreams, workers and tenants. Keys: ? shows them."""
    raise typer.Exit(show(config, once=once, as_json=as_json))


def show(path: Path | None, *, once: bool, as_json: bool) -> int:
    """Returns 0; 1 when the server does not answer, 2 for an invalid configuration."""
    console, errors = consoles()
    config = load_config(path, errors, reads_only=True)
    if config is None:
        return EXIT_INVALID
    where = endpoint_of(config)
    try:
        first = read_once(where)
    except NoStatusError as error:
        errors.print(Text(str(error), "red"))
        return 1
    assert first.status is not None
    if as_json:
        sys.stdout.write(f"{first.raw.decode()}\n")
    elif once or not (sys.stdin.isatty() and console.is_terminal) or console.is_dumb_terminal:
        _print(console, first.status)
    else:
        return _follow(where, first)
    return 0


def _print(console: Console, status: LiveStatus) -> None:
    for line in plain(status, unicode=console.encoding == "utf-8"):
        console.print(line, soft_wrap=True)


def _follow(where: Endpoint, first: Latest) -> int:
    try:
        with TopTerminal() as terminal:
            reader = StatusReaderThread(where, first, terminal.wake)
            reader.start()
            try:
                _loop(terminal, reader)
            finally:
                reader.stop()
    except (KeyboardInterrupt, EOFError):
        return 0
    except OSError:  # the terminal has gone
        return 1
    return 0


def _loop(terminal: TopTerminal, reader: StatusReaderThread) -> None:
    state, status = TopState(), reader.latest.status
    assert status is not None
    while True:
        latest = reader.latest
        if not state.paused and latest.status is not None:
            status = latest.status
        look = terminal.look
        state = bounded(state._replace(lost_s=latest.lost_s, problem=latest.problem), status, look)
        terminal.draw(screen(status, state, look))
        for key in terminal.pressed():
            after = pressed(state, key, page_of(status, state, look))
            if after is None:
                return
            state = bounded(after, status, look)


def page_of(status: LiveStatus, state: TopState, look: TopLook) -> int:
    """How many rows of a table fit."""
    return max(1, look.height - len(header(status, state, look)) - 3)


def bounded(state: TopState, status: LiveStatus, look: TopLook) -> TopState:
    """With a first row that leaves no room empty that a row could take."""
    most = max(0, len(shown_rows(status, state)) - page_of(status, state, look))
    return state._replace(top=min(max(0, state.top), most))
