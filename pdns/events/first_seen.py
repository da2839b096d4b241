"""Findings of the kind "first-seen": a name that a feed in monitor mode lists, and that a tenant asks for the first time in days.

Names that no feed lists are new to a tenant all day long, and they are not stored in clear: nothing is said of them. A blocked
name is not in the history; the event store says when it was blocked first.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Final

from pdns.errors import InvalidName
from pdns.event_store.event import MONITORED, Event, Finding
from pdns.events.finding_ids import finding_id
from pdns.history.days import days_in, history_directory
from pdns.history.earlier import asked_earlier
from pdns.telemetry.asked_names import DAY_S, NameDigests
from pdns.wire.names import MAX_NAME_BYTES, domain_of, from_text

LEAST_DAYS: Final = 7  # that must be known of a tenant before anything is new to it
MOST_A_DAY: Final = 200  # names of one tenant that are looked up
NEW_DOMAIN: Final = 1.0  # a score
NEW_NAME: Final = 0.5


class FirstSeenWatch:
    """`event` is cheap; `check` reads files, and is for a thread."""

    def __init__(self, state_dir: Path, key: bytes, node: str) -> None:
        self._directory, self._key, self._node = history_directory(state_dir), key, node
        self._digests = NameDigests(key)
        self._known: defaultdict[str, set[str]] = defaultdict(set)  # tenant -> names that were looked up today
        self._waiting: list[Event] = []
        self._day = 0

    def event(self, event: Event) -> None:
        """Note what was asked."""
        if (day := int(event.time_s // DAY_S)) != self._day:
            self._day = day
            self._known.clear()
        known = self._known[event.tenant]
        if event.kind == MONITORED and event.listed not in known and len(known) < MOST_A_DAY:
            known.add(event.listed)
            self._waiting.append(event)

    def check(self, days: int) -> list[Finding]:
        """What of it is new to its tenant in the last `days` days."""
        waiting, self._waiting = self._waiting, []
        of_tenants: defaultdict[tuple[str, int], list[Event]] = defaultdict(list)
        for event in waiting:
            of_tenants[event.tenant, int(event.time_s // DAY_S)].append(event)
        findings = []
        for (tenant, today), events in of_tenants.items():
            files = [one for one in days_in(self._directory, self._key) if today - days <= one.day < today]
            digests = [digest for event in events for digest in self._digests_of(event.listed)]
            known, asked = asked_earlier(files, tenant, digests)
            if known < LEAST_DAYS:
                continue
            for at, event in enumerate(events):
                name, below, domain, below_domain = (4 * at + part in asked for part in range(4))
                if not (name or below):
                    findings.append(self._finding(event, known, is_new_domain=not (domain or below_domain)))
        return findings

    def _digests_of(self, text: str) -> list[bytes]:
        try:
            name = from_text(text)
        except InvalidName:  # an address that is listed
            name = b"\0"
        of, below = self._digests.of, self._digests.below
        return [digest for one in (name, domain_of(name)) for digest in (of(one), below(one[-(MAX_NAME_BYTES - 2) :]))]

    def _finding(self, event: Event, days: int, *, is_new_domain: bool) -> Finding:
        what = "its domain" if is_new_domain else "this name"
        feeds = event.feed or ", ".join(event.monitored)
        return Finding(
            id=finding_id("first-seen", event.node, event.tenant, event.listed, int(event.time_s // DAY_S)),
            time_s=event.time_s,
            node=event.node,
            tenant=event.tenant,
            kind="first-seen",
            subject=event.listed,
            client=event.client,
            score=NEW_DOMAIN if is_new_domain else NEW_NAME,
            text=f"{feeds} lists {event.listed}; clients of this tenant asked for {what} for the first time in {days} days.",
            first_s=event.time_s,
            last_s=event.last_s,
            details={"qname": event.qname, "feeds": " ".join(event.monitored), "threat": event.threat, "days": str(days)},
        )
