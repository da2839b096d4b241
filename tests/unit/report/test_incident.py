"""Incident reports: contacts, order of events, integrity."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.event_store.event import Event, Finding
from pdns.report import incident
from pdns.report.formats import ReportFormat
from pdns.report.incident import IncidentContent, IncidentError, ListedBy, collect, sealed, verified
from pdns.report.incident_formats import rendered_incident
from tests.unit.report import records
from tests.unit.report.records import START_S, event
from tests.unit.report.stored import stored
from tests.unit.report.test_content import NOW_S, PERIOD
from tests.unit.report.test_forms import EVIL, Outline

NAME = "cdn-sync.example"
LISTED = ListedBy(
    feed="threatfox",
    category="c2",
    listed=NAME,
    threat="AsyncRAT",
    since_s=START_S,
    published_s=START_S - 3600,
    last_seen_s=NOW_S,
)


def made(
    said: Sequence[Event] | None = None, *, name: str = NAME, clients: Sequence[str] = (), tenant: str | None = None
) -> IncidentContent:
    with stored(records.records() if said is None else said) as queries:
        return collect(queries, records.config(), PERIOD, NOW_S, name=name, clients=clients, tenant=tenant, listings=[LISTED])


def test_contacts_are_those_of_the_events() -> None:
    """First and last contact, machines, tenants and answers are those of the events about the name."""
    those = [one for one in records.records() if isinstance(one, Event) and one.listed == NAME and one.time_s >= START_S]
    content = made()
    assert content.blocked == sum(one.n for one in those) == sum(one.blocked for one in content.contacts)
    assert content.first_s == min(one.time_s for one in those)
    assert content.last_s == max(one.last_s for one in those)
    assert {one.client for one in content.contacts} == {one.client for one in those}
    assert set(content.tenants) == set(records.TENANTS)
    assert content.answers == {"sinkhole": content.blocked}
    assert content.is_complete


def test_of_one_machine() -> None:
    """With a client, only what it asked for; with a tenant, only what is of that tenant."""
    content = made(name="", clients=("10.3.4.27",))
    assert {one.client for one in content.contacts} == {"10.3.4.27"}
    ours = made(tenant="leeds")
    assert set(ours.tenants) == {"leeds"}
    for form in get_args(ReportFormat):
        text = rendered_incident(ours, form).decode()
        assert not [other for other in ("Kirklees", "kirklees", "10.1.", "10.2.", "10.4.") if other in text]


def test_a_timeline() -> None:
    """Listing, monitored and blocked queries stand in their order, with how long the block took."""
    said = [
        event(1, START_S + 86400 * 2.5, "leeds", NAME, client="10.3.0.1", kind="monitored", feed="threatfox"),
        event(2, START_S + 86400 * 3.2, "leeds", NAME, client="10.3.0.1", n=3),
    ]
    text = " ".join(rendered_incident(made(said), "text").decode().split())
    order = ["the publisher of threatfox first saw", "feed threatfox listed", "first query that was recorded, not blocked",
             "first blocked query", "last query that was recorded", "this report"]  # fmt: skip
    positions = [text.index(part) for part in order]
    assert positions == sorted(positions)
    assert "3 queries of 1 machine at 1 organisation were blocked." in text
    assert "1 query was not blocked: the feed was in monitor mode." in text
    assert "until first block 3 days" in text


def test_nothing_is_known() -> None:
    """Without a contact the report says so, in every form."""
    content = made([])
    for form in get_args(ReportFormat):
        assert rendered_incident(content, form)
    assert "No contact is recorded in this period." in rendered_incident(content, "text").decode()


def test_many_records_are_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every record counts, also those at the same moment; the content shows the first and the last."""
    monkeypatch.setattr(incident, "_PAGE", 50)
    said = [event(number, START_S + number // 7, "leeds", NAME, client="10.3.0.1") for number in range(3000)]
    content = made(said)
    assert content.blocked == 3000
    assert content.is_complete
    assert [one.id for one in content.records] == [*range(500), *range(2500, 3000)]
    monkeypatch.setattr(incident, "MOST_RECORDS", 1000)
    cut = made(said)
    assert not cut.is_complete
    assert "the first contact may be earlier" in rendered_incident(cut, "text").decode().replace("\n", " ")


def test_findings_about_the_name() -> None:
    """Findings about the name or names below it belong to the incident; others do not."""
    found = [one for one in records.records() if isinstance(one, Finding)]
    retro = msgspec.structs.replace(found[0], id=7, kind="retro", subject=f"www.{NAME}", text="asked before it was listed")
    with stored([*found, retro]) as queries:
        content = collect(queries, records.config(), PERIOD, NOW_S, name=NAME)
    assert content.findings == (retro,)


def test_the_hash_is_of_the_content() -> None:
    """A copy that was not changed is recognised, and its content read back."""
    content = made()
    assert verified(rendered_incident(content, "json")) == content
    assert sealed(content).sha256 in rendered_incident(content, "html").decode()


@given(st.data())
def test_a_change_is_noticed(data: st.DataObject) -> None:
    """Whichever byte of the file changes, it is not taken for the same report."""
    whole = bytearray(rendered_incident(made([event(1, START_S, "leeds", NAME)]), "json").strip())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.sampled_from(sorted(set(range(32, 127)) - {whole[at]})))
    with suppress(IncidentError):
        assert verified(bytes(whole)) is None


def test_texts_stay_texts() -> None:
    """Nothing that a name or a threat contains changes the page."""
    said = [event(1, START_S, "leeds", EVIL, client=EVIL, threat=EVIL, feed=EVIL)]
    with stored(said) as queries:
        content = collect(queries, records.config(), PERIOD, NOW_S, clients=(EVIL,))
    content = msgspec.structs.replace(content, name=EVIL, listings=(LISTED,))
    tags = {tag for tag, _ in Outline(rendered_incident(content, "html").decode()).tags}
    assert "script" not in tags
    plain = rendered_incident(content, "text").decode()
    assert all(char.isprintable() or char == "\n" for char in plain)
