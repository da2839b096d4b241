"""What a report says: the numbers are those of the records, and a tenant sees nothing of others."""

from __future__ import annotations

import time
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds import audit
from pdns.event_store.event import Event, Hour
from pdns.event_store.queries import Point, Window
from pdns.report.advice import advice
from pdns.report.content import ReportContent, gather, grouped, known_share
from pdns.report.formats import ReportFormat, rendered
from pdns.report.periods import Period
from pdns.report.sections import figures, sections, summary
from pdns.state import audit_log
from pdns.state.commands import Command, Outcome
from tests.unit.report import records
from tests.unit.report.stored import stored

PERIOD = Period(records.START_S, records.END_S, "Europe/London")
NOW_S = records.END_S + 3600


def report(tenant: str | None = None, *, clients: bool = True, weeks: int = 2, state_dir: str = "/nonexistent") -> ReportContent:
    with stored(records.records(clients=clients, weeks=weeks)) as queries:
        return gather(queries, records.config(state_dir), records.status(NOW_S), PERIOD, tenant, NOW_S)


def test_numbers_agree_with_each_other() -> None:
    """The headline, the chart, the top lists and the tenants add up to the same number of blocked queries."""
    content = report()
    blocked = content.headline.blocked
    assert sum(point.blocked for point in content.points) == blocked > 0
    assert sum(point.queries for point in content.points) == content.headline.queries
    for by in ("listed", "category", "tenant"):
        assert sum(row.n for row in content.top[by]) == blocked
    assert sum(report(tenant).headline.blocked for tenant in records.TENANTS) == blocked
    assert sum(report(tenant).headline.queries for tenant in records.TENANTS) == content.headline.queries
    assert len(content.points) == 7


@pytest.mark.parametrize("form", get_args(ReportFormat))
def test_a_tenant_sees_nothing_of_others(form: ReportFormat, tmp_path: Path) -> None:
    """No form of a tenant's report has a name, an address, a number or a change of another tenant."""
    for name in ("audit.jsonl", "audit-config.jsonl"):
        (tmp_path / name).touch()
    _audit(tmp_path)
    content = report("kirklees", state_dir=str(tmp_path))
    text = rendered(content, form).decode()
    for other in ("leeds", "bradford", "wakefield", "Leeds", "West Yorkshire", "10.1.", "10.3.", "10.4.", "secret of"):
        assert other not in text, other
    assert "Kirklees Council" in text
    assert content.headline.tenants == 1
    assert "tenant" not in content.top
    assert content.shared == ()
    assert {row.tenants for rows in content.top.values() for row in rows} == {1}
    assert {one.tenant_count for one in content.first_seen} == {1}
    assert {one.tenant for one in content.machines} == {"kirklees"}
    assert {(one.command, one.subject, one.user, one.reason) for one in content.policy.changes} == {
        ("block", "all.example", "", ""), ("allow", "ours.example", "ann", "ticket 3"), ("set tenant", "kirklees", "ann", "move"),
    }  # fmt: skip


def _audit(state_dir: Path) -> None:
    done = Outcome(done=True, text="")
    for tenant, name, reason in (
        ("leeds", "theirs.example", "secret of leeds"), ("", "all.example", "secret of leeds"),
        ("kirklees", "ours.example", "ticket 3"),
    ):  # fmt: skip
        command = "allow" if tenant == "kirklees" else "block"
        audit.write(state_dir, Command(command=command, user="ann", name=name, tenant=tenant, reason=reason), done)  # type: ignore[arg-type]
    for tenant in ("leeds", "kirklees"):
        audit_log.write(state_dir, "ann", "set tenant", name=tenant, reason="move", done=True, outcome="")
    audit_log.write(state_dir, "ann", "set tenant", name="kirklees", reason="refused", done=False, outcome="")
    shift_s = records.START_S + 100 - time.time()
    for path in state_dir.glob("audit*.jsonl"):
        lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
        path.write_bytes(b"".join(msgspec.json.encode({**line, "time_s": line["time_s"] + shift_s}) + b"\n" for line in lines))


def test_changes_of_everyone(tmp_path: Path) -> None:
    """The report of all tenants has every change that took effect, the oldest first, with who and why."""
    _audit(tmp_path)
    changes = report(state_dir=str(tmp_path)).policy.changes
    assert len(changes) == 5
    assert [one.time_s for one in changes] == sorted(one.time_s for one in changes)
    assert "secret of leeds" in {one.reason for one in changes}
    assert all(one.user == "ann" for one in changes)


def test_without_a_period_before() -> None:
    """A first report compares with nothing and says so; every name in it is new."""
    content = report(weeks=1)
    assert content.before is None
    assert {one.trend for one in figures(content)} == {"no data for the 7 days before"}
    assert len(content.first_seen) == 8
    assert "are not compared" in rendered(content, "text").decode().replace("\n", " ")


def test_without_clients() -> None:
    """If the configuration keeps no clients, the report says so and asks whether that is meant."""
    content = report(clients=False)
    assert content.machines == ()
    section = next(one for one in sections(content) if one.key == "machines")
    assert section.rows == ()
    assert "keeps no client addresses" in section.lead
    assert any("events.clients" in step for step in advice(content))
    assert not any("events.clients" in step for step in advice(report()))


def test_nothing_happened() -> None:
    """A report without a record is whole, and says that nothing was recorded."""
    with stored([]) as queries:
        content = gather(queries, records.config(), None, PERIOD, None, NOW_S)
    for form in get_args(ReportFormat):
        assert rendered(content, form)
    text = rendered(content, "text").decode()
    assert "No queries are recorded in this period." in text
    assert "never loaded" in text


