"""Findings of the kind "bypass": clients of a tenant may use another resolver.

The score is 1 - (1 - fall) * (1 - hosts). `fall` is the share of the expected queries that is missing, if it is missing suddenly
for two hours in a row (`pdns.core.traffic`), else 0. `hosts` is 1 - 0.75^n for n hosts of public resolvers
(`public_resolvers.txt`) that the tenant asked for today and not on the days before. From 0.5 on it is a finding, at most one a
tenant and day.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Final

from pdns.core.traffic import LEAST_QUERIES, NO_FALL, TrafficFall, fall_of
from pdns.event_store.event import ALL_TENANTS, Finding, Hour
from pdns.events.finding_ids import finding_id
from pdns.history.days import date_of, days_in, history_directory
from pdns.history.earlier import asked_earlier
from pdns.telemetry.asked_names import DAY_S, NameDigests
from pdns.wire.names import from_text

LEAST_SCORE: Final = 0.5
DAYS: Final = 14
HOUR_S: Final = 3600
RESOLVERS: Final = Path(__file__).parent / "public_resolvers.txt"
_OF_A_HOST: Final = 0.75
_HOURS_KEPT: Final = (DAYS + 1) * 24
_WHOLE_S: Final = 3300.0  # an hour with a restart in it is whole enough from here on
_SETTLED_S: Final = 120.0  # after its end, all rows of an hour are there
_LEAST_OTHERS: Final = 3  # tenants that say what is common
_LEAST_DAYS: Final = 7  # of names that were asked, before a host is new


def public_resolvers() -> Iterator[str]:
    """The hosts of the list."""
    for line in RESOLVERS.read_text(encoding="ascii").splitlines():
        if line and not line.startswith("#"):
            yield line


class BypassWatch:
    """Learns from the hours and from the digests of names. `check` reads files, and is for a thread."""

    def __init__(self, state_dir: Path, key: bytes | None, node: str) -> None:
        """Without a `key`, no names are noted: only the fall of traffic counts."""
        self._directory, self._node = history_directory(state_dir), node
        self._key: bytes | None = None
        self._queries: defaultdict[str, Counter[int]] = defaultdict(Counter)  # tenant -> hour since the epoch -> queries
        self._rows: defaultdict[int, set[tuple[str, str, float]]] = defaultdict(set)  # hour -> those that were taken up
        self._covered_s: Counter[int] = Counter()  # hour -> seconds
        self._checked = 0  # the last hour
        self._hosts: dict[bytes, str] = {}
        self._asked: defaultdict[str, dict[str, bytes]] = defaultdict(dict)  # tenant -> host -> digest, of today
        self._looked_up: defaultdict[str, set[str]] = defaultdict(set)  # tenant -> hosts of today
        self._new: defaultdict[str, set[str]] = defaultdict(set)  # tenant -> those of them that are new
        self._day = 0
        self._found: set[str] = set()  # tenants with a finding today

        if key is not None:
            self.note_hosts(key)

    def note_hosts(self, key: bytes) -> None:
        """Names are noted from now on, with this key."""
        self._key = key
        digests = NameDigests(key)
        for host in public_resolvers():
            name = from_text(host)
            self._hosts |= {digests.of(name): host, digests.below(name): host}

    def hour(self, hour: Hour) -> None:
        """Take up a row, of now or of the last two weeks. A row that comes twice counts once."""
        number, row = int(hour.start_s // HOUR_S), (hour.node, hour.tenant, hour.start_s)
        if row in self._rows[number]:
            return
        self._rows[number].add(row)
        self._queries[hour.tenant][number] += hour.queries
        if hour.tenant == ALL_TENANTS:
            self._covered_s[number] += round(hour.end_s - hour.start_s)

    def asked(self, tenant: str, digest: bytes, day: int) -> None:
        """A name was noted for a tenant."""
        if (host := self._hosts.get(digest)) is not None and day >= self._day:
            self._turn(day)
            self._asked[tenant][host] = digest

    def check(self, now_s: float) -> list[Finding]:
        """What is to be said now. Once a minute is enough."""
        self._turn(int(now_s // DAY_S))
        hour = int((now_s - _SETTLED_S) // HOUR_S) - 1
        falls: dict[str, TrafficFall] = {}
        if hour > self._checked and self._is_whole(hour) and self._is_whole(hour - 1):
            self._checked = hour
            self._forget(hour - _HOURS_KEPT)
            falls = self._falls(hour)
        findings = []
        for tenant in falls.keys() | self._asked.keys():
            if tenant in self._found:
                continue
            fall, new = falls.get(tenant, NO_FALL), self._new_hosts(tenant)
            score = 1 - (1 - (fall.share if fall.is_sudden else 0)) * _OF_A_HOST ** len(new)
            if score >= LEAST_SCORE:
                self._found.add(tenant)
                findings.append(self._finding(tenant, score, fall, hour, new, now_s))
        return sorted(findings, key=lambda finding: finding.tenant)

    def _turn(self, day: int) -> None:
        if day > self._day:
            self._day = day
            self._asked.clear()
            self._looked_up.clear()
            self._new.clear()
            self._found.clear()

    def _is_whole(self, hour: int) -> bool:
        return self._covered_s[hour] >= _WHOLE_S

    def _forget(self, before: int) -> None:
        by_hour: list[dict[int, int] | dict[int, set[tuple[str, str, float]]]] = [
            *self._queries.values(),
            self._covered_s,
            self._rows,
        ]
        for kept in by_hour:
            for hour in [hour for hour in kept if hour < before]:
                del kept[hour]

    def _falls(self, hour: int) -> dict[str, TrafficFall]:
        """Of each tenant that fell in this hour and in the one before."""
        now, before = self._falls_in(hour), self._falls_in(hour - 1)
        return {tenant: fall for tenant, fall in now.items() if fall.is_sudden and before.get(tenant, NO_FALL).is_sudden}

    def _falls_in(self, hour: int) -> dict[str, TrafficFall]:
        samples = {tenant: self._same_hours(tenant, hour) for tenant in self._queries if tenant != ALL_TENANTS}
        alone = {tenant: fall_of(self._queries[tenant][hour], of_tenant) for tenant, of_tenant in samples.items()}
        shares = {tenant: 1 - fall.share for tenant, fall in alone.items() if fall.expected >= LEAST_QUERIES}
        falls = {}
        for tenant, of_tenant in samples.items():
            others = [share for other, share in shares.items() if other != tenant]
            common = median(others) if len(others) >= _LEAST_OTHERS else 1.0
            falls[tenant] = fall_of(self._queries[tenant][hour], of_tenant, common)
        return falls

    def _same_hours(self, tenant: str, hour: int) -> list[int]:
        """Queries of the same hour on the days before: on working days those of working days."""
        is_weekend = _is_weekend(hour)
        earlier = [hour - 24 * days for days in range(1, DAYS + 1)]
        return [self._queries[tenant][one] for one in earlier if self._is_whole(one) and _is_weekend(one) == is_weekend]

    def _new_hosts(self, tenant: str) -> set[str]:
        asked = self._asked.get(tenant, {})
        if self._key is not None and (hosts := [host for host in asked if host not in self._looked_up[tenant]]):
            self._looked_up[tenant].update(hosts)
            files = [one for one in days_in(self._directory, self._key) if self._day - DAYS <= one.day < self._day]
            days, earlier = asked_earlier(files, tenant, [asked[host] for host in hosts])
            if days >= _LEAST_DAYS:
                self._new[tenant].update(host for at, host in enumerate(hosts) if at not in earlier)
        return self._new[tenant]

    def _finding(self, tenant: str, score: float, fall: TrafficFall, hour: int, new: Iterable[str], now_s: float) -> Finding:
        said, details = [], {"public_resolvers": " ".join(sorted(new))}
        if fall.is_sudden:
            queries = self._queries[tenant][hour]
            said.append(f"{fall.share:.0%} of the expected queries are missing for two hours")
            details |= {"expected": f"{fall.expected:.0f}", "queries": str(queries), "deviations": f"{fall.z:.1f}"}
        if count := len(details["public_resolvers"].split()):
            said.append(f"{count} host{'s' * (count > 1)} of public resolvers asked for, and not in the days before")
        start_s = float((hour - 1) * HOUR_S) if fall.is_sudden else float(self._day * DAY_S)
        return Finding(
            id=finding_id("bypass", self._node, tenant, date_of(self._day)),
            time_s=now_s,
            node=self._node,
            tenant=tenant,
            kind="bypass",
            subject="",
            score=round(score, 3),
            text=f"Clients may use another resolver: {'; '.join(said)}.",
            first_s=start_s,
            last_s=now_s,
            details={name: text for name, text in details.items() if text},
        )


def _is_weekend(hour: int) -> bool:
    return (hour // 24 + 3) % 7 >= 5  # the epoch was a Thursday
