"""docs/upgrades.md says for each format what an older program does with a newer one: it is done, and nothing is overwritten."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from feeds import entries
from feeds.activation import Activation
from feeds.entries import DamagedEntries, Entries, Head
from feeds.fleet import node_record, release
from feeds.live_blockset import LiveBlockset
from feeds.publish import journal, zone_file
from feeds.publish.versions import LastSerial, ZoneVersions
from feeds.publish.zone_file import DamagedZone, ZoneHead, ZoneReader, ZoneTail
from feeds.quarantine import Quarantine, QuarantineRecord
from feeds.store import Copy, FeedStore
from pdns import backup
from pdns.blockset import layout
from pdns.errors import OtherFormatError, StoreError
from pdns.event_store import sqlite_schema
from pdns.event_store.sqlite import SqliteStore
from pdns.events import places, report_schedule, spool_segments, tapped_queries
from pdns.events.cursors import CursorFiles, SinkCursor
from pdns.events.places import Places, read_places
from pdns.events.spool import Spool
from pdns.files import records
from pdns.files.records import DamagedError
from pdns.history.days import DayFiles, DayRecord
from pdns.state import (
    audit_log,
    block_times,
    cases,
    client_key,
    commands,
    enrolments,
    feed_hits,
    feed_status,
    fleet_status,
    in_force,
    live_config,
    overrides,
    reports,
    sink_states,
)
from pdns.state.commands import LaterCommandError
from pdns.telemetry import counters, names_key, ring
from tests.unit.feeds.configs import configuration
from tests.unit.supervisor.test_block_times import update as live_update

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/upgrades.md").read_text()
TABLE = dict(re.findall(r"^\| (\S.*?) \| (\S.*?) \| .+ \| .+ \|$", PAGE.partition("## Formats")[2], re.MULTILINE))
NEWER = 7
KEY = bytes(32)


def newer(path: Path, **members: Any) -> bytes:
    """A JSON file of a later version at `path`, with the checksum that it would have, and its second copy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    later = msgspec.defstruct("Later", [*((name, Any) for name in members), ("version", int)])
    raw = records.encode(later(*members.values(), NEWER))
    path.write_bytes(raw)
    path.with_name(path.name + records.SECOND_COPY).write_bytes(raw)
    return raw


def is_aside(path: Path, raw: bytes) -> bool:
    """Whether that content is kept under another name, and only there."""
    kept = list(path.parent.glob(f"{path.name}.damaged-*"))
    return [one.read_bytes() for one in kept] == [raw] and (not path.exists() or path.read_bytes() != raw)


def _blockset(state_dir: Path) -> None:
    state_dir.mkdir(exist_ok=True)
    manifest = b'{"format":5,"files":{},"mapped":[]}'
    (state_dir / layout.MANIFEST_FILE).write_bytes(manifest)
    with pytest.raises(OtherFormatError, match="its format is 5"):
        layout.read_manifest(state_dir)


def _compiled(state_dir: Path) -> None:
    newer(state_dir / "feeds/compiled.json", generation=3)
    assert Activation(state_dir)._read_record(3) is None


def _copy(state_dir: Path) -> None:
    path = state_dir / "copy.json"
    raw = newer(path, url="file:///x")
    assert FeedStore(state_dir).load() is None
    assert is_aside(path, raw)


def _quarantined(state_dir: Path) -> None:
    path = state_dir / "hold.json"
    raw = newer(path, url="file:///x", frozen="test")
    quarantine = Quarantine(FeedStore(state_dir), "file:///x")
    assert quarantine.frozen == ""
    quarantine.freeze("another reason")
    assert is_aside(path, raw)


def _parsed(state_dir: Path) -> None:
    path = state_dir / "x.parsed"
    with path.open("wb") as file:
        entries._put(file, entries._HEAD, Head(NEWER, "domains", 1, {}, []))
    with pytest.raises(DamagedEntries):
        Entries(path)


def _recovered(name: str, parse: Callable[[bytes], object], **members: Any) -> Callable[[Path], None]:
    def check(state_dir: Path) -> None:
        path = state_dir / name
        raw = newer(path, **members)
        with pytest.raises(DamagedError, match=f"version {NEWER}"):
            records.read(path, parse, 2**20)
        assert records.recover(path, parse, 2**20).value is None
        assert is_aside(path, raw)

    return check


