"""`<state>/overrides.json`: local entries and switched-off feeds, in force within a second and without a compile.

Only the feeds process writes it, after commands (`pdns.state.commands`). Each worker notices the new file. Times are seconds
since the epoch.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from pdns.config.addresses import parse_allowed
from pdns.core.local_rules import LocalEntry, LocalRules
from pdns.errors import InvalidAddress
from pdns.files import records
from pdns.state.rules_watch import RulesWatch

FILE_NAME: Final = "overrides.json"
MAX_BYTES: Final = 64 * 1024 * 1024

FLEET_AUTHOR: Final = "fleet: "  # begins the author of an entry of the publisher

IndicatorAction = Literal["block", "allow"]


class Indicator(msgspec.Struct, frozen=True, kw_only=True):
    """A name that an administrator blocks or allows, whatever feeds list."""

    name: str  # as in `block.allow`: `x`, or `*.x` for what is below
    action: IndicatorAction
    reason: str
    author: str
    added_s: float
    expires_s: float = 0.0  # 0: never
    tenant: str = ""  # for whose clients; "": for everyone's

    def is_over(self, now_s: float) -> bool:
        return 0.0 < self.expires_s <= now_s


class Disabled(msgspec.Struct, frozen=True, kw_only=True):
    """A feed that is switched off for a while: its blocks, counts and exceptions have no effect."""

    reason: str
    author: str
    since_s: float
    until_s: float


class Paused(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant for whom nothing is blocked for a while: what would be is counted as monitored."""

    reason: str
    author: str
    since_s: float
    until_s: float


class Tapped(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant whose queries are all sent to a sink for a while."""

    sink: str
    reason: str
    author: str
    since_s: float
    until_s: float


_Entry = TypeVar("_Entry", Indicator, Disabled, Paused)


class FleetOverrides(msgspec.Struct, frozen=True, kw_only=True):
    """What the publisher of the fleet has decided for all its nodes."""

    disabled: dict[str, Disabled] = {}
    indicators: tuple[Indicator, ...] = ()
    paused: dict[str, Paused] = {}


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. It may still contain expired entries."""

    disabled: dict[str, Disabled] = {}
    indicators: tuple[Indicator, ...] = ()
    paused: dict[str, Paused] = {}  # by tenant
    tapped: dict[str, Tapped] = {}  # likewise
    revision: int = 0  # rises with each change
    version: int = 1  # of this format: a program that does not know it does not use the file
    fleet: FleetOverrides | None = None  # of a node

    def merged(self, *, marked: bool = True) -> Overrides:
        """All entries alike; if `marked`, authors say which are of the fleet. An entry of this server beats one of the fleet."""
        if (fleet := self.fleet) is None:
            return self
        mark = _of_fleet if marked else _as_it_is
        own = {(entry.tenant, entry.name) for entry in self.indicators}
        further = (mark(entry) for entry in fleet.indicators if (entry.tenant, entry.name) not in own)
        return msgspec.structs.replace(
            self,
            disabled={name: mark(entry) for name, entry in fleet.disabled.items()} | self.disabled,
            indicators=(*further, *self.indicators),
            paused={name: mark(entry) for name, entry in fleet.paused.items()} | self.paused,
            fleet=None,
        )

    def at(self, now_s: float) -> Overrides:
        """The entries in force at `now_s`; those of the fleet as they are."""
        return Overrides(
            fleet=self.fleet,
            disabled={feed: entry for feed, entry in self.disabled.items() if now_s < entry.until_s},
            indicators=tuple(entry for entry in self.indicators if not entry.is_over(now_s)),
            paused={tenant: entry for tenant, entry in self.paused.items() if now_s < entry.until_s},
            tapped={tenant: entry for tenant, entry in self.tapped.items() if now_s < entry.until_s},
            revision=self.revision,
            version=self.version,
        )

    def next_end_s(self, now_s: float) -> float:
        """When the first of the entries in force at `now_s` ends; infinity when none does."""
        ends = [entry.until_s for entry in self.disabled.values()]
        ends += [entry.until_s for entry in self.paused.values()]
        ends += [entry.until_s for entry in self.tapped.values()]
        ends += [entry.expires_s for entry in self.indicators]
        return min((end_s for end_s in ends if end_s > now_s), default=math.inf)

    def rules(self, now_s: float) -> LocalRules:
        """The rules in force at `now_s`. A name that this version does not understand is ignored."""
        current = self.at(now_s)
        entries: list[LocalEntry] = []
        tenants: dict[str, list[LocalEntry]] = {}
        for indicator in current.indicators:
            try:
                name, below_only = parse_allowed(indicator.name)
            except InvalidAddress:
                continue
            entry = LocalEntry(name, below_only, indicator.action == "allow", indicator.reason)
            (tenants.setdefault(indicator.tenant, []) if indicator.tenant else entries).append(entry)
        return LocalRules(
            entries, current.disabled, {name: tuple(own) for name, own in tenants.items()}, current.paused, current.tapped
        )


def _of_fleet(entry: _Entry) -> _Entry:
    return msgspec.structs.replace(entry, author=f"{FLEET_AUTHOR}{entry.author}")


def _as_it_is(entry: _Entry) -> _Entry:
    return entry


def as_csv(indicators: Iterable[Indicator]) -> str:
    """CSV with a title row. No cell begins like a formula, because the file may be opened in a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Indicator.__struct_fields__)
    for indicator in indicators:
        cells = (str(value) for value in msgspec.structs.astuple(indicator))
        writer.writerow([f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell for cell in cells])
    return text.getvalue()


def read(state_dir: Path) -> Overrides:
    """The content of the file, or of its second copy when it is damaged; no entries when neither exists. Those of the fleet are
    among the others.

    Raises `OSError`, and `DamagedError` when neither can be used.
    """
    return (records.read(state_dir / FILE_NAME, parse, MAX_BYTES) or Overrides()).merged()


def parse(raw: bytes) -> Overrides:
    """The content of the file. Raises `DamagedError`."""
    return records.decode(raw, Overrides)


class OverridesWatch(RulesWatch[LocalRules]):
    """The file as one process uses it."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir / FILE_NAME, read, Overrides())
