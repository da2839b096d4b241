"""Machines to look at, from the embedded store."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple

from pdns.event_store.beacon import Beat, beacon
from pdns.event_store.queries import NAMES_OF_A_MACHINE, MachineRow
from pdns.event_store.sqlite_summary import Summary, Totals, merged
from pdns.event_store.times import to_s


class _Key(NamedTuple):
    client: int
    threat: str
    category: str


def machines(db: sqlite3.Connection, summary: Summary, start_us: int, end_us: int, limit: int) -> list[MachineRow]:
    """The first `limit` machines; the beacons of these only are looked for."""
    chosen = _chosen(summary, limit)
    found = []
    pairs: dict[_Key, list[tuple[str, Totals]]] = {key: [] for key in chosen}
    for listing, client, totals in summary.pairs_of({key.client for key in chosen}):
        one = summary.listings[listing]
        if (key := _Key(client, one.threat, one.category)) in pairs:
            pairs[key].append((one.listed, totals))
    beats = _beats(db, summary, start_us, end_us, chosen)
    for key in chosen:
        names, timing = merged(pairs[key]), beacon(beats[key], to_s(end_us))
        found.append(
            MachineRow(
                tenant=summary.clients[key.client].tenant,
                client=summary.clients[key.client].address,
                threat=key.threat,
                category=key.category,
                names=tuple(sorted(names, key=lambda name: (-names[name].n, name))[:NAMES_OF_A_MACHINE]),
                domains=len(names),
                n=sum(totals.n for totals in names.values()),
                first_s=to_s(min(totals.first_us for totals in names.values())),
                last_s=to_s(max(totals.last_us for totals in names.values())),
                period_s=timing.period_s,
                jitter=timing.jitter,
                stopped_since_s=timing.stopped_since_s,
            )
        )
    return found


def _chosen(summary: Summary, limit: int) -> list[_Key]:
    """The machines in order. Those without a named threat, mostly many more, are added up only if they are needed."""
    chosen: list[_Key] = []
    for is_named in (True, False):
        kinds: dict[tuple[str, str], list[int]] = {}
        for id_ in summary.blocked:
            one = summary.listings[id_]
            if (one.threat != "") == is_named:
                kinds.setdefault((one.threat, one.category), []).append(id_)
        counts: dict[_Key, int] = {}
        for kind, listings in kinds.items():
            sums: defaultdict[int, int] = defaultdict(int)
            for id_ in listings:
                span = summary.spans[id_]
                for client, n in zip(summary.client[span], summary.n[span], strict=True):
                    sums[client] += n
            best = sorted(sums.items(), key=lambda item: (-item[1], summary.clients[item[0]]))
            known = [(client, n) for client, n in best if summary.clients[client].address]
            counts.update((_Key(client, *kind), n) for client, n in known[: limit - len(chosen)])
        ordered = sorted(counts, key=lambda key: (-counts[key], *summary.clients[key.client], key.threat, key.category))
        chosen += ordered[: limit - len(chosen)]
        if len(chosen) == limit:
            break
    return chosen


def _beats(
    db: sqlite3.Connection, summary: Summary, start_us: int, end_us: int, chosen: Collection[_Key]
) -> dict[_Key, list[Beat]]:
    """The times of the events of each machine."""
    found: dict[_Key, list[Beat]] = {key: [] for key in chosen}
    wanted: dict[tuple[int, int], list[Beat]] = {}
    for key in chosen:
        for id_ in summary.blocked:
            one = summary.listings[id_]
            if (one.threat, one.category) == (key.threat, key.category):
                wanted[key.client, id_] = found[key]
    rows = (
        "SELECT client, decision, time_us, time_us + span_us, n FROM event WHERE time_us >= ? AND time_us < ? "
        "AND client IN (SELECT value FROM json_each(?))"
    )
    clients = json.dumps(sorted({key.client for key in chosen}))
    for client, id_, time_us, last_us, n in db.execute(rows, (start_us, end_us, clients)):
        if (client, id_) in wanted:
            wanted[client, id_].append(Beat(to_s(time_us), to_s(last_us), n))
    return found