def _json_file(name: str, form: Any, **members: Any) -> tuple[str, Callable[[Path], None]]:
    return str(form().version), _recovered(name, lambda raw: records.decode(raw, form), **members)


def _hits(state_dir: Path) -> None:
    path = state_dir / feed_hits.FILE_NAME
    raw = msgspec.msgpack.encode({"since_s": 5.0, "version": NEWER})
    path.write_bytes(raw)
    assert feed_hits.read(state_dir) is None
    feed_hits.HitBook(state_dir, 1.0)
    assert is_aside(path, raw)


def _lines(state_dir: Path) -> None:
    (state_dir / cases.FILE_NAME).write_bytes(b'[1,"p","f","bad.example","more"]\n[1,"p","f","good.example"]\n')
    assert len(cases._read(state_dir / cases.FILE_NAME)) == 1
    (state_dir / block_times.FILE_NAME).write_bytes(b'[1,"f",2.0,"more"]\n[1,"f",3.0]\n')
    assert [one.took_s for one in block_times.read(state_dir)] == [3.0]


def _status(state_dir: Path) -> None:
    status = feed_status.FeedsStatus(version=NEWER, generation=9, updates=(live_update("x", 9, 1.0),))
    (state_dir / feed_status.FILE_NAME).write_bytes(msgspec.json.encode(status))
    assert feed_status.read(state_dir) is None


def _in_force(state_dir: Path) -> None:
    in_force.write(state_dir, in_force.InForce(overrides=5, generation=5, version=NEWER))
    assert in_force.read(state_dir) == in_force.InForce()


def _live(state_dir: Path) -> None:
    newer(state_dir / live_config.FILE_NAME, file="/x", config={})
    with pytest.raises(DamagedError, match=f"version {NEWER}"):
        live_config.read(state_dir)


def _order(state_dir: Path) -> None:
    path = state_dir / "x.order"
    for later in ({"command": "allow", "user": "x", "only_at_night": True}, {"command": "shrink", "user": "x"}):
        path.write_bytes(msgspec.json.encode(later))
        with pytest.raises(LaterCommandError):
            commands.read(path)


def _keys(state_dir: Path) -> None:
    raw = bytes(64)
    for name, make in ((client_key.FILE_NAME, client_key.client_key), (names_key.FILE_NAME, names_key.key_for)):
        path = state_dir / name
        path.write_bytes(raw)
        if name == client_key.FILE_NAME:
            assert len(make(state_dir)) == 32
            assert is_aside(path, raw)
        else:
            with pytest.raises(OSError, match="long"):
                names_key.read_or_make_key(state_dir)
            assert path.read_bytes() == raw


