"""`pdns pause`, `pdns resume`: no blocking for a tenant for a while."""

from __future__ import annotations

from typing import Annotated

import typer

from pdns.cli.commands import ConfigOption, ReasonOption, run_command
from pdns.state.commands import Command

TenantArgument = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant, as the configuration names it")]


def pause_command(
    tenant: TenantArgument,
    lasting: Annotated[str, typer.Option("--for", metavar="TIME", help="For how long: 30m, 2h, 7d")],
    reason: Annotated[str, typer.Option("--reason", "-r", metavar="TEXT", help="Why; kept in the audit log")],
    config: ConfigOption = None,
) -> None:
    """Block nothing for a tenant for a while, in every worker within a second. What would be blocked is counted as monitored."""
    raise typer.Exit(run_command(config, Command(command="pause", user="", tenant=tenant, reason=reason), lasting))


def resume_command(tenant: TenantArgument, config: ConfigOption = None, reason: ReasonOption = "") -> None:
    """Block again for a tenant."""
    raise typer.Exit(run_command(config, Command(command="resume", user="", tenant=tenant, reason=reason)))
