"""The real program writes the reports of `[[report]]` when they are due, and mails them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec

from pdns.event_store.event import ALL_TENANTS, Hour
from pdns.event_store.sqlite_schema import store_path
from pdns.events.report_schedule import GRACE_S, ScheduleState
from tests.integration.running_pdns import RunningPdns
from tests.unit.events.mailserver import Mailbox, certificate, mail_server
from tests.unit.report import records
from tests.unit.report.stored import store

DAY_S = 86400.0


def test_a_due_report_is_written_and_mailed(tmp_path: Path) -> None:
    """The confined events process writes the reports on yesterday, one for each tenant, in each format, into its own directory
    and another one, and hands them to the mail server.
    """
    today_s = (time.time() - GRACE_S - 60) // DAY_S * DAY_S
    yesterday_s = today_s - DAY_S
    (tmp_path / "shared").mkdir()
    state = tmp_path / "state"
    state.mkdir(mode=0o750)
    events = state / "events"
    events.mkdir(mode=0o750)
    store(
        store_path(state),
        [
            *(
                Hour(
                    id=2 * at + bool(tenant != ALL_TENANTS), start_s=yesterday_s + 3600 * at, end_s=yesterday_s + 3600 * (at + 1),
                    node="dns1", tenant=tenant, queries=100, answered=100,
                )
                for at in range(24)
                for tenant in (ALL_TENANTS, "leeds")
            ),
            *(records.event(99 + at, yesterday_s + 60 * at, "leeds", "cdn-sync.example", category="c2") for at in range(7)),
        ],
    )  # fmt: skip
    done = {"daily": yesterday_s, "outside": yesterday_s}
    (events / "report_schedule.json").write_bytes(msgspec.json.encode(ScheduleState(done)))
    mailbox, pair = Mailbox(), certificate(tmp_path)
    with mail_server(mailbox, pair) as port:
        daily = {"every": "day", "time": "00:00", "tenants": "each"}
        config = {
            "tenant": [{"name": "leeds", "display_name": "Leeds City Council", "networks": ["10.3.0.0/16"]}],
            "mail": {"host": "127.0.0.1", "port": port, "sender": "dns@leeds.example", "ca_file": str(pair[0])},
            "report": [
                {**daily, "name": "daily", "formats": ["html", "json", "csv", "text"], "mail_to": ["security@leeds.example"]},
                {**daily, "name": "outside", "directory": str(tmp_path / "shared")},
            ],
        }
        with RunningPdns(tmp_path, config) as pdns:
            day = time.strftime("%Y-%m-%d", time.gmtime(yesterday_s))
            outside = tmp_path / f"shared/outside/leeds-{day}.html"
            pdns.wait_for(lambda: outside.exists() and mailbox.messages, "the reports")
            written = {path.name for path in (events / "reports/daily").iterdir()}
            assert written == {f"leeds-{day}.{suffix}" for suffix in ("html", "json", "csv", "txt")}
            content = json.loads((events / f"reports/daily/leeds-{day}.json").read_bytes())
            assert (content["headline"]["queries"], content["headline"]["blocked"], content["known_share"]) == (2400, 7, 1.0)
            assert "Leeds City Council" in outside.read_text()
            (message,) = mailbox.messages
            assert [part.get_filename() for part in message.iter_attachments()] == [
                f"daily-leeds-{day}.{suffix}" for suffix in ("html", "json", "csv")
            ]
            pdns.wait_for(lambda: not list((events / "mail").iterdir()), "an empty outbox")
            state_after = msgspec.json.decode((events / "report_schedule.json").read_bytes(), type=ScheduleState)
            assert state_after.done == {"daily": today_s, "outside": today_s}