def _events(state_dir: Path) -> None:
    path = state_dir / "events.db"
    with SqliteStore(path) as store:
        store.write([])
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {NEWER}")
    with pytest.raises(StoreError, match=f"expected version 1 of the event store, found {NEWER}"):
        sqlite_schema.open_to_read(path)
    with SqliteStore(path) as store:
        store.write([])
    (kept,) = state_dir.glob("events.db.damaged-*")
    with closing(sqlite3.connect(kept)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (NEWER,)


def _spool(state_dir: Path) -> None:
    raw = b"PDNSEV2\n" + bytes(40)
    path = state_dir / "0000000000000001.seg"
    path.write_bytes(raw)
    spool = Spool(state_dir, 2**20)
    assert spool.size_bytes == 0
    assert spool.end.segment == 2
    assert is_aside(path, raw)


def _cursor(state_dir: Path) -> None:
    newer(state_dir / "cursors/x.json", segment=5)
    assert CursorFiles(state_dir / "cursors").load("x") is None


def _places(state_dir: Path) -> None:
    newer(state_dir / places.FILE_NAME, spool_segment=5)
    assert read_places(state_dir) == Places()
    with pytest.raises(DamagedError):
        records.decode(newer(state_dir / tapped_queries.FILE_NAME, rings={}), tapped_queries.TapPlaces)


def _sinks(state_dir: Path) -> None:
    newer(sink_states.states_path(state_dir))
    with pytest.raises(DamagedError, match=f"version {NEWER}"):
        sink_states.read_states(state_dir)


def _day(state_dir: Path) -> None:
    day = DayFiles(state_dir, 20_000, KEY)
    day.make()
    day.write_record(DayRecord(since_s=5.0, version=NEWER))
    assert day.known() == DayRecord()


def _zone(state_dir: Path) -> None:
    zone_file.write_zone(state_dir / "zone", ZoneHead(form=NEWER, serial=1, settings=""), [], ZoneTail())
    with pytest.raises(DamagedZone):
        ZoneReader(state_dir / "zone")


def _journal(state_dir: Path) -> None:
    path = state_dir / "journal"
    path.write_bytes(journal._head(1, 2, 0, 0).replace(b"RPZ1", b"RPZ2"))
    assert journal.Journal(path, 2).between(1, 2) is None


def _serial(state_dir: Path) -> None:
    path = state_dir / "publish/zone/serial.json"
    raw = newer(path, serial=5)
    ZoneVersions(state_dir, "zone").resume()
    assert is_aside(path, raw)


def _node(state_dir: Path) -> None:
    path = state_dir / fleet_status.DIRECTORY / node_record.RECORD
    raw = newer(path, release=5)
    node = node_record.NodeDirectory(state_dir)
    node.prepare()
    assert node.record == node_record.NodeRecord()
    assert is_aside(path, raw)


def _fleet_status(state_dir: Path) -> None:
    path = fleet_status.path(state_dir)
    path.parent.mkdir()
    path.write_bytes(b'{"release":5,"more":[1]}')
    assert fleet_status.read(state_dir) is not None


def _release(state_dir: Path) -> None:
    with pytest.raises(release.BadDocument, match=f"has format {NEWER}"):
        release.decode(msgspec.json.encode({"format": NEWER}), release.Release)


def _memory(create: Callable[[], int], attach: Callable[[int], object]) -> Callable[[Path], None]:
    def check(state_dir: Path) -> None:
        fd = create()
        os.pwrite(fd, os.pread(fd, 7, 0) + b"9", 0)
        with pytest.raises(ValueError, match="of this version"):
            attach(os.dup(fd))
        os.close(fd)

    return check


def _attach_ring(fd: int) -> None:
    try:
        ring.Ring(fd, b"test", 16, writable=False)
    finally:
        os.close(fd)


def _new_counters() -> int:
    memory = counters.Counters.create(16)
    fd = os.dup(memory.fd)
    memory.close()
    return fd


def _audit(state_dir: Path) -> None:
    (state_dir / audit_log.OF_SUPERVISOR).write_bytes(b'{"time_s":5,"user":"x","command":"shrink","more":[1]}\n')
    assert [line["user"] for line in audit_log.read(state_dir)] == ["x"]


def _schedule(state_dir: Path) -> None:
    schedule = report_schedule.ReportSchedule(configuration(state_dir))
    newer(state_dir / "events" / report_schedule._STATE, done={"weekly": 5.0})
    assert schedule._state() == report_schedule.ScheduleState()


_OTHERWISE = {  # rows whose proof is elsewhere
    "`events/names/DAY/*.bloom`, `events/names/listed`": "tests/unit/history/test_filters.py",
    "`conf.d/50-api.toml`, `pdns.toml`": "tests/unit/config",
    "backup": "tests/unit/test_backup.py::test_a_later_backup_is_refused",
    "cache arena, in memory": "tests/unit/fast/test_arena.py",
    "messages between processes": "tests/unit/ipc/test_channel.py::test_nonsense_is_passed_over_and_its_descriptors_closed",
    "configuration for children, in memory": "tests/unit/ipc/test_config_memfd.py::test_an_unknown_key_is_refused",
}
ROWS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "`blocksets/N/`": (str(layout.FORMAT), _blockset),
    "`feeds/compiled.json`": ("1", _compiled),
    "`feeds/FEED/copy.json`": ("1", _copy),
    "`feeds/FEED/hold.json`": (str(QuarantineRecord().version), _quarantined),
    "`feeds/FEED/*.parsed`": (f"{entries._FORM}, {entries._FORM_WITH_ACTIONS}", _parsed),
    "`overrides.json`": (str(overrides.Overrides().version), _recovered("overrides.json", overrides.parse, revision=5)),
    "`credentials.json`": (str(enrolments.Enrolments().version), _recovered("credentials.json", enrolments.parse, revision=5)),
    "`closed_reports.json`": _json_file("closed.json", reports.ReportClosings, closings=[]),
    "`reports/reports.json`": _json_file("reports.json", reports.MistakeReports, reports=[]),
    "`hits.msgpack`": (str(feed_hits.FORMAT), _hits),
    "`cases.jsonl`, `block-times.jsonl`": ("by the form of a line", _lines),
    "`audit.jsonl`, `audit-config.jsonl`": ("by the members of a line", _audit),
    "`feeds.json`": (str(feed_status.FORMAT), _status),
    "`in_force.json`": (str(in_force.FORMAT), _in_force),
    "`live.json`": ("1", _live),
    "`requests/*.order`": ("1", _order),
    "`client.key`, `names.key`": (f"{client_key.KEY_BYTES} bytes", _keys),
    "`events/events.db`": (str(sqlite_schema.VERSION), _events),
    "`events/spool/N.seg`": (spool_segments.MAGIC.decode()[6], _spool),
    "`events/cursors/*.json`": (str(SinkCursor().version), _cursor),
    "`events/places.json`, `events/taps.json`": (str(Places().version), _places),
    "`events/sinks.json`": (str(sink_states.SinkStates().version), _sinks),
    "`events/report_schedule.json`": (str(report_schedule.ScheduleState().version), _schedule),
    "`events/names/DAY/day.json`": (str(DayRecord().version), _day),
    "`publish/ZONE/zone`": (str(zone_file.FORM), _zone),
    "`publish/ZONE/journal`": (journal._MAGIC.decode()[-1], _journal),
    "`publish/ZONE/serial.json`": ("1", _serial),
    "`fleet/node.json`": (str(node_record.NodeRecord().version), _node),
    "`fleet/status.json`": ("by its members", _fleet_status),
    "releases and bundles of a fleet, in the store": (str(release.FORMAT), _release),
    "counters, in memory": (
        counters._MAGIC.decode()[-1],
        _memory(_new_counters, lambda fd: counters.Counters.attach(fd, writable=False)),
    ),
    "rings of events, names, taps and tunnels, in memory": (
        ring._MAGIC.decode()[-1],
        _memory(lambda: ring.Ring.make(b"test", 4, 16), _attach_ring),
    ),
}


