"""Regular reports: each period once, also after a standstill or a failure, a bounded number, and mailed."""

from __future__ import annotations

import asyncio
import concurrent.futures
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pdns.config.report_schema import Mail, ScheduledReport
from pdns.config.schema import Config
from pdns.errors import PdnsError
from pdns.event_store.queries import EventQueries, Window
from pdns.event_store.sqlite_queries import SqliteQueries
from pdns.events.report_schedule import GRACE_S, ReportSchedule
from tests.unit.events.mailserver import Mailbox, certificate, mail_server
from tests.unit.report import records
from tests.unit.report.stored import store

WEEK_S, DAY_S = 7 * 86400.0, 86400.0
MONDAY_S = records.END_S + 6 * 3600  # when the report on the example week is due
WEEKLY = ScheduledReport(name="weekly")


class Bench:
    """A schedule whose clock and store are ours."""

    def __init__(self, directory: Path, *reports: ScheduledReport, mail: Mail | None = None) -> None:
        self.directory = directory
        self.now_s = MONDAY_S - DAY_S
        self.opened = 0
        self.failure: Exception | None = None
        self.path = store(directory / "events.db", records.records(weeks=1)[:40])
        config = records.config(str(directory))
        self.config = msgspec.structs.replace(config, report=reports or (WEEKLY,), mail=mail or Mail())
        self.restart()

    def restart(self) -> None:
        self.schedule = ReportSchedule(self.config, opened=self._open, clock=lambda: self.now_s)

    def work(self, at_s: float) -> list[str]:
        self.now_s = at_s
        self.schedule.work()
        return self.files

    @property
    def files(self) -> list[str]:
        events = self.directory / "events"
        return sorted(str(path.relative_to(events)) for path in events.rglob("*") if path.suffix in (".html", ".csv", ".eml"))

    def _open(self, _config: Config) -> EventQueries:
        self.opened += 1
        if self.failure is not None:
            raise self.failure
        return SqliteQueries(self.path)


def test_a_report_is_written_when_it_is_due(tmp_path: Path) -> None:
    """Not before, then once, about the week before."""
    bench = Bench(tmp_path)
    assert bench.work(MONDAY_S - DAY_S) == []
    assert bench.work(MONDAY_S - 1) == []
    written = ["reports/weekly/2026-11-16.html"]
    assert bench.work(MONDAY_S + 1) == written
    assert bench.opened == 1
    bench.restart()
    assert bench.work(MONDAY_S + 2 * DAY_S) == written
    assert bench.opened == 1
    assert (tmp_path / "events" / written[0]).stat().st_mode & 0o777 == 0o640


def test_a_new_report_waits_for_its_day(tmp_path: Path) -> None:
    """A report that is configured after its day is first written at the next one."""
    bench = Bench(tmp_path)
    assert bench.work(MONDAY_S + DAY_S) == []
    assert bench.work(MONDAY_S + WEEK_S + 1) == ["reports/weekly/2026-11-23.html"]


def test_missed_reports_are_written_once(tmp_path: Path) -> None:
    """After a standstill each missed week is written once, no more than four of them."""
    bench = Bench(tmp_path)
    bench.work(MONDAY_S - DAY_S)
    bench.restart()
    weeks = ["2026-11-16", "2026-11-23", "2026-11-30"]
    assert bench.work(MONDAY_S + 2 * WEEK_S + DAY_S) == [f"reports/weekly/{day}.html" for day in weeks]
    bench.work(MONDAY_S + 2 * WEEK_S + 2 * DAY_S)
    assert bench.opened == 3
    bench.restart()
    assert len(bench.work(MONDAY_S + 20 * WEEK_S)) == 3 + 4
    assert bench.opened == 7


def test_the_last_hour_is_waited_for(tmp_path: Path) -> None:
    """A report that is due when its week ends waits until the last hour is recorded."""
    bench = Bench(tmp_path, ScheduledReport(name="weekly", time="00:00"))
    bench.work(MONDAY_S - DAY_S)
    assert bench.work(records.END_S + 1) == []
    assert bench.work(records.END_S + GRACE_S + 1) == ["reports/weekly/2026-11-16.html"]


@pytest.mark.parametrize("tenants", ["each", ("kirklees", "leeds")])
def test_a_report_for_each_tenant(tenants: Any, tmp_path: Path) -> None:
    """Each tenant has files of its own, in each format."""
    out = tmp_path / "events/out"
    out.mkdir(parents=True)
    bench = Bench(tmp_path, ScheduledReport(name="w", tenants=tenants, formats=("html", "csv"), directory=str(out)))
    bench.work(MONDAY_S - DAY_S)
    those = records.TENANTS if tenants == "each" else tenants
    expected = [f"out/w/{tenant}-2026-11-16.{suffix}" for tenant in those for suffix in ("csv", "html")]
    assert bench.work(MONDAY_S + 1) == sorted(expected)
    text = (tmp_path / "events/out/w/leeds-2026-11-16.html").read_text()
    assert "Leeds City Council" in text
    assert "Kirklees" not in text


