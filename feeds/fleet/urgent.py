"""Kill switches and local entries of the publisher, on a node: beside its own in `overrides.json`, in force without a compile."""

from __future__ import annotations

import logging
from itertools import islice
from typing import Final, TypeVar

from msgspec.structs import replace

from feeds.commands import MAX_INDICATORS
from feeds.fleet.release import LATEST_S, Urgent
from pdns.config.addresses import parse_allowed
from pdns.errors import InvalidAddress
from pdns.free_text import visible
from pdns.state.commands import MAX_FOR_S, MAX_REASON_CHARACTERS
from pdns.state.overrides import Disabled, FleetOverrides, Indicator, Paused

MOST_SWITCHES: Final = 10_000  # feeds that are off, tenants that are paused
_AUTHOR_CHARACTERS: Final = 100
_Switch = TypeVar("_Switch", Disabled, Paused)

_log = logging.getLogger(__name__)


def overrides_of(urgent: Urgent) -> FleetOverrides:
    """`urgent` as `overrides.json` has it. What no command of a publisher would have written is left out, and logged."""
    indicators = [shown for entry in urgent.indicators if (shown := _indicator(entry)) is not None][:MAX_INDICATORS]
    disabled, paused = _switches(urgent.disabled), _switches(urgent.paused)
    given = len(urgent.indicators) + len(urgent.disabled) + len(urgent.paused)
    if left_out := given - len(indicators) - len(disabled) - len(paused):
        _log.error("fleet: %d entries of the publisher are out of all bounds and are left out", left_out)
    return FleetOverrides(disabled=disabled, indicators=tuple(indicators), paused=paused)


def _indicator(entry: Indicator) -> Indicator | None:
    """`entry` with texts that may be shown; None for one that is about every name, or about none."""
    try:
        name = str(parse_allowed(entry.name))
    except InvalidAddress:
        return None
    if name == "." or not _is_time(entry.added_s) or not (_is_time(entry.expires_s) or entry.expires_s == 0.0):
        return None
    reason, author = visible(entry.reason, MAX_REASON_CHARACTERS), visible(entry.author, _AUTHOR_CHARACTERS)
    return replace(entry, name=name, reason=reason, author=author, tenant=visible(entry.tenant, _AUTHOR_CHARACTERS))


def _switches(entries: dict[str, _Switch]) -> dict[str, _Switch]:
    """Those that end by themselves, as all do, with texts that may be shown."""
    return {
        visible(name, _AUTHOR_CHARACTERS): replace(
            entry, reason=visible(entry.reason, MAX_REASON_CHARACTERS), author=visible(entry.author, _AUTHOR_CHARACTERS)
        )
        for name, entry in islice(entries.items(), MOST_SWITCHES)
        if _is_time(entry.since_s) and entry.until_s - entry.since_s <= MAX_FOR_S and _is_time(entry.until_s)
    }


def _is_time(at_s: float) -> bool:
    return 0.0 < at_s <= LATEST_S


def said(urgent: Urgent) -> str:
    """`urgent` in words, for the log."""
    counts = {action: sum(one.action == action for one in urgent.indicators) for action in ("block", "allow")}
    parts = [f"{counts['block']} names blocked", f"{counts['allow']} allowed"]
    parts += [f"feed {name} switched off: {entry.reason}" for name, entry in urgent.disabled.items()]
    parts += [f"blocking paused for tenant {name}: {entry.reason}" for name, entry in urgent.paused.items()]
    return f"revision {urgent.revision}: {', '.join(parts)}"
