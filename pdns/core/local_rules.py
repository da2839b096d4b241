"""What an administrator says about names and feeds while the program runs. It beats every feed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pdns.wire import names

LOCAL = "local"  # stands where the name of a feed would


class LocalEntry(NamedTuple):
    """A name that is blocked or allowed here: with everything below it, or (`below_only`, written `*.x`) only what is below."""

    name: bytes  # wire form, lower case
    below_only: bool
    allow: bool
    reason: str


class LocalRules:
    """Local entries, of which the most specific counts, and the feeds that have nothing to say for the time being."""

    def __init__(self, entries: Iterable[LocalEntry] = (), disabled: Iterable[str] = ()) -> None:
        self.disabled = frozenset(disabled)
        self._whole: dict[bytes, LocalEntry] = {}
        self._below: dict[bytes, LocalEntry] = {}
        for entry in entries:
            (self._below if entry.below_only else self._whole)[entry.name] = entry
        every = (*self._whole.values(), *self._below.values())
        self.allows_any = any(entry.allow for entry in every)
        self.filter_keys = frozenset(names.filter_key(entry.name) for entry in every if not entry.allow)
        """The last two labels, or the last one, of every name that is blocked here: one look tells most clean names."""

    def __bool__(self) -> bool:
        return bool(self.disabled or self._whole or self._below)

    def may_block(self, filter_key: bytes) -> bool:
        """Whether a name whose last two labels are `filter_key` may be blocked here."""
        return filter_key in self.filter_keys or names.parent(filter_key) in self.filter_keys or names.ROOT in self.filter_keys

    def find(self, name: bytes) -> LocalEntry | None:
        """The most specific entry about `name`."""
        for ancestor in names.ancestors(name):
            if ancestor != name and (entry := self._below.get(ancestor)) is not None:
                return entry
            if (entry := self._whole.get(ancestor)) is not None:
                return entry
        return None


NO_RULES = LocalRules()
