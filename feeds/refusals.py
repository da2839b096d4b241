"""Commands that are not carried out."""

from __future__ import annotations


class RefusedError(Exception):
    """A command that is not carried out. The text says why, and what to do instead."""


class NeedsForceError(RefusedError):
    """One that is carried out when it is given with `force`."""


def require_own(of_fleet: bool, what: str, there: str, here: str = "") -> None:
    """Raise `RefusedError` when `what` is the publisher's decision: `there` is the command on the publisher, `here` one for this
    node alone.
    """
    if of_fleet:
        alone = f", or decide otherwise for this node: {here}" if here else ""
        raise RefusedError(f"{what} by the publisher of the fleet: use `{there}` there{alone}")
