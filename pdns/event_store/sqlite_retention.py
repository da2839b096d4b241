"""What leaves the embedded store: records that are too old, those of a client or tenant, and texts that no event has any more."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from pdns.errors import SinkError
from pdns.event_store.sqlite_schema import OtherVersionError, open_to_read, open_to_write
from pdns.event_store.times import to_us

SLICE_ROWS: Final = 5_000
ERASER_PATIENCE_S: Final = 30.0
_DAY_S: Final = 86_400.0
_BEFORE: Final = (-1, -1)  # before the first row

Position = tuple[int, int]  # of a row: its time and id


class Retention(NamedTuple):
    """For how many days records are kept. `by_tenant` beats `keep_days`. Records of all tenants are kept for `keep_days`."""

    keep_days: float
    by_tenant: Mapping[str, float] = {}

    def days_of(self, tenant: str) -> float:
        return self.by_tenant.get(tenant, self.keep_days)


class Erased(NamedTuple):
    """How many records were erased."""

    events: int
    findings: int
    hours: int


class RetentionPass:
    """One day of retention. Each table is read from its start once, and then only where it has become too old."""

    def __init__(self, retention: Retention, now_s: float) -> None:
        self._retention = retention
        self._began_s = now_s
        self._reached: dict[float, Position] = {}
        self.is_clean = False  # garbage was collected after the first time that nothing was left

    def is_old(self, now_s: float) -> bool:
        """Whether it is a day ago; also where the clock went back."""
        return not 0.0 <= now_s - self._began_s < _DAY_S

    def delete_slice(self, db: sqlite3.Connection, now_s: float) -> bool:
        """Delete from the next `SLICE_ROWS` events. True when none was too old; then findings and hours are done too."""
        tenants: dict[float, list[int]] = {}
        for id_, name in db.execute("SELECT id, name FROM tenant"):
            tenants.setdefault(self._retention.days_of(name), []).append(id_)
        for days, ids in sorted(tenants.items()):
            end_us = to_us(now_s - days * _DAY_S)
            start = self._reached.get(days, _BEFORE)
            last = _slice_end(db, start, end_us)
            if last is not None:
                _delete_between(db, start, last, f"SELECT id FROM client WHERE tenant IN ({_numbers(ids)})")
                self._reached[days] = last
                return False
        for table, time in (("finding", "time_us"), ("hour", "start_us")):
            for (name,) in db.execute(f"SELECT DISTINCT tenant FROM {table}").fetchall():
                end_us = to_us(now_s - self._retention.days_of(name) * _DAY_S)
                db.execute(f"DELETE FROM {table} WHERE tenant = ? AND {time} < ?", (name, end_us))
        return True


def erase(path: Path, *, clients: Sequence[str] = (), tenant: str = "") -> Erased:
    """Erase the events and findings of `clients` (as they are in events), those of a tenant, or both: of these clients at this
    tenant. Without clients, the hours of the tenant too.

    The writer may be at work meanwhile. The content of what is erased is overwritten in the database. Raises `SinkError`.
    """
    if not clients and not tenant:
        raise ValueError("expected clients or a tenant")
    try:
        db = open_to_write(path, ERASER_PATIENCE_S, create=False)
        try:
            erased = _erase(db, clients, tenant)
            with_garbage(db)
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            db.close()
    except (sqlite3.Error, OtherVersionError) as error:
        raise SinkError(f"{path}: {error}") from None
    return erased


def tenants_in(path: Path) -> tuple[str, ...]:
    """The tenants of all records, whether they are configured or not. Raises `StoreError`."""
    with closing(open_to_read(path)) as db:
        return tuple(name for (name,) in db.execute("SELECT name FROM tenant UNION SELECT DISTINCT tenant FROM finding"))


def with_garbage(db: sqlite3.Connection) -> None:
    """`collect_garbage` in a transaction of its own."""
    _begin(db)
    collect_garbage(db)
    db.execute("COMMIT")


def collect_garbage(db: sqlite3.Connection) -> None:
    """Delete what no event refers to, in the transaction of the caller. It reads all events."""
    for table, used in (
        ("client", "SELECT DISTINCT client FROM event"),
        ("decision", "SELECT DISTINCT decision FROM event"),
        ("context", "SELECT DISTINCT context FROM event"),
        ("name", "SELECT DISTINCT qname FROM event UNION SELECT listed FROM decision"),
        ("tenant", "SELECT DISTINCT tenant FROM client"),
    ):
        db.execute(f"DELETE FROM {table} WHERE id NOT IN ({used})")


def _erase(db: sqlite3.Connection, clients: Sequence[str], tenant: str) -> Erased:
    conditions = [f"address IN ({', '.join('?' * len(clients))})"] if clients else []
    conditions += ["tenant = (SELECT id FROM tenant WHERE name = ?)"] if tenant else []
    named = (*clients, tenant) if tenant else tuple(clients)
    found = db.execute(f"SELECT id FROM client WHERE {' AND '.join(conditions)}", named).fetchall()
    events, start = 0, _BEFORE
    while found and (last := _slice_end(db, start, 2**62)) is not None:
        _begin(db)
        events += _delete_between(db, start, last, _numbers([id_ for (id_,) in found]))
        db.execute("COMMIT")
        start = last
    conditions = [f"client IN ({', '.join('?' * len(clients))})"] if clients else []
    conditions += ["tenant = ?"] if tenant else []
    _begin(db)
    findings = db.execute(f"DELETE FROM finding WHERE {' AND '.join(conditions)}", named).rowcount
    hours = 0 if clients else db.execute("DELETE FROM hour WHERE tenant = ?", (tenant,)).rowcount
    db.execute("COMMIT")
    return Erased(events, findings, hours)


def _begin(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")


def _slice_end(db: sqlite3.Connection, start: Position, end_us: int) -> Position | None:
    """The last of the next rows after `start`, before `end_us`; None without any."""
    rows = "SELECT time_us, id FROM event WHERE (time_us, id) > (?, ?) AND time_us < ? ORDER BY time_us, id"
    found = db.execute(f"{rows} LIMIT 1 OFFSET {SLICE_ROWS - 1}", (*start, end_us)).fetchone()
    if found is None:
        newest = (
            "SELECT time_us, id FROM event WHERE (time_us, id) > (?, ?) AND time_us < ? ORDER BY time_us DESC, id DESC LIMIT 1"
        )
        found = db.execute(newest, (*start, end_us)).fetchone()
    return None if found is None else (found[0], found[1])


def _delete_between(db: sqlite3.Connection, start: Position, last: Position, clients: str) -> int:
    """How many rows after `start`, up to `last`, of `clients` were deleted."""
    where = "(time_us, id) > (?, ?) AND (time_us, id) <= (?, ?)"
    return db.execute(f"DELETE FROM event WHERE {where} AND client IN ({clients})", (*start, *last)).rowcount


def _numbers(ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids))
