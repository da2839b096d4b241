"""`<state>/overrides.json`: what administrators said beside the configuration, in force within a second and without a compile.

The feeds process alone writes it, after orders (`pdns.state.commands`); each worker notices that it is another file. Times are
seconds since the epoch.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

import msgspec

from pdns.config.addresses import parse_allowed
from pdns.core.local_rules import LocalEntry, LocalRules
from pdns.errors import InvalidAddress
from pdns.files import records
from pdns.files.safe_files import appearance

FILE_NAME: Final = "overrides.json"
MAX_BYTES: Final = 64 * 1024 * 1024

IndicatorAction = Literal["block", "allow"]


class Indicator(msgspec.Struct, frozen=True, kw_only=True):
    """A name that is blocked or allowed here, whatever feeds say."""

    name: str  # as `block.allow` spells it: `x`, or `*.x` for what is below
    action: IndicatorAction
    reason: str
    author: str
    added_s: float
    expires_s: float = 0.0  # 0: never

    def is_over(self, now_s: float) -> bool:
        return 0.0 < self.expires_s <= now_s


class Disabled(msgspec.Struct, frozen=True, kw_only=True):
    """A feed that is switched off for a while: it blocks nothing, counts nothing and excepts nothing."""

    reason: str
    author: str
    since_s: float
    until_s: float


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. What is over may still stand in it."""

    disabled: dict[str, Disabled] = {}
    indicators: tuple[Indicator, ...] = ()
    revision: int = 0  # rises with each change
    version: int = 1  # of this form: a program that does not know it does not use the file

    def at(self, now_s: float) -> Overrides:
        """What of it is in force at `now_s`."""
        return Overrides(
            disabled={feed: entry for feed, entry in self.disabled.items() if now_s < entry.until_s},
            indicators=tuple(entry for entry in self.indicators if not entry.is_over(now_s)),
            revision=self.revision,
            version=self.version,
        )

    def next_end_s(self, now_s: float) -> float:
        """When the next of what is in force at `now_s` ends; infinity when nothing does."""
        ends = [*(entry.until_s for entry in self.disabled.values()), *(entry.expires_s for entry in self.indicators)]
        return min((end_s for end_s in ends if end_s > now_s), default=math.inf)

    def rules(self, now_s: float) -> LocalRules:
        """What is in force at `now_s`, to decide by. A name that this version does not understand counts for nothing."""
        current = self.at(now_s)
        entries = []
        for indicator in current.indicators:
            try:
                name, below_only = parse_allowed(indicator.name)
            except InvalidAddress:
                continue
            entries.append(LocalEntry(name, below_only, indicator.action == "allow", indicator.reason))
        return LocalRules(entries, current.disabled)


def as_csv(indicators: Iterable[Indicator]) -> str:
    """A line for each, after one of titles. A cell never begins as a formula does: it may end in a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Indicator.__struct_fields__)
    for indicator in indicators:
        cells = (str(value) for value in msgspec.structs.astuple(indicator))
        writer.writerow([f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell for cell in cells])
    return text.getvalue()


def read(state_dir: Path) -> Overrides:
    """What the file says, or its second copy where it is damaged; nothing when neither is there.

    Raises `OSError`, and `DamagedError` when neither can be used.
    """
    return records.read(state_dir / FILE_NAME, parse, MAX_BYTES) or Overrides()


def parse(raw: bytes) -> Overrides:
    """The content of the file. Raises `DamagedError`."""
    return records.decode(raw, Overrides)


class OverridesWatch:
    """The file as one worker sees it: looked at often, read when it is another one or something in it ends."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE_NAME
        self._version: tuple[int, ...] = (-1,)  # of nothing: where the file is gone, its second copy is read
        self._overrides = Overrides()
        self._end_s = math.inf

    @property
    def revision(self) -> int:
        """Of the file that was read last."""
        return self._overrides.revision

    def is_due(self, now_s: float) -> bool:
        """Whether `load` would say something else than the last time. Costs one stat()."""
        return now_s >= self._end_s or self._look() != self._version

    def load(self, now_s: float) -> LocalRules:
        """The rules in force. Raises `OSError` or `DamagedError` for a file that cannot be used, once for each."""
        if (version := self._look()) != self._version:
            self._version = version
            self._overrides = read(self._path.parent)
        self._end_s = self._overrides.next_end_s(now_s)
        return self._overrides.rules(now_s)

    def _look(self) -> tuple[int, ...]:
        return appearance(self._path)
