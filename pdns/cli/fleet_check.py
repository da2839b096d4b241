"""`pdns fleet check`: what a node sees when it asks the store now."""

from __future__ import annotations

from rich.console import Console

from pdns.config.schema import Config


def check(config: Config, console: Console, errors: Console) -> int:
    """Prints a line for each step. Returns 0, or 1 where a node could not follow its publisher."""
    raise NotImplementedError