def test_advice() -> None:
    """What to do: machines first, then what else is wrong, with the machine that calls home by name."""
    steps = advice(report())
    assert steps[0].startswith("Check 14 machines that may be infected: ")
    assert "Make sure that these machines were cleaned" in steps[1]
    assert "10.3.4.27 (since 19 Nov 2026, 01:54)" in steps[1]
    assert "scamlist (source fails)" in steps[4]
    with stored([]) as queries:
        quiet = gather(queries, records.config(), records.status(NOW_S), PERIOD, "leeds", NOW_S)
    assert advice(msgspec.structs.replace(quiet, known_share=1.0)) == ["Nothing in this report needs action."]


def test_an_active_beacon_comes_first() -> None:
    """The machine that calls home regularly is the one to start with."""
    content = report()
    active = [msgspec.structs.replace(one, stopped_since_s=None) for one in content.machines]
    steps = advice(msgspec.structs.replace(content, machines=tuple(active)))
    assert "Start with 10.3.4.27: it calls home every 5 minutes." in steps[0]


def test_advertising_is_no_infection() -> None:
    """Machines that only met advertising or tracking are not to be looked at."""
    assert {one.category for one in report().machines}.isdisjoint({"tracking", "ads", "policy", "new"})
    tracked = [
        records.event(at, records.START_S + 60 * at, "leeds", "a.example", category="tracking", client="10.3.0.1")
        for at in range(99)
    ]
    with stored(tracked) as queries:
        assert queries.machines(Window(PERIOD.start_s, PERIOD.end_s), None, 9)
        assert gather(queries, records.config(), None, PERIOD, None, NOW_S).machines == ()


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 3)), max_size=12))
def test_the_known_share_is_a_union(spans: list[tuple[int, int]]) -> None:
    """Hours of several nodes cover the period once; hours outside it count for nothing."""
    hour = next(one for one in records.records() if isinstance(one, Hour))
    window = Window(100 * 3600.0, 148 * 3600.0)
    those = [msgspec.structs.replace(hour, start_s=at * 3600.0, end_s=(at + n) * 3600.0) for at, n in spans]
    covered = {hour for at, n in spans for hour in range(at, at + n)} & set(range(100, 148))
    assert known_share(those, window) == pytest.approx(len(covered) / 48)


@given(
    st.lists(st.tuples(st.integers(0, 24 * 20 - 1), st.integers(0, 100)), max_size=30),
    st.sampled_from(("hour", "day", "week")),
    st.sampled_from(("UTC", "Europe/London", "Asia/Kolkata")),
)
def test_no_query_is_lost_in_groups(values: list[tuple[int, int]], unit: str, zone: str) -> None:
    """Grouping by hours, days or weeks, also where the clocks change, keeps the sum and the order."""
    period = Period(1_792_000_000.0, 1_792_000_000.0 + 20 * 86400, zone)  # October 2026
    points = [Point(start_s=period.start_s + at * 3600, queries=n, blocked=n, monitored=0) for at, n in values]
    groups = grouped(points, unit, period)
    assert sum(one.blocked for one in groups) == sum(n for _, n in values)
    starts = [one.start_s for one in groups]
    assert starts == sorted(set(starts))
    assert starts[0] == period.start_s


@given(st.integers(0, 10**6), st.integers(0, 23))
def test_a_bar_is_of_its_own_hour(fraction: int, hour: int) -> None:
    """The store rounds times down to microseconds: an hour is not counted for the one before."""
    start_s = 1_792_000_000.0 + fraction / 1_000_003
    period = Period(start_s, start_s + 86400)
    rounded_s = int((start_s + hour * 3600) * 1e6) / 1e6
    groups = grouped([Point(start_s=rounded_s, queries=1, blocked=1, monitored=0)], "hour", period)
    assert [one.blocked for one in groups].index(1) == hour
    assert len(groups) == 24


def test_a_running_hour_has_no_counters() -> None:
    """Blocked queries of the running hour are known, queries are not: no 0 that looks like a count, and no share above 100 %."""
    events = [one for one in records.records() if isinstance(one, Event)]
    with stored(events) as queries:
        content = gather(queries, records.config(), records.status(NOW_S), PERIOD, None, NOW_S)
    assert figures(content)[0].value == "-"
    assert "at the end of each hour" in figures(content)[0].trend
    assert "%" not in summary(content)
    few = msgspec.structs.replace(content.headline, queries=10)
    assert "%" not in summary(msgspec.structs.replace(content, headline=few, known_share=0.95))
    assert "%" in summary(report())


@pytest.mark.parametrize("tenant", [None, "leeds"])
def test_nothing_recorded_is_not_all_well(tenant: str | None) -> None:
    """A report without any record does not say that nothing needs action, to a tenant neither."""
    with stored([]) as queries:
        content = gather(queries, records.config(), records.status(NOW_S), PERIOD, tenant, NOW_S)
    assert any("cannot say whether anything happened" in step for step in advice(content))


def test_clients_of_no_tenant_have_a_name() -> None:
    """The label of metrics for clients of no tenant is no organisation that people know."""
    events = [one for one in records.records() if isinstance(one, Event)]
    with stored([*events, records.event(1, records.START_S + 60, "default", "a.example", category="c2")]) as queries:
        content = gather(queries, records.config(), records.status(NOW_S), PERIOD, None, NOW_S)
    text = rendered(content, "text").decode()
    assert "Other clients" in text
    assert "default" not in text


def test_no_hour_has_ended_in_the_last_minutes() -> None:
    """A short period has no counted hour. That is no reason to look for a fault."""
    few = Period(PERIOD.end_s - 300, PERIOD.end_s, "UTC")
    with stored([]) as queries:
        content = gather(queries, records.config(), records.status(few.end_s), few, "leeds", few.end_s)
    assert advice(content) == ["Nothing in this report needs action."]
