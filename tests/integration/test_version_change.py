"""From the program of an earlier commit to this one and back, under load: no query is lost, and nothing is forgotten.

The files on the disk are replaced while it runs, as a package manager does, then SIGUSR2 replaces the processes; the supervisor
stays the one that was started. A worker of the earlier program may refuse the configuration of a later supervisor; then the later
one stays. At the end the service is stopped, and started again with the state that the other version left.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdns.event_store.queries import Window
from pdns.event_store.sqlite_queries import SqliteQueries
from pdns.event_store.sqlite_schema import store_path
from tests.integration.baseprogram import InstalledProgram, base_program
from tests.integration.busyscene import command
from tests.integration.running_pdns import ROOT, SINKHOLE, RunningPdns, UpstreamThread
from tests.integration.severalworkers import NAMES, UPSTREAM_SAYS, Load, config, slow_upstream

DONE, REFUSED = "the workers and feeds are new processes", "the new process does not start, the old one stays"
MIXED = [*NAMES, *(f"w{number}.example.net" for number in range(600))]


@pytest.fixture
def upstream() -> Iterator[UpstreamThread]:
    with slow_upstream() as thread:
        yield thread


@pytest.mark.parametrize("first", ["the earlier one", pytest.param("this one", marks=pytest.mark.long)])
def test_there_and_back_under_load(tmp_path: Path, upstream: UpstreamThread, first: str) -> None:
    """Half of the queries are for listed names. Each gets its own answer, none SERVFAIL, with supervisors of both versions."""
    earlier = base_program()
    before, after = (earlier, ROOT) if first == "the earlier one" else (ROOT, earlier)
    program = InstalledProgram(tmp_path / "program")
    program.install(before)
    sections = config(tmp_path, upstream, events={"enabled": True})
    with RunningPdns(tmp_path, sections, environment=program.environment) as pdns:
        command(pdns, "block", "local.example", "--reason", "test")
        command(pdns, "feeds", "hold", "listed", "--reason", "test")
        with Load(pdns, 2000, MIXED) as load:
            time.sleep(0.3)
            program.install(after)
            if replaced := replace_processes(pdns):
                wait_for_program(pdns, after)
            assert replaced or after is earlier
            program.install(before)
            assert replace_processes(pdns)
            wait_for_program(pdns, before)
            time.sleep(0.3)
        print(f"{load.sent} sent, {load.lost} lost, {load.wrong} wrong")  # noqa: T201 (shown when it fails)
        assert (load.lost, load.wrong, set(load.rcodes)) == (0, 0, {0})
        assert load.sent == load.answered > 1000
        assert pdns.value("responses_total", rcode="SERVFAIL") == 0
        assert pdns.value("worker_restarts_total") == pdns.value("damaged_files") == 0
        pdns.wait_for(lambda: events(pdns) > 0, "events in the store")
        recorded = events(pdns)
        for next_program in (after, before):
            assert pdns.stop() == 0
            program.install(next_program)
            pdns.start()
            assert pdns.addresses("n1.listed.test") == pdns.addresses("local.example") == [SINKHOLE]
            assert pdns.addresses("w1.example.net") == [UPSTREAM_SAYS]
            assert pdns.value("damaged_files") == 0
            pdns.wait_for(lambda: '"frozen":"test"' in status(pdns), "updates are held")
            assert events(pdns) >= recorded


def status(pdns: RunningPdns) -> str:
    return (pdns.state_dir / "feeds.json").read_text()


def replace_processes(pdns: RunningPdns) -> bool:
    """SIGUSR2. False if the worker of the earlier program refuses a configuration with keys that it does not know."""
    said, refused = pdns.log.count(DONE), pdns.log.count(REFUSED)
    pdns.send_signal(signal.SIGUSR2)
    pdns.wait_for(lambda: pdns.log.count(DONE) > said or pdns.log.count(REFUSED) > refused, "replaced")
    return pdns.log.count(DONE) > said


def wait_for_program(pdns: RunningPdns, program: Path) -> None:
    """Return when the feeds process is of that program. This one says which updates went live; others may."""
    says_updates = "updates=updates" in (program / "feeds" / "status.py").read_text()
    pdns.wait_for(lambda: ('"updates":' in status(pdns)) == says_updates, "its status")


def events(pdns: RunningPdns) -> int:
    """Blocked queries in the event store."""
    path = store_path(pdns.state_dir)
    if not path.exists():
        return 0
    queries = SqliteQueries(path)
    try:
        return queries.headline(Window(0.0, time.time() + 60), None).blocked
    finally:
        queries.close()
