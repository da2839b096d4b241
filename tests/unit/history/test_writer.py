"""The history on the disk: days, retention, bounds, damage, restarts."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pdns.history import writer
from pdns.history.days import DayFiles, date_of, days_in, history_directory
from pdns.history.hunt import NameHunt, WantedName
from pdns.history.writer import NameHistory, remove_history
from pdns.telemetry.asked_names import DAY_S
from pdns.telemetry.names_key import FILE_NAME, read_key, read_or_make_key
from pdns.wire.names import from_text
from tests.unit.history.asked import KEY, NOON_S, TODAY, make_history, note


def found(state_dir: Path, name: str, now_day: int = TODAY) -> dict[str, list[str]]:
    """Tenant -> days."""
    (state_dir / FILE_NAME).write_bytes(KEY)
    report = NameHunt.of(state_dir, 30, now_day).find([WantedName(from_text(name))])
    return {asked.tenant: asked.days for one in report.found for asked in one.tenants}


def test_a_restart_goes_on_with_the_day(tmp_path: Path) -> None:
    """What an earlier process has written is still there, and is added to."""
    for name in ("a.example", "b.example"):
        history = NameHistory(tmp_path, KEY, 30, 1 << 30, NOON_S)
        note(history, "north", name, TODAY)
        history.tick(NOON_S + 1)
        history.tick(NOON_S + 1 + writer.WRITE_S)
    assert found(tmp_path, "a.example") == found(tmp_path, "b.example") == {"north": [date_of(TODAY)]}
    record = DayFiles(history_directory(tmp_path), TODAY, KEY).known()
    assert (record.since_s, record.until_s) == (NOON_S, NOON_S + 1 + writer.WRITE_S)


def test_midnight(tmp_path: Path) -> None:
    """What was noted before midnight and read after it belongs to the day before; what is too late is left out."""
    midnight_s = (TODAY + 1.0) * DAY_S
    history = NameHistory(tmp_path, KEY, 30, 1 << 30, midnight_s - 1)
    note(history, "north", "a.example", TODAY)
    history.tick(midnight_s + 1)
    note(history, "north", "b.example", TODAY)
    note(history, "north", "c.example", TODAY + 1)
    history.tick(midnight_s + 601)
    note(history, "north", "d.example", TODAY + 1)
    history.write(midnight_s + 602)
    note(history, "north", "e.example", TODAY)
    note(history, "north", "f.example", TODAY + 300)
    history.write(midnight_s + 603)
    days = {name: found(tmp_path, f"{name}.example", TODAY + 1) for name in "abcdef"}
    today, tomorrow = date_of(TODAY), date_of(TODAY + 1)
    of = {name: day.get("north", []) for name, day in days.items()}
    assert of == {"a": [today], "b": [today], "c": [tomorrow], "d": [tomorrow], "e": [], "f": []}


def test_old_days_are_removed(tmp_path: Path) -> None:
    """A day is kept for as long as history.days says, no longer; days that are no days stay."""
    make_history(tmp_path, [(ago, "north", "a.example") for ago in range(6)], days=3)
    (history_directory(tmp_path) / "notes").mkdir()
    assert [day.day for day in days_in(history_directory(tmp_path), KEY)] == [TODAY - 2, TODAY - 1, TODAY]
    assert (history_directory(tmp_path) / "notes").exists()


def test_all_days_together_are_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The oldest go first; today is kept, whatever its size."""
    make_history(tmp_path, [(ago, f"t{tenant}", "a.example") for ago in range(1, 5) for tenant in range(3)])
    sizes = [day.size_bytes() for day in days_in(history_directory(tmp_path), KEY)]
    history = NameHistory(tmp_path, KEY, 30, sizes[-1] * 2, NOON_S)
    note(history, "north", "b.example", TODAY)
    with caplog.at_level(logging.WARNING):
        history.write(NOON_S)
    assert [day.day for day in days_in(history_directory(tmp_path), KEY)] == [TODAY - 1, TODAY]
    assert "history.max_bytes" in caplog.text
    tiny = NameHistory(tmp_path, KEY, 30, 1, NOON_S)
    note(tiny, "north", "c.example", TODAY)
    tiny.write(NOON_S)
    assert [day.day for day in days_in(history_directory(tmp_path), KEY)] == [TODAY]