def test_a_bounded_number_is_kept(tmp_path: Path) -> None:
    """The oldest go; files of others stay."""
    bench = Bench(tmp_path, ScheduledReport(name="w", every="day", keep=3, formats=("html", "csv")))
    bench.work(MONDAY_S)
    for day in range(1, 7):
        bench.work(MONDAY_S + day * DAY_S + 1)
        if day == 1:
            (tmp_path / "events/reports/w/notes.html").write_text("mine")
    days = [f"2026-11-{day}" for day in (26, 27, 28)]
    expected = [f"reports/w/{day}.{suffix}" for day in days for suffix in ("csv", "html")]
    assert bench.files == sorted([*expected, "reports/w/notes.html"])


@pytest.mark.parametrize(
    "failure", [PdnsError("the store is damaged"), OSError(28, "No space left on device", "x"), ZeroDivisionError()]
)
def test_a_failure_is_tried_again(failure: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A report that cannot be made is logged and tried again later and later; other reports are written meanwhile."""
    bench = Bench(tmp_path)
    bench.work(MONDAY_S - DAY_S)
    bench.failure = failure
    for minute in range(60):
        bench.work(MONDAY_S + 60 * minute)
    assert 4 <= bench.opened <= 8
    assert "report weekly" in caplog.text
    bench.failure = None
    assert bench.work(MONDAY_S + 3 * 3600) == ["reports/weekly/2026-11-16.html"]


def test_a_clock_that_was_ahead(tmp_path: Path) -> None:
    """After a clock that was years ahead, the next report is written on its day."""
    bench = Bench(tmp_path)
    bench.work(MONDAY_S + 500 * WEEK_S)
    bench.work(MONDAY_S - DAY_S)
    assert bench.work(MONDAY_S + 1) == ["reports/weekly/2026-11-16.html"]


def test_a_damaged_state(tmp_path: Path) -> None:
    """A schedule file that cannot be read is written anew; no report is written twice for it."""
    bench = Bench(tmp_path)
    bench.work(MONDAY_S - DAY_S)
    bench.work(MONDAY_S + 1)
    (tmp_path / "events/report_schedule.json").write_bytes(b"{\xff")
    bench.restart()
    bench.work(MONDAY_S + 2)
    assert bench.opened == 1
    assert len(bench.work(MONDAY_S + WEEK_S + 1)) == 2


def test_mail(tmp_path: Path) -> None:
    """A report is mailed once; what the server does not take waits, also through a restart, and is given up after a day."""
    pair, mailbox = certificate(tmp_path), Mailbox()
    report = ScheduledReport(name="weekly", mail_to=("soc@leeds.example",), tenants=("leeds", "kirklees"))
    with mail_server(mailbox, pair) as port:
        mail = Mail(host="127.0.0.1", port=port, sender="pdns@council.example", ca_file=str(pair[0]))
        bench = Bench(tmp_path, report, mail=mail)
        bench.work(MONDAY_S - DAY_S)
        bench.work(MONDAY_S + 1)
        bench.work(MONDAY_S + 3600)
        assert len(mailbox.messages) == 2
        assert not any(path.endswith(".eml") for path in bench.files)
        mailbox.status = "451 later"
        bench.work(MONDAY_S + WEEK_S)
        assert len(mailbox.messages) == 2
        mailbox.status = ""
        bench.restart()
        bench.work(MONDAY_S + WEEK_S + 2)
        assert len(mailbox.messages) == 4
    bench.work(MONDAY_S + 2 * WEEK_S)
    waiting = sorted((tmp_path / "events/mail").iterdir())
    assert len(waiting) == 2
    for path in waiting:
        assert path.stat().st_mode & 0o777 == 0o600
    bench.work(MONDAY_S + 2 * WEEK_S + DAY_S + 3600)
    assert sorted((tmp_path / "events/mail").iterdir()) == []


def test_the_loop_goes_on_meanwhile(tmp_path: Path) -> None:
    """While a report is made, the loop of the process runs; it can be cancelled then, and takes up another configuration."""

    class Slow(SqliteQueries):
        def hours(self, window: Window, tenant: str | None = None) -> Any:
            assert entered is not None
            loop.call_soon_threadsafe(entered.set)
            released.result(60)
            return super().hours(window, tenant)

    released: concurrent.futures.Future[None] = concurrent.futures.Future()
    entered: asyncio.Event | None = None
    loop: Any = None

    async def main() -> None:
        nonlocal entered, loop
        entered, loop = asyncio.Event(), asyncio.get_running_loop()
        schedule = ReportSchedule(
            Config(state=bench.config.state), opened=lambda _config: Slow(bench.path), clock=lambda: bench.now_s
        )
        job = loop.create_task(schedule.run())
        await asyncio.sleep(0)
        schedule.adopt(bench.config)
        await entered.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not job.done()
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        released.set_result(None)

    bench = Bench(tmp_path)
    bench.work(MONDAY_S - DAY_S)
    bench.now_s = MONDAY_S + 1
    asyncio.run(main())


def test_weeks_are_those_of_the_time_zone(tmp_path: Path) -> None:
    """The day and the time are those of the configured time zone."""
    bench = Bench(tmp_path, ScheduledReport(name="w", time_zone="Australia/Sydney", day="tue", time="07:30"))
    due_s = datetime(2026, 11, 23, 20, 30, tzinfo=UTC).timestamp()  # Tuesday 07:30 in Sydney
    bench.work(due_s - DAY_S)
    assert bench.work(due_s - 1) == []
    assert bench.work(due_s + 1) == ["reports/w/2026-11-17.html"]
