"""ECS: the fields that dashboards of Elastic know, and all others below `pdns`."""

from __future__ import annotations

import json

from hypothesis import given
from msgspec.structs import replace

from pdns.event_store.event import Record
from pdns.events.ecs import ecs_document
from pdns.events.mappings import one_line
from tests.unit.events.records import EVENT, FINDING, HOUR, records


@given(records)
def test_any_record_is_one_line(record: Record) -> None:
    """Any record becomes one line of printable ASCII, with its id and its tenant."""
    document = ecs_document(record, "1.0")
    line = one_line(document)
    assert line.decode("ascii").isprintable()
    assert json.loads(line) == json.loads(json.dumps(document))
    assert document["event"]["id"] == str(record.id)
    assert document["organization"]["name"] == record.tenant


def test_a_blocked_query() -> None:
    """What was asked, by whom, why it was blocked."""
    document = ecs_document(EVENT, "1.0")
    assert document["@timestamp"] == "2026-09-21T14:13:20.250Z"
    assert document["dns"]["question"] == {"name": "www.bad.example", "type": "AAAA", "class": "IN"}
    assert document["dns"]["response_code"] == "NXDOMAIN"
    assert document["event"]["type"] == ["protocol", "denied"]
    assert document["source"] == {"address": "192.0.2.7", "ip": "192.0.2.7"}
    assert document["rule"] == {"name": "*.bad.example", "ruleset": "phish", "category": "phishing"}
    assert document["threat"]["software"] == {"name": "Emotet"}
    assert (document["pdns"]["n"], document["pdns"]["case"]) == (3, "K7Q2-M3")


def test_what_is_not_known_is_left_out() -> None:
    """Without a client there is no source; a network or a hash is no address."""
    assert "source" not in ecs_document(replace(EVENT, client=""), "1")
    assert ecs_document(replace(EVENT, client="192.0.2.0/24"), "1")["source"] == {"address": "192.0.2.0/24"}
    monitored = ecs_document(replace(EVENT, kind="monitored", action=""), "1")
    assert "response_code" not in monitored["dns"]
    assert (monitored["event"]["kind"], monitored["event"]["type"]) == ("event", ["protocol", "allowed"])


def test_findings_and_hours() -> None:
    """A finding is an alert about a name; an hour is a metric."""
    finding = ecs_document(FINDING, "1")
    assert (finding["event"]["kind"], finding["event"]["action"]) == ("alert", "tunnel")
    assert finding["dns"]["question"]["name"] == "t.example"
    assert finding["pdns"]["details"] == FINDING.details
    hour = ecs_document(HOUR, "1")
    assert (hour["event"]["kind"], hour["pdns"]["blocked"]) == ("metric", 12)
