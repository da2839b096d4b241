"""The embedded store: what is written is there once, whatever breaks; what is old or erased is gone from the file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given

from pdns.errors import SinkError, StoreError
from pdns.event_store import sqlite as module
from pdns.event_store import sqlite_retention
from pdns.event_store.event import Event, Finding, Hour, Record
from pdns.event_store.queries import Window
from pdns.event_store.sqlite import SqliteSink, SqliteStore
from pdns.event_store.sqlite_queries import SqliteQueries
from pdns.event_store.sqlite_retention import Erased, Retention, erase
from tests.unit.event_store.records import RECORDS, START_S, crowd

EVER = Window(0.0, 4_000_000_000.0)
DAY_S = 86_400


def event(number: int = 0, **fields: object) -> Event:
    """An event, the `number`th second after the start."""
    known: dict[str, object] = {
        "id": number + 7, "time_s": START_S + number, "last_s": START_S + number, "n": 1, "kind": "blocked", "node": "node-1",
        "tenant": "leeds", "policy": "default", "client": "192.0.2.7", "transport": "udp", "qname": "www.bad.example", "qtype": 1,
        "listed": "bad.example", "rule": "bad.example", "feed": "phish", "category": "phishing", "action": "nxdomain",
    }  # fmt: skip
    return Event(**{**known, **fields})  # type: ignore[arg-type]


def events(path: Path) -> list[Event]:
    """All events of the store, the newest first."""
    store = SqliteQueries(path)
    try:
        return store.events(EVER, limit=100_000)
    finally:
        store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events" / "events.db"


@given(records=RECORDS)
def test_every_record_comes_back(tmp_path_factory: pytest.TempPathFactory, records: list[Record]) -> None:
    """Each field of each record is as it was, also of a batch that is written again in another order."""
    path = tmp_path_factory.mktemp("store") / "events.db"
    with SqliteStore(path) as store:
        assert store.write(records) == len(records)
        assert store.write(records[::-1]) == 0
    reader = SqliteQueries(path)
    found: list[Record] = [*reader.events(EVER), *reader.findings(EVER)]
    for tenant in (None, *{record.tenant for record in records}):
        found += [hour for hour in reader.hours(EVER, tenant) if hour not in found]
    reader.close()
    assert sorted(found, key=lambda record: record.id) == sorted(records, key=lambda record: record.id)


def test_a_week_fits(path: Path) -> None:
    """A row has at most 60 bytes with all that it refers to, so that 2.1 million have less than 150 MB."""
    crowded = crowd(700)
    with SqliteStore(path) as store:
        for batch in range(60):
            again = [event(batch * 700 + at, id=one.id ^ batch, client=one.client, n=one.n) for at, one in enumerate(crowded)]
            store.write(again)
    assert path.stat().st_size < 60 * 60 * 700


def test_a_reader_sees_whole_batches_while_another_process_writes(path: Path) -> None:
    """Readers never wait for the writer, and are not disturbed by it."""
    with SqliteStore(path) as store:
        store.write([event()])
        reader = SqliteQueries(path)
        with store._transaction() as (db, _ids):
            db.execute("INSERT INTO event VALUES (1, 1, 1, 1, 1, 1, 1, 1)")
            assert reader.headline(EVER).blocked == 1
        assert reader.headline(EVER).blocked == 2
        reader.close()


def test_a_write_that_fails_leaves_nothing(path: Path) -> None:
    """A full disk is a `SinkError`; after that everything can be written again, with the ids that were not stored."""
    with SqliteStore(path) as store:
        store.write([event()])
        assert store._db is not None
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        many = [event(at, qname=f"www{at}.bad.example") for at in range(1, 5000)]
        with pytest.raises(SinkError, match="full"):
            store.write(many)
        assert len(events(path)) == 1
        assert store.write(many) == len(many)
    assert len(events(path)) == len(many) + 1


@pytest.mark.parametrize("damage", ["garbage", "no tables", "a directory"])
def test_a_damaged_store_is_put_aside(path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is kept beside the new one, and nothing is asked of an administrator."""
    with SqliteStore(path) as store:
        store.write([event(at) for at in range(5000)])
    if damage == "garbage":
        with path.open("r+b") as file:
            for page in range(1, path.stat().st_size // 4096):
                file.seek(page * 4096)
                file.write(os.urandom(64))
    elif damage == "no tables":
        with sqlite3.connect(path) as db:
            db.execute("DROP TABLE decision")
        db.close()
    else:
        path.unlink()
        path.mkdir()
    with SqliteStore(path) as store:
        assert store.write([event(1, qname="new.example")]) == 1
    assert [one.qname for one in events(path)] == ["new.example"]
    aside = [name.name for name in path.parent.iterdir() if name.name.startswith("events.db.damaged-")]
    assert len(aside) == 1
    assert aside[0] in caplog.text


def test_a_store_of_another_version_is_put_aside(path: Path) -> None:
    """A reader says what is wrong; the writer begins a new store."""
    with SqliteStore(path) as store:
        store.write([event()])
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(StoreError, match="999"):
        SqliteQueries(path)
    with SqliteStore(path) as store:
        assert store.write([event(1)]) == 1
    assert len(list(path.parent.glob("events.db.damaged-*"))) == 1


def test_no_store_is_said(path: Path) -> None:
    """Before the first event, and where a link stands."""
    with pytest.raises(StoreError, match="there are no events yet"):
        SqliteQueries(path)
    path.parent.mkdir()
    path.symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match="symbolic link"):
        SqliteQueries(path)


