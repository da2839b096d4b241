"""The command line: `pdns COMMAND`. Each command is a module of `pdns.cli`, imported only when it is used."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Final

import typer

from pdns.confinement.confine import confine_command
from pdns.logs import open_standard_descriptors
from pdns.version import VERSION

_COMMANDS: Final = (
    "serve", "check", "explain", "report", "feeds", "block", "allow", "indicators", "reports", "pause", "resume", "policy",
    "cache", "events", "hunt", "tap", "tenant", "fleet", "reload", "backup", "restore", "audit", "top", "health", "demo",
)  # fmt: skip
_MODULES: Final = {
    "block": "indicators",
    "allow": "indicators",
    "pause": "pause",
    "resume": "pause",
    "backup": "backup",
    "restore": "backup",
}  # commands that share a module


def build(names: tuple[str, ...] = _COMMANDS) -> typer.Typer:
    """The command line with only the commands `names`."""
    app = typer.Typer(
        name="pdns",
        help="A protective DNS resolver: blocks what threat feeds list, forwards and caches the rest.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for name in names:
        module = import_module(f"pdns.cli.{_MODULES.get(name, name)}")
        if name in ("feeds", "indicators", "reports", "policy", "cache", "events", "tap", "tenant", "fleet"):
            app.add_typer(module.app, name=name)
        elif name in _MODULES:
            app.command(name)(getattr(module, f"{name}_command"))
        else:
            app.command(name)(module.command)
    return app


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"pdns {VERSION}")
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _require_kernels() -> None:
    if find_spec("pdns.fast.udp") is None:
        sys.exit(
            "pdns: its compiled part is missing; install again where a C compiler is (`pip install .`; Debian, Ubuntu:"
            " apt install gcc python3-dev libssl-dev libnghttp2-dev)"
        )


def main() -> None:
    """The entry point of the `pdns` script."""
    open_standard_descriptors()
    _require_kernels()
    confine_command()
    asked = next(iter(sys.argv[1:]), "")
    build((asked,) if asked in _COMMANDS else _COMMANDS)()


if __name__ == "__main__":
    main()
