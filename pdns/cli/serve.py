"""`pdns serve`: runs the resolver in the foreground until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from pdns.cli.listener_summary import attempt, urls
from pdns.config.addresses import Endpoint, parse_endpoint, reachable, source_path
from pdns.config.listener_schema import ListenerSection
from pdns.config.load import EXAMPLE, default_config_path
from pdns.errors import ConfigError, PdnsError
from pdns.logs import print_once
from pdns.supervisor.process_one import end_on_sigterm
from pdns.supervisor.serve import Supervisor
from pdns.version import VERSION

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
EXIT_INVALID = 2  # the configuration, as for `pdns check`
_EXAMPLE_NAME = "malware.test"  # the shipped feed lists it


def command(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="[default: ./pdns.toml, /etc/protective-dns/pdns.toml, or a shipped example]",
        ),
    ] = None,
) -> None:
    """Answer queries until stopped (Ctrl-C or SIGTERM). SIGHUP, or a change of the file, reloads the configuration."""
    raise typer.Exit(serve(config))


def serve(config: Path | None) -> int:
    """Serve until stopped, and return 0. After an error, printed to stderr: 2 for the configuration, 1 for anything else."""
    try:
        end_on_sigterm()
        asyncio.run(_run(default_config_path(config)))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_INVALID
    except PdnsError as error:
        print(f"pdns serve: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:  # before anything was started
        return EXIT_INTERRUPTED
    return 0


async def _run(path: Path) -> None:
    await Supervisor(path, _announce, _loading if sys.stderr.isatty() else lambda _: None).run()


def _announce(supervisor: Supervisor) -> None:
    bold = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print_once(banner(supervisor, bold=bold) + "\n")


def _loading(text: str) -> None:
    """The progress of the feeds, on one line of a terminal that is cleared at the end."""
    with contextlib.suppress(OSError):
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def banner(supervisor: Supervisor, *, bold: bool) -> str:
    """The banner: version, addresses, feeds, and commands to try."""
    config = supervisor.config
    present = supervisor.listen_addresses.present
    plain = supervisor.listeners.plain_endpoints
    there = [endpoint for endpoint in plain if present.get(str(endpoint), True)]
    workers = supervisor.workers.count
    rows = [
        ("listens on", ", ".join(map(str, plain)) + " (UDP and TCP)"),
        *[("encrypted", ", ".join(urls(listener, bound))) for listener, bound in _encrypted(supervisor)],
        *[("not there yet", absent) for absent in supervisor.listen_addresses.absent],
        ("answers with", f"{workers} worker{'s' if workers != 1 else ''}"),
        ("forwards to", ", ".join(config.upstream.servers)),
        *[("NOT READY", line) for line in supervisor.not_ready()],
        ("blocks", _blocks(supervisor)),
        ("metrics", f"http://{reachable(supervisor.metrics_endpoint)}/metrics"),
        ("state in", config.state.dir),
        ("configured by", str(supervisor.config_path)),
        *[("try", f"dig @{reachable(endpoint).host} -p {endpoint.port} {_name_to_try(supervisor)}") for endpoint in there[:1]],
        *[("or encrypted", command) for command in _attempts(supervisor)[:1]],
        ("explain", f"{shlex.join(_program())} explain {_name_to_try(supervisor)}{_option(supervisor.config_path)}"),
    ]
    width = max(len(title) for title, _ in rows)
    on, off = ("\x1b[1m", "\x1b[0m") if bold else ("", "")
    lines = [f"{on}pdns {VERSION}{off}", "", *(f"  {on}{title:<{width}}{off}  {value}" for title, value in rows), ""]
    return "\n".join(lines)


def _encrypted(supervisor: Supervisor) -> list[tuple[ListenerSection, list[Endpoint]]]:
    """Each encrypted listener with its addresses as bound; [] where another process has bound them."""
    bound = supervisor.listeners.encrypted_endpoints
    return [(listener, bound.get(index, [])) for index, listener in enumerate(supervisor.config.listener)]


def _attempts(supervisor: Supervisor) -> list[str]:
    """Commands that ask encrypted listeners."""
    asked = [
        attempt(listener, endpoint, _name_to_try(supervisor))
        for listener, bound in _encrypted(supervisor)
        for endpoint in (bound or map(parse_endpoint, listener.listen))
    ]
    return list(filter(None, asked))


def _program() -> list[str]:
    """The command for this program: `pdns` if the shell finds it there, else its whole path."""
    script = Path(sys.executable).with_name("pdns")
    found = shutil.which("pdns")
    if found and script.exists() and Path(found).resolve() == script.resolve():
        return ["pdns"]
    program, rest = (script, []) if os.access(script, os.X_OK) else (Path(sys.executable), ["-m", "pdns"])
    return [str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program), *rest]


def _option(config: Path) -> str:
    """The `-c` option for another command; nothing if it finds the same configuration by itself."""
    return "" if config == default_config_path() else f" -c {shlex.quote(str(config))}"


def _blocks(supervisor: Supervisor) -> str:
    status, configured = supervisor.status.read(), supervisor.config.feed
    if not configured:
        node = supervisor.config.fleet.role == "node"
        return "nothing yet: the lists come from the fleet's publisher" if node else "nothing: no feed is configured"
    current = supervisor.workers.least("blockset_generation") >= status.generation
    loaded = [feed.name for feed in configured if current and feed.name in status.feeds and status.feeds[feed.name].loaded]
    entries = supervisor.workers.least("blockset_entries")
    text = f"{entries:,} name{'s' if entries != 1 else ''} of {len(loaded)} feed{'s' if len(loaded) != 1 else ''}"
    if waiting := [feed.name for feed in configured if feed.name not in loaded]:
        text += f"; not loaded yet: {', '.join(waiting)}"
    return text


def _name_to_try(supervisor: Supervisor) -> str:
    shipped = any(
        (path := source_path(feed.url)) is not None and path.parent == EXAMPLE.parent for feed in supervisor.config.feed
    )
    return _EXAMPLE_NAME if shipped else "example.com"
