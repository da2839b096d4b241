"""Which tenants asked for a name, and on which days: the filter for all tenants first, then the filter of each.

A filter may say yes to a name that was not asked for; it never says no to one that was. Both filters must say yes, and they fail
independently of each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from math import comb
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from pdns.core.listing import Rule
from pdns.errors import InvalidName, PdnsError
from pdns.history.days import ALL, ALL_PREFIX, DayFiles, date_of, days_in, history_directory
from pdns.history.filters import DigestHashes, NameFilter
from pdns.telemetry.asked_names import NameDigests
from pdns.telemetry.names_key import FILE_NAME, read_key
from pdns.wire.names import MAX_NAME_BYTES, from_text, to_text

_BATCH: Final = 1 << 16  # digests that are hashed together: 8 MB
_LONGEST_ABOVE: Final = MAX_NAME_BYTES - 2  # of a name that there can be another one below

Progress = Callable[[float], object]  # is told the share that is done


class NoHistoryError(PdnsError):
    """No names are noted here."""


class WantedName(NamedTuple):
    """A name to look for, in wire form and lower case: itself, what is below it, or both."""

    name: bytes
    rule: Rule = Rule.SUBTREE


def wanted_name(text: str) -> WantedName:
    """A name as it is typed. Raises `InvalidName`, which says which one."""
    text = text.strip().lower()
    try:
        name = from_text(text.removeprefix("*."))
    except InvalidName as exc:
        raise InvalidName(f"{text}: {exc}") from None
    return WantedName(name, Rule.BELOW if text.startswith("*.") else Rule.SUBTREE)


class TenantDays(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant that probably asked for a name, and when."""

    tenant: str
    days: list[str]  # dates, UTC
    chance: float  # the probability to be reported here without having asked


class HuntedName(msgspec.Struct, frozen=True, kw_only=True):
    """One name that was asked for."""

    name: str
    tenants: list[TenantDays]


class HuntReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. A name that is not in `found` was not asked for on `days`, as far as names were noted."""

    names: int  # that were looked for
    days: list[str]  # that were searched, as dates, UTC
    damaged: list[str]  # files that could not be read
    lost: int  # digests of these days that are missing from the filters
    expected_false: float  # how many days of how many tenants are expected to be in this report by chance
    found: list[HuntedName]


class NameHunt:
    """The history, to be searched. Reads each file at most once."""

    def __init__(self, days: Sequence[DayFiles], digests: NameDigests) -> None:
        self._days = [day for day in days if day.tenants()]
        self._digests = digests
        self._damaged: list[str] = []
        self._all = {day.day: filter_ for day in self._days if (filter_ := self._read(day, ALL)) is not None}

    @classmethod
    def of(cls, state_dir: Path, days: int, now_day: int) -> NameHunt:
        """The last `days` days, today among them. Raises `NoHistoryError`, and `OSError` for a key that cannot be read."""
        if (key := read_key(state_dir)) is None:
            raise NoHistoryError(f"no names are noted: set history.days; there is no {state_dir / FILE_NAME}")
        found = [day for day in days_in(history_directory(state_dir), key) if now_day - days < day.day <= now_day]
        return cls(found, NameDigests(key))

    @property
    def days(self) -> int:
        """How many days there are."""
        return len(self._days)

    def find(
        self, wanted: Iterable[WantedName], tenants: Collection[str] | None = None, progress: Progress = lambda _share: None, *,
        count: int = 0,
    ) -> HuntReport:  # fmt: skip
        """Look for all names of `wanted`, of which there are about `count`; for `tenants` only, if given."""
        candidates = _Candidates()
        names = self._candidates_of(wanted, candidates, progress, count)
        hashes = DigestHashes(candidates.digests)
        found: defaultdict[bytes, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        rates: defaultdict[tuple[str, int], float] = defaultdict(float)
        expected_false = 0.0
        for done, day in enumerate(self._days):
            progress(0.5 + 0.5 * done / len(self._days))
            among = candidates.of_day[day.day]
            for tenant in day.tenants() if among else ():
                if (tenants is not None and tenant not in tenants) or (filter_ := self._read(day, tenant)) is None:
                    continue
                rate = rates[tenant, day.day] = filter_.false_positives
                expected_false += rate * len(among)
                for at in filter_.find(hashes, among):
                    days = found[candidates.names[at]][tenant]
                    if not days or days[-1] != day.day:
                        days.append(day.day)
        asked_by_any = candidates.days_of_names()
        return HuntReport(
            names=names,
            days=[date_of(day.day) for day in self._days],
            damaged=self._damaged,
            lost=sum(record.lost + record.left_out for record in (day.known() for day in self._days)),
            expected_false=expected_false,
            found=[
                HuntedName(
                    name=to_text(name),
                    tenants=[
                        TenantDays(
                            tenant=tenant,
                            days=list(map(date_of, days)),
                            chance=_chance([2 * rates[tenant, day] for day in asked_by_any[name]], len(days)),
                        )
                        for tenant, days in sorted(of_tenants.items())
                    ],
                )
                for name, of_tenants in sorted(found.items())
            ],
        )

    def _candidates_of(self, wanted: Iterable[WantedName], candidates: _Candidates, progress: Progress, count: int) -> int:
        """Keep what passes the filter for all of some day. Returns how many names there were."""
        names = 0
        digests = self._digests_of(wanted)
        while batch := list(islice(digests, _BATCH)):
            names += len({name for name, _ in batch})
            hashes = DigestHashes([digest for _, digest in batch], ALL_PREFIX)
            for day, filter_ in self._all.items():
                for at in filter_.find(hashes):
                    candidates.add(day, *batch[at])
            progress(0.5 * min(1.0, names / count) if count else 0.0)
        return names

    def _digests_of(self, wanted: Iterable[WantedName]) -> Iterator[tuple[bytes, bytes]]:
        of, below = self._digests.of, self._digests.below
        for name, rule in wanted:
            if rule is not Rule.BELOW:
                yield name, of(name)
            if rule is not Rule.EXACT and len(name) <= _LONGEST_ABOVE:
                yield name, below(name)

    def _read(self, day: DayFiles, tenant: str) -> NameFilter | None:
        try:
            return day.read(tenant)
        except (OSError, PdnsError):
            self._damaged.append(f"{day.directory.name}, {tenant or 'all tenants'}")
            return None


class _Candidates:
    """Digests that pass the filter for all of some days."""

    def __init__(self) -> None:
        self.digests: list[bytes] = []
        self.names: list[bytes] = []  # of each digest
        self.of_day: defaultdict[int, list[int]] = defaultdict(list)
        self._numbers: dict[bytes, int] = {}

    def add(self, day: int, name: bytes, digest: bytes) -> None:
        number = self._numbers.get(digest)
        if number is None:
            number = self._numbers[digest] = len(self.digests)
            self.digests.append(digest)
            self.names.append(name)
        self.of_day[day].append(number)

    def days_of_names(self) -> dict[bytes, set[int]]:
        days: defaultdict[bytes, set[int]] = defaultdict(set)
        for day, numbers in self.of_day.items():
            for number in numbers:
                days[self.names[number]].add(day)
        return days


def _chance(rates: Sequence[float], days: int) -> float:
    """An upper bound of the probability that so many days are false, of those with the `rates`."""
    return min(1.0, comb(len(rates), days) * max(rates) ** days)
