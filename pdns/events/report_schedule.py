"""Writes the reports of `[[report]]` when they are due, keeps a bounded number, and mails them.

Files below `<state>/events/`: the reports, `reports/<report>/[<tenant>-]<first day>.<format>`; messages that wait, `mail/*.eml`;
and `report_schedule.json`, when each report was last written. A crash between these repeats a step, which writes the same files
again. Everything that blocks runs in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from pdns.config.report_schema import ScheduledReport
from pdns.config.schema import Config
from pdns.errors import PdnsError
from pdns.event_store.open import open_store
from pdns.event_store.queries import EventQueries
from pdns.events.report_mail import MailError, composed, made_at, send
from pdns.files.safe_files import make_directory, read_bounded, read_state, remove, write_whole
from pdns.report.content import ReportContent, gather
from pdns.report.formats import SUFFIXES, ReportFormat, rendered
from pdns.report.periods import due_before, last_due, period_of
from pdns.report.wording import local
from pdns.state import feed_status

GRACE_S: Final = 300.0  # after the end of a period: the hours of all nodes are recorded by then
MOST_MISSED: Final = 4  # reports of one name that are written after a standstill
FIRST_RETRY_S: Final = 60.0
LAST_RETRY_S: Final = 3600.0
MAIL_GIVEN_UP_S: Final = 86400.0
_LOOK_S: Final = 60.0
_FUTURE_S: Final = 86400.0
_STATE: Final = "report_schedule.json"
_MAIL: Final = "mail"
_REPORTS: Final = "reports"
_MOST_BYTES: Final = 64 * 1024 * 1024
_log = logging.getLogger(__name__)


class ScheduleState(msgspec.Struct, frozen=True):
    """`report_schedule.json`: name of a report -> when the one that was last written was due."""

    done: dict[str, float] = {}
    version: int = 1


class Retry(msgspec.Struct):
    """When to try again what has failed, and how long to wait after that."""

    at_s: float = 0.0
    wait_s: float = FIRST_RETRY_S

    def failed(self, now_s: float) -> None:
        """Wait twice as long as last time."""
        self.at_s, self.wait_s = now_s + self.wait_s, min(2 * self.wait_s, LAST_RETRY_S)


class ReportSchedule:
    """All reports of a configuration."""

    def __init__(
        self,
        config: Config,
        *,
        opened: Callable[[Config], EventQueries] = open_store,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`opened` opens the store for reading, in the thread that reads it."""
        self._config = config
        self._opened = opened
        self._clock = clock
        self._changed = asyncio.Event()
        self._retries: dict[str, Retry] = {}

    def adopt(self, config: Config) -> None:
        """Go on with another configuration."""
        self._config = config
        self._changed.set()

    async def run(self) -> None:
        """Write and mail what is due, until cancelled. Only a thread blocks. After a cancellation it finishes its step alone."""
        while True:
            self._changed.clear()
            if self._config.report:
                await _in_thread(self.work)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _LOOK_S)

    def work(self) -> None:
        """Do everything that is due now. Blocks. Failures are logged, and tried again later."""
        config, now_s = self._config, self._clock()
        try:
            for path in (self._events, self._mail):
                if not path.is_dir():
                    make_directory(path, 0o750)
            state = self._state()
        except OSError as error:
            _log.error("reports: %s: %s", error.filename, error.strerror)
            return
        done = {report.name: state.done.get(report.name, now_s) for report in config.report}
        done = {name: min(due_s, now_s) if due_s > now_s + _FUTURE_S else due_s for name, due_s in done.items()}
        self._keep(state, done)
        for report in config.report:
            retry = self._retries.setdefault(report.name, Retry())
            for due_s in self._missed(report, done[report.name], now_s) if retry.at_s <= now_s else ():
                if not self._write(config, report, due_s, now_s):
                    retry.failed(now_s)
                    break
                done[report.name] = due_s
                self._retries[report.name] = Retry()
                self._keep(state, done)
        self._send(config, now_s)

    def _missed(self, report: ScheduledReport, done_s: float, now_s: float) -> list[float]:
        """When each report that is not written yet was due, the oldest first."""
        due_s = last_due(report.every, report.day, report.time, report.time_zone, now_s)
        if now_s < period_of(report.every, report.time_zone, due_s).end_s + GRACE_S:
            due_s = due_before(report.every, report.time, report.time_zone, due_s)
        found: list[float] = []
        while due_s > done_s and len(found) < MOST_MISSED:
            found.insert(0, due_s)
            due_s = due_before(report.every, report.time, report.time_zone, due_s)
        return found

    def _write(self, config: Config, report: ScheduledReport, due_s: float, now_s: float) -> bool:
        """Write one report for each of its tenants, and its messages. Returns False after logging that it failed."""
        try:
            messages = {}
            queries = self._opened(config)
            try:
                for tenant in _tenants(config, report):
                    status = feed_status.read(Path(config.state.dir))
                    period = period_of(report.every, report.time_zone, due_s)
                    content = gather(queries, config, status, period, tenant, now_s)
                    files = self._store(report, content)
                    if report.mail_to and config.mail.host:
                        name = f"{int(due_s)}-{report.name}-{tenant or '_all'}.eml"
                        messages[name] = composed(content, files, config.mail.sender, report.mail_to)
            finally:
                queries.close()
            for name, message in messages.items():  # after all reports: what fails before is repeated, and would be mailed twice
                write_whole(self._mail / name, message, mode=0o600)
        except OSError as error:
            _log.error("report %s: %s: %s", report.name, error.filename, error.strerror)
        except PdnsError as error:
            _log.error("report %s: %s", report.name, error)
        except Exception:  # noqa: BLE001 (a fault in a report must not end the process that collects events)
            _log.exception("report %s: it could not be made", report.name)
        else:
            return True
        return False

    def _store(self, report: ScheduledReport, content: ReportContent) -> list[tuple[ReportFormat, str, bytes]]:
        """Write one report in its formats, and remove those that are not kept any more."""
        directory = self._directory(report)
        day = f"{local(content.start_s, content.time_zone):%Y-%m-%d}"
        stem = f"{content.tenant}-{day}" if content.tenant else day
        files: list[tuple[ReportFormat, str, bytes]] = []
        for form in dict.fromkeys(report.formats):
            data = rendered(content, form)
            name = f"{stem}.{SUFFIXES[form]}"
            write_whole(directory / name, data, mode=0o640)
            files.append((form, f"{report.name}-{name}", data))
        _log.info("report %s: wrote %s", report.name, directory / f"{stem}.{SUFFIXES[files[0][0]]}")
        _remove_old(directory, content.tenant, report.keep)
        return files

    def _send(self, config: Config, now_s: float) -> None:
        """Send the messages that wait, the oldest first."""
        retry = self._retries.setdefault("", Retry())
        if retry.at_s > now_s:
            return
        failure = ""
        for path in self._waiting():
            try:
                message = read_bounded(path, _MOST_BYTES)
                if config.mail.host:
                    for address in send(config.mail, message):
                        _log.error("%s: the mail server refused it for %s", path.name, address)
                remove(path)
            except OSError as error:
                failure = str(error)
            except MailError as error:
                failure = str(error)
                if now_s - made_at(message) > MAIL_GIVEN_UP_S:
                    _log.error("a report was not mailed within a day, and is not tried again: %s: %s", path.name, error)
                    remove(path)
                elif error.of_server:
                    break
        if not failure:
            self._retries[""] = Retry()
        else:
            _log.warning("a report is not mailed yet: %s", failure)
            retry.failed(now_s)

    @property
    def _events(self) -> Path:
        return Path(self._config.state.dir) / "events"

    @property
    def _mail(self) -> Path:
        return self._events / _MAIL

    def _directory(self, report: ScheduledReport) -> Path:
        base = Path(report.directory) if report.directory else self._events / _REPORTS
        for path in (base, base / report.name) if not report.directory else (base / report.name,):
            if not path.is_dir():
                make_directory(path, 0o750)
        return base / report.name

    def _waiting(self) -> list[Path]:
        """The messages that wait, the oldest first."""
        with suppress(OSError), os.scandir(self._mail) as entries:
            return sorted((Path(entry.path) for entry in entries if entry.name.endswith(".eml")), key=lambda path: path.name)
        return []

    def _state(self) -> ScheduleState:
        try:
            state = msgspec.json.decode(read_state(self._events / _STATE, _MOST_BYTES), type=ScheduleState)
        except (FileNotFoundError, ValueError, RecursionError):
            return ScheduleState()
        return state if state.version <= ScheduleState().version else ScheduleState()

    def _keep(self, state: ScheduleState, done: dict[str, float]) -> None:
        if done != state.done:
            write_whole(self._events / _STATE, msgspec.json.encode(ScheduleState(done)), mode=0o640)