def test_the_table_has_every_format() -> None:
    """Each row is proved here or elsewhere, and where it is proved elsewhere, the test is there."""
    assert set(TABLE) - {"format", "---"} == set(ROWS) | set(_OTHERWISE)
    for where in _OTHERWISE.values():
        path, _, name = where.partition("::")
        assert (ROOT / path).exists(), where
        assert f"def {name}" in (ROOT / path).read_text() if name else True, where


@pytest.mark.parametrize("row", ROWS)
def test_a_newer_format_is_never_misread(row: str, tmp_path: Path) -> None:
    """The version is what the table says, and the next one is made anew, put aside or refused."""
    version, check = ROWS[row]
    assert TABLE[row] == version
    check(tmp_path)


def test_a_backup_knows_the_versions_of_what_it_quarantineds() -> None:
    """`pdns restore` refuses by these numbers."""
    assert {
        "overrides.json": overrides.Overrides().version,
        "credentials.json": enrolments.Enrolments().version,
        "closed_reports.json": reports.ReportClosings().version,
        "reports.json": reports.MistakeReports().version,
        "hits.msgpack": feed_hits.FORMAT,
        "copy.json": Copy.__struct_defaults__[-1],
        "hold.json": QuarantineRecord().version,
        "entries": entries._FORM_WITH_ACTIONS,
        "events.db": sqlite_schema.VERSION,
    } == backup.FORMATS


def test_records_without_a_number_have_the_first_version() -> None:
    """These have no member `version` yet: the one that they get first is 2."""
    assert not any("version" in form.__struct_fields__ for form in (LiveBlockset, LastSerial, live_config.LiveConfig))
