"""`pdns backup` and `pdns restore`: the state directory as one file."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.text import Text

from pdns.backup import EVENTS_DB, BackupManifest, back_up, restore
from pdns.cli.commands import EXIT_INVALID, ConfigOption, consoles, load_config
from pdns.config.load import default_config_path
from pdns.errors import ConfigError, PdnsError
from pdns.state.lock import StateDirectory

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="The backup; - is standard output, or input")]
NoEventsOption = Annotated[bool, typer.Option("--no-events", help="Without the event store, which says what clients asked for")]
ReplaceOption = Annotated[bool, typer.Option("--force", help="Move what is in the state directory aside")]


def backup_command(file: FileArgument, config: ConfigOption = None, no_events: NoEventsOption = False) -> None:
    """Write a backup of the state directory to a new FILE, which its owner alone may read. The server may run."""
    console, errors = consoles()
    out = _opened(file, errors, os.O_WRONLY | os.O_CREAT | os.O_EXCL, sys.stdout.fileno)  # before root becomes another user
    if out is None:
        raise typer.Exit(EXIT_INVALID)
    with out:
        if (loaded := load_config(config, errors)) is None:
            _give_up(file, out)
            raise typer.Exit(EXIT_INVALID)
        state_dir = Path(loaded.state.dir)
        try:
            if not state_dir.is_dir():
                raise PdnsError(f"{state_dir}: there is no state directory")
            manifest = back_up(state_dir, out, time.time(), events=not no_events)
            with suppress(OSError):  # a pipe
                os.fsync(out.fileno())
        except PdnsError as exc:
            _give_up(file, out)
            errors.print(Text(f"no backup: {exc}", "red"))
            raise typer.Exit(1) from None
    (errors if file == "-" else console).print(Text(f"{file}: {_said(manifest)}"), soft_wrap=True)


def restore_command(file: FileArgument, config: ConfigOption = None, force: ReplaceOption = False) -> None:
    """Unpack the backup FILE into the state directory of the configuration, which must be empty. The server must not run."""
    console, errors = consoles()
    archive = _opened(file, errors, os.O_RDONLY, sys.stdin.fileno)
    if archive is None or (loaded := load_config(config, errors)) is None:
        raise typer.Exit(EXIT_INVALID)
    state_dir = Path(loaded.state.dir)
    if os.geteuid() == 0 and not state_dir.exists():
        errors.print(Text(f"{state_dir}: make it first: install -d -o USER -g GROUP -m 750 {state_dir}", "red"))
        raise typer.Exit(EXIT_INVALID)
    try:
        held = StateDirectory(state_dir, str(default_config_path(config)))
    except ConfigError as exc:
        errors.print(Text(str(exc), "red"))
        raise typer.Exit(1) from None
    with archive:
        try:
            manifest, aside = restore(archive, state_dir, force=force)
        except PdnsError as exc:
            errors.print(Text(str(exc), "red"))
            raise typer.Exit(1) from None
        finally:
            held.close()
    if aside is not None:
        console.print(Text(f"what was there: {aside}"), soft_wrap=True)
    console.print(Text(f"{state_dir}: restored: {_said(manifest)}"), soft_wrap=True)


def _opened(file: str, errors: Console, flags: int, standard: Callable[[], int]) -> BinaryIO | None:
    try:
        fd = standard() if file == "-" else os.open(file, flags | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        errors.print(Text(f"{file}: {(exc.strerror or str(exc)).lower()}", "red"))
        return None
    return os.fdopen(fd, "wb" if flags & os.O_WRONLY else "rb", closefd=file != "-")


def _give_up(file: str, out: BinaryIO) -> None:
    """Leave nothing that looks like a backup; the directory may be another user's by now."""
    with suppress(OSError):
        os.ftruncate(out.fileno(), 0)
    if file != "-":
        with suppress(OSError):
            Path(file).unlink()


def _said(manifest: BackupManifest) -> str:
    size = sum(file.size_bytes for file in manifest.files.values())
    events = "with" if EVENTS_DB in manifest.files else "without"
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(manifest.made_s))
    return f"{len(manifest.files)} files, {size:,} bytes, {events} events; made {made} by pdns {manifest.program}"
