"""Kill switches and local entries of the publisher, on a node: beside its own in `overrides.json`, in force without a compile."""

from __future__ import annotations

import logging

from feeds.fleet.release import Urgent
from pdns.state.overrides import FleetOverrides

_log = logging.getLogger(__name__)


def overrides_of(urgent: Urgent) -> FleetOverrides:
    """`urgent` as `overrides.json` has it."""
    return FleetOverrides(disabled=urgent.disabled, indicators=urgent.indicators, paused=urgent.paused)


def said(urgent: Urgent) -> str:
    """`urgent` in words, for the log."""
    counts = {action: sum(one.action == action for one in urgent.indicators) for action in ("block", "allow")}
    parts = [f"{counts['block']} names blocked", f"{counts['allow']} allowed"]
    parts += [f"feed {name} switched off: {entry.reason}" for name, entry in urgent.disabled.items()]
    parts += [f"blocking paused for tenant {name}: {entry.reason}" for name, entry in urgent.paused.items()]
    return f"revision {urgent.revision}: {', '.join(parts)}"
