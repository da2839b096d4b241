"""`pdns fleet keys`: the keys that a fleet trusts. They are made and used where the root keys are, without a resolver."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Keys of the fleet: make, rotate, revoke, sign.", rich_markup_mode=None)


@app.callback()
def _keys() -> None:
    """The keys that a fleet trusts."""