def test_damage_costs_one_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged filter of today is begun anew; one of an earlier day is said to be damaged, and the others are read."""
    make_history(tmp_path, [(1, "north", "a.example"), (1, "south", "a.example"), (0, "north", "a.example")])
    for ago in (0, 1):
        (history_directory(tmp_path) / date_of(TODAY - ago) / "north.bloom").write_bytes(b"nonsense")
    history = NameHistory(tmp_path, KEY, 30, 1 << 30, NOON_S)
    with caplog.at_level(logging.WARNING):
        note(history, "north", "b.example", TODAY)
        history.write(NOON_S + 9)
    assert "begun anew" in caplog.text
    assert found(tmp_path, "b.example") == {"north": [date_of(TODAY)]}
    report = NameHunt.of(tmp_path, 30, TODAY).find([WantedName(from_text("a.example"))])
    assert report.damaged == [f"{date_of(TODAY - 1)}, north"]
    assert [one.tenant for one in report.found[0].tenants] == ["south"]


@pytest.mark.parametrize("tenant", ["north", "..", "+all", "a/b", "caf\u00e9 \u2603", "a%2Fb", ".hidden", "x" * 60])
def test_any_name_of_a_tenant(tmp_path: Path, tenant: str) -> None:
    """Whatever a tenant is called, its file is within the directory of its day, and belongs to no other tenant."""
    make_history(tmp_path, [(0, tenant, "a.example"), (0, "south", "b.example")])
    assert found(tmp_path, "a.example") == {tenant: [date_of(TODAY)]}
    assert len(list((history_directory(tmp_path) / date_of(TODAY)).iterdir())) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events", "names.key"]


def test_a_disk_that_is_full(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once; names stay in memory, and are written when there is room again."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    history = NameHistory(tmp_path, KEY, 30, 1 << 30, NOON_S)
    note(history, "north", "a.example", TODAY)
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr("pdns.history.days.write_whole", full)
        for at in range(3):
            history.write(NOON_S + at)
    assert caplog.text.count("No space left") == 1
    history.write(NOON_S + 9)
    assert found(tmp_path, "a.example") == {"north": [date_of(TODAY)]}


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost digests, and those for which the filter for all had no room, are in every report of a hunt."""
    monkeypatch.setattr("pdns.history.writer.MOST_OF_ALL", 1000)
    history = NameHistory(tmp_path, KEY, 30, 1 << 30, NOON_S)
    for number in range(1003):
        note(history, "north", f"a{number}.example", TODAY)
    history.lose(4)
    history.write(NOON_S)
    (tmp_path / FILE_NAME).write_bytes(KEY)
    report = NameHunt.of(tmp_path, 30, TODAY).find([WantedName(from_text("a1.example"))])
    assert report.lost == 7
    assert report.found


def test_no_name_is_on_the_disk(tmp_path: Path) -> None:
    """The files have neither a name nor a label of one."""
    make_history(tmp_path, [(0, "north", "secret.clinic.example")])
    contents = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(label in content for content in contents for label in (b"secret", b"clinic", b"example"))


def test_the_key(tmp_path: Path) -> None:
    """It is made once, for its owner alone; a damaged one is replaced; with another key, old filters say nothing."""
    assert read_key(tmp_path) is None
    key = read_or_make_key(tmp_path)
    assert read_or_make_key(tmp_path) == key == read_key(tmp_path)
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    (tmp_path / FILE_NAME).write_bytes(key[:5])
    assert read_key(tmp_path) is None
    assert read_or_make_key(tmp_path) != key
    make_history(tmp_path, [(0, "north", "a.example")])
    (tmp_path / FILE_NAME).write_bytes(bytes(32))
    report = NameHunt.of(tmp_path, 30, TODAY).find([WantedName(from_text("a.example"))])
    assert not report.found
    assert report.damaged == [f"{date_of(TODAY)}, all tenants"]


def test_switched_off(tmp_path: Path) -> None:
    """Without a history, nothing of it stays."""
    make_history(tmp_path, [(0, "north", "a.example")])
    remove_history(tmp_path)
    assert not history_directory(tmp_path).exists()
