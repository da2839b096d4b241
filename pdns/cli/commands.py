"""Commands from the command line: sent to the running resolver, or carried out here when none runs."""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from pdns.config.load import default_config_path, load
from pdns.config.schema import Config
from pdns.errors import ConfigError, PdnsError
from pdns.files.records import remedy
from pdns.state import commands
from pdns.state.commands import Command, Outcome
from pdns.state.live_config import of_running_server
from pdns.state.lock import StateDirectory, is_served
from pdns.state.owner import StateOwnerError, become_owner

EXIT_INVALID = 2
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="The configuration [default: as for serve]")
]
ReasonOption = Annotated[str, typer.Option("--reason", "-r", metavar="TEXT", help="Why; kept in the audit log")]
ForceOption = Annotated[bool, typer.Option("--force", help="Do not ask for confirmation")]
TenantOption = Annotated[str, typer.Option("--tenant", "-t", metavar="TENANT", help="For clients of this tenant only")]
ForOption = Annotated[str, typer.Option("--for", metavar="TIME", help="For how long: 30m, 2h, 7d [default: for good]")]


def user() -> str:
    """The user that the audit log names. Under sudo, the user who called sudo."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = str(os.getuid())
    caller = os.environ.get("SUDO_USER", "")
    return f"{caller} as {name}" if caller and caller != name else name


def consoles() -> tuple[Console, Console]:
    """Standard output and standard error."""
    return Console(highlight=False), Console(stderr=True, soft_wrap=True, highlight=False)


def load_config(path: Path | None, errors: Console, *, reads_only: bool = False) -> Config | None:
    """The configuration; None after printing its errors. Root becomes the owner of the state directory, unless the command
    `reads_only`.

    While the file has errors, this is the configuration that the running server uses, with a warning.
    """
    file = default_config_path(path)
    try:
        config = load(file)
    except ConfigError as exc:
        live = of_running_server(file)
        errors.print(Text(str(exc), "red" if live is None else "yellow"))
        if live is None:
            return None
        errors.print(Text(f"{file} has errors: using the configuration of the running server instead", "yellow"))
        config = live
    try:
        if not reads_only:
            become_owner(Path(config.state.dir))
    except StateOwnerError as exc:
        errors.print(Text(str(exc), "red"))
        return None
    return config


def next_step(state_dir: Path) -> str:
    """What to do when the state directory has nothing to read."""
    if state_dir.exists() and not os.access(state_dir, os.R_OK | os.X_OK):
        return "permission denied; run this as root or as the user that runs the resolver"
    return "start `pdns serve`, or fetch the feeds now with `pdns feeds update`"


def seconds(text: str, errors: Console) -> float | None:
    """The seconds of `--for`; 0 without it; None after printing that it is not a length of time."""
    try:
        return commands.parse_duration(text) if text else 0.0
    except ValueError as exc:
        errors.print(Text(f"--for: {exc}", "red"))
        return None


def run_command(path: Path | None, wanted: Command, lasting: str = "") -> int:
    """Carry out `wanted` for as long as `lasting` says, and print the outcome. Returns 0 when it was done."""
    console, errors = consoles()
    who = user()
    config = load_config(path, errors)
    for_s = seconds(lasting, errors)
    if config is None or for_s is None:
        return EXIT_INVALID
    left = wanted.command == "revoke"  # devices of a tenant outlive its [[tenant]]
    if wanted.tenant and not left and wanted.tenant not in [tenant.name for tenant in config.tenant]:
        known = ", ".join(tenant.name for tenant in config.tenant) or "none are configured"
        errors.print(Text(f"no tenant {wanted.tenant}; tenants: {known}", "red"))
        return EXIT_INVALID
    wanted = msgspec.structs.replace(wanted, user=who, for_s=for_s)
    try:
        outcome = carried_out(config, path, wanted)
        if outcome.needs_force and sys.stdin.isatty():
            if not typer.confirm(f"{outcome.text}. Continue?"):
                return 1
            outcome = carried_out(config, path, msgspec.structs.replace(wanted, force=True))
    except OSError as exc:
        errors.print(Text(refused(exc, Path(config.state.dir)), "red"))
        return 1
    except PdnsError as exc:
        errors.print(Text(str(exc), "red"))
        return 1
    if outcome.done:
        console.print(Text(outcome.text), soft_wrap=True)
        return 0
    how = "; use --force to do it anyway" if outcome.needs_force else ""
    errors.print(Text(f"{outcome.text}{how}", "red"))
    return 1


def refused(exc: OSError, state_dir: Path) -> str:
    """The message for a user without the permissions that the command needs in the state directory."""
    path = Path(exc.filename or state_dir)
    if state_dir.exists() and state_dir.stat().st_uid == os.geteuid() and path.is_absolute():
        return f"{path}: {exc.strerror}. {remedy(path, exc)}"
    return f"{exc.filename}: {exc.strerror}: run this as root or as the user that runs the resolver"


def carried_out(config: Config, path: Path | None, wanted: Command) -> Outcome:
    """The outcome of `wanted`. Raises `PdnsError` and `OSError`."""
    state_dir = Path(config.state.dir)
    return commands.execute(state_dir, wanted) if is_served(state_dir) else _here(config, path, wanted)


@contextmanager
def working_here(config: Config, path: Path | None) -> Iterator[None]:
    """Do the work of the feeds process in this process meanwhile. Raises `PdnsError` when a resolver runs, and `OSError`."""
    logging.getLogger("feeds").setLevel(logging.ERROR)  # the rest is in what is printed
    state = StateDirectory(Path(config.state.dir), str(default_config_path(path)))
    try:
        yield
    finally:
        state.close()


def _here(config: Config, path: Path | None, wanted: Command) -> Outcome:
    from feeds.refresh import carry_out_once  # noqa: PLC0415 (only where no resolver runs)

    with working_here(config, path):
        return asyncio.run(carry_out_once(config, wanted))
