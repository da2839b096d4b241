"""`pdns reload`: have the running server load its configuration files now."""

from __future__ import annotations

from urllib.parse import quote

import typer
from rich.text import Text

from pdns.cli.api_client import ask
from pdns.cli.commands import ConfigOption, ReasonOption, consoles


def command(config: ConfigOption = None, reason: ReasonOption = "") -> None:
    """Load the configuration files now, and wait until they are in force in every worker. Exits 1 with the errors if refused."""
    code, said = ask(config, "POST", f"/api/reload?reason={quote(reason, safe='')}")
    if not code:
        consoles()[0].print(Text(said["text"]), soft_wrap=True)
    raise typer.Exit(code)
