"""What people say about names, and about feeds and tenants while the program runs. It beats every feed."""

# kernel: pdns/fast/name_set.pyx

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from pdns.wire import names

LOCAL = "local"  # stands where the name of a feed would, and its category


class LocalEntry(NamedTuple):
    """A name that is blocked or allowed here: with everything below it, or (`below_only`, written `*.x`) only what is below."""

    name: bytes  # wire form, lower case
    below_only: bool
    allow: bool
    reason: str
    source: str = LOCAL  # who says so: an administrator while the program runs, or a part of the configuration

    @property
    def rule(self) -> str:
        """As a feed would write it: `x.example`, `*.x.example`."""
        return "*." * self.below_only + names.to_text(self.name)


class EntryTable:
    """Entries, of which the most specific counts, and one that allows before one that blocks the same."""

    __slots__ = ("_below", "_whole", "allowed_filter_keys", "blocked_filter_keys")

    def __init__(self, entries: Iterable[LocalEntry] = ()) -> None:
        self._whole: dict[bytes, LocalEntry] = {}
        self._below: dict[bytes, LocalEntry] = {}
        blocked: set[bytes] = set()
        allowed: set[bytes] = set()
        for entry in entries:
            table = self._below if entry.below_only else self._whole
            before = table.get(entry.name)
            if before is None or entry.allow or not before.allow:
                table[entry.name] = entry
            (allowed if entry.allow else blocked).add(names.filter_key(entry.name))
        self.blocked_filter_keys = frozenset(blocked)
        """The last two labels, or the last one, of every name that is blocked here: one look tells most clean names."""
        self.allowed_filter_keys = frozenset(allowed)
        """Likewise of every name that is allowed."""

    def __bool__(self) -> bool:
        return bool(self._whole or self._below)

    def __len__(self) -> int:
        return len(self._whole) + len(self._below)

    def names(self) -> Iterator[bytes]:
        """Every name that there is an entry about."""
        yield from self._whole
        yield from (name for name in self._below if name not in self._whole)

    def find(self, name: bytes) -> LocalEntry | None:
        """The most specific entry about `name`."""
        if not self._whole and not self._below:
            return None
        for ancestor in names.ancestors(name):
            if ancestor != name and (entry := self._below.get(ancestor)) is not None:
                return entry
            if (entry := self._whole.get(ancestor)) is not None:
                return entry
        return None


class LocalRules:
    """What administrators say while the program runs: entries for everyone or for one tenant, feeds that have nothing to say for
    the time being, and tenants for whom nothing is blocked for the time being.
    """

    __slots__ = ("disabled", "everyones", "paused", "tapped", "tenants")

    def __init__(
        self,
        entries: Iterable[LocalEntry] = (),
        disabled: Iterable[str] = (),
        tenants: Mapping[str, tuple[LocalEntry, ...]] = MappingProxyType({}),
        paused: Iterable[str] = (),
        tapped: Iterable[str] = (),
    ) -> None:
        """`entries` are everyone's, those in `tenants` of the tenant with that name. Of `tapped` tenants all queries are copied;
        it decides nothing.
        """
        self.everyones = EntryTable(entries)
        self.disabled = frozenset(disabled)
        self.tenants = dict(tenants)
        self.paused = frozenset(paused)
        self.tapped = frozenset(tapped)

    def __bool__(self) -> bool:
        return bool(self.everyones or self.disabled or self.tenants or self.paused)


NO_RULES = LocalRules()


def may_have(filter_keys: frozenset[bytes], filter_key: bytes) -> bool:
    """Whether a name whose last two labels are `filter_key` may be at or below one of those that `filter_keys` are of."""
    return filter_key in filter_keys or names.parent(filter_key) in filter_keys or names.ROOT in filter_keys


def most_specific(found: Iterable[LocalEntry | None]) -> LocalEntry | None:
    """The entry that decides among those of several tables about one name: the longest, one for what is below it first; of two
    alike the one that allows.
    """
    best: LocalEntry | None = None
    for entry in found:
        if entry is not None and (best is None or _rank(entry) > _rank(best)):
            best = entry
    return best


def nearest(found: Iterable[LocalEntry | None]) -> LocalEntry | None:
    """As `most_specific`, but that of two alike the first decides, whatever it says."""
    best: LocalEntry | None = None
    for entry in found:
        if entry is not None and (best is None or _rank(entry)[:2] > _rank(best)[:2]):
            best = entry
    return best


def _rank(entry: LocalEntry) -> tuple[int, bool, bool]:
    return len(entry.name), entry.below_only, entry.allow