def _tenants(config: Config, report: ScheduledReport) -> Iterator[str | None]:
    if report.tenants == "all":
        yield None
    elif report.tenants == "each":
        yield from (tenant.name for tenant in config.tenant)
    else:
        yield from report.tenants


def _remove_old(directory: Path, tenant: str, keep: int) -> None:
    """Keep the reports of the last `keep` periods of this tenant, or of all."""
    ours = re.compile((rf"{re.escape(tenant)}-" if tenant else "") + r"([0-9]{4}-[0-9]{2}-[0-9]{2})\.(html|json|csv|txt)")
    with os.scandir(directory) as entries:
        found = [(match[1], Path(entry.path)) for entry in entries if (match := ours.fullmatch(entry.name))]
    days = sorted({day for day, _ in found})[-keep:]
    for day, path in found:
        if day not in days:
            remove(path)


async def _in_thread(work: Callable[[], None]) -> None:
    """Run `work` in a thread of its own, which the end of the process does not wait for."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if not done.done():
            done.set_result(None) if error is None else done.set_exception(error)

    def target() -> None:
        error: BaseException | None = None
        try:
            work()
        except BaseException as raised:  # noqa: BLE001 (for the one that waits)
            error = raised
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(finish, error)

    threading.Thread(target=target, name="reports", daemon=True).start()
    await done