def test_what_is_too_old_leaves(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the days of each tenant, a slice at a time, from every table, and from the dictionaries."""
    monkeypatch.setattr(sqlite_retention, "SLICE_ROWS", 3)
    now_s = START_S + 40 * DAY_S
    records: list[Record] = []
    for day in range(40):
        for tenant in ("leeds", "york", "hull"):
            number = day * 10 + len(records)
            at_s = START_S + day * DAY_S + 1
            old = event(number, tenant=tenant, time_s=at_s, last_s=at_s, client=f"192.0.2.{day}", qname=f"{tenant}{day}.example")
            finding = Finding(id=number + 10_000, time_s=at_s, node="n", tenant=tenant, kind="tunnel", subject="x.example")
            hour = Hour(id=number + 20_000, start_s=at_s, end_s=at_s + 3600, node="n", tenant=tenant)
            records += [old, finding, hour]
    with SqliteStore(path, Retention(30, {"york": 7, "hull": 35})) as store:
        store.write(records)
        assert not store.expire(now_s, slices=2)
        while not store.expire(now_s, slices=2):
            pass
    kept = {"leeds": 30, "york": 7, "hull": 35}
    found = events(path)
    assert {tenant: sum(one.tenant == tenant for one in found) for tenant in kept} == kept
    assert min(one.time_s for one in found if one.tenant == "york") == START_S + 33 * DAY_S + 1
    reader = SqliteQueries(path)
    assert {tenant: len(reader.findings(EVER, tenant)) for tenant in kept} == kept
    assert {tenant: len(reader.hours(EVER, tenant)) for tenant in kept} == kept
    reader.close()
    content = path.read_bytes()
    assert b"york32.example" not in content
    assert b"york33.example" in content


def test_retention_goes_on_with_what_came_later(path: Path) -> None:
    """A pass of the same day continues where it was; a late record leaves with the next day."""
    with SqliteStore(path, Retention(1)) as store:
        store.write([event(at * 3600) for at in range(48)])
        assert store.expire(START_S + DAY_S + 3600 * 10)
        assert len(events(path)) == 38
        store.write([event(5, id=1)])
        assert store.expire(START_S + DAY_S + 3600 * 20)
        assert len(events(path)) == 29
        assert store.expire(START_S + 2 * DAY_S + 3600 * 11)
        assert len(events(path)) == 13
        store.keep(Retention(1, {"leeds": 2}))
        assert store.expire(START_S + 2 * DAY_S + 3600 * 20)
        assert len(events(path)) == 13


def test_a_client_is_erased_from_the_file(path: Path) -> None:
    """Its events and findings, at every tenant or at one; no byte of its address stays."""
    client = "203.0.113.199"
    finding = Finding(id=1, time_s=START_S, node="n", tenant="leeds", kind="bypass", subject="", client=client)
    with SqliteStore(path) as store:
        for number in range(4):
            store.write([event(number * 10, client=client), event(number * 10 + 1, tenant="york", client=client)])
            store.write([event(number * 10 + 2), event(number * 10 + 3, client=f"{client}1")])
        store.write([finding])
        assert erase(path, clients=[client], tenant="york") == Erased(4, 0, 0)
        assert {one.tenant for one in events(path) if one.client == client} == {"leeds"}
        assert erase(path, clients=[client]) == Erased(4, 1, 0)
        assert erase(path, clients=[client]) == Erased(0, 0, 0)
        assert len(events(path)) == 8
        store.write([event(100, client="198.51.100.1")])
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert content.count(client.encode()) == content.count(f"{client}1".encode()) > 0


def test_a_tenant_is_erased(path: Path) -> None:
    """With its hours; others stay."""
    hours = [Hour(id=at, start_s=START_S, end_s=START_S + 3600, node="n", tenant=name) for at, name in enumerate("ab")]
    with SqliteStore(path) as store:
        store.write([event(0, tenant="a"), event(1, tenant="b"), *hours])
    assert erase(path, tenant="a") == Erased(1, 0, 1)
    assert [one.tenant for one in events(path)] == ["b"]
    assert b"a" not in {row[0] for row in sqlite3.connect(path).execute("SELECT name FROM tenant")}
    with pytest.raises(ValueError, match="expected"):
        erase(path)


def test_a_writer_notices_what_another_process_has_erased(path: Path) -> None:
    """It keeps ids in memory: those of erased rows are not used again."""
    with SqliteStore(path) as store:
        store.write([event(0, client="192.0.2.1")])
        assert erase(path, clients=["192.0.2.1"]) == Erased(1, 0, 0)
        store.write([event(1, client="192.0.2.99", qname="other.example", listed="other.example")])
        store.write([event(2, client="192.0.2.1")])
    assert [(one.client, one.listed) for one in events(path)] == [("192.0.2.1", "bad.example"), ("192.0.2.99", "other.example")]


def test_erasing_beside_a_writer(path: Path) -> None:
    """Many writes and erasures at the same time: nothing fails, and no other record is lost."""
    done = threading.Event()
    written = 0
    problems: list[Exception] = []

    def keep_erasing() -> None:
        while not done.is_set():
            try:
                erase(path, clients=["192.0.2.66"])
            except (SinkError, sqlite3.Error) as error:
                problems.append(error)

    with SqliteStore(path) as store:
        store.write([event(0)])
        thread = threading.Thread(target=keep_erasing)
        thread.start()
        try:
            for number in range(1, 120):
                name = f"n{number}.example"
                store.write(
                    [event(number, listed=name), event(number + 1000, client="192.0.2.66", listed=name, id=number + 5000)]
                )
                written += 1
        finally:
            done.set()
            thread.join()
    erase(path, clients=["192.0.2.66"])
    assert problems == []
    assert [one.listed for one in events(path)] == [f"n{number}.example" for number in range(written, 0, -1)] + ["bad.example"]


def test_the_sink_writes_and_expires(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread; old records leave with the next write."""
    monkeypatch.setattr(module, "EXPIRE_EVERY_S", 0.0)

    async def use() -> None:
        sink = SqliteSink(path, Retention(1), now_s=lambda: START_S + DAY_S + 5)
        await sink.write([event(0), event(10)])
        await sink.close()
        path.parent.rename(path.parent.with_name("gone"))
        sink = SqliteSink(path.parent / "deeper" / "events.db")
        with pytest.raises(SinkError, match=r"events\.db"):
            await sink.write([event(1)])
        await sink.close()

    asyncio.run(use())
    assert [one.time_s for one in events(path.parent.with_name("gone") / "events.db")] == [START_S + 10]


def test_a_confined_process_sorts_beside_the_store(path: Path) -> None:
    """Large sorts need files; a process that may write below the state directory only has none elsewhere."""
    with SqliteStore(path) as store:
        store.write([event(at, client=f"192.0.2.{at % 250}", listed=f"n{at // 9}.example") for at in range(60_000)])
    code = (
        "import sys; from pathlib import Path; from pdns.confinement.confine import confine_supervisor; "
        "from pdns.event_store.sqlite_queries import SqliteQueries; from pdns.event_store.queries import Window; "
        "confine_supervisor(Path(sys.argv[1]).parent); "
        "print(SqliteQueries(Path(sys.argv[1])).headline(Window(0.0, 4e9)).blocked)"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False, timeout=120)
    assert (ran.stdout.strip(), ran.stderr) == ("60000", "")
