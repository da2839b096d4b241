"""OCSF: every document is one of the published schema, and says what the record says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from msgspec.structs import replace

from pdns.event_store.event import Event, Record
from pdns.events.mappings import one_line
from pdns.events.ocsf import ocsf_document
from tests.unit.events.records import EVENT, FINDING, HOUR, hostile, records

# The attributes of the classes and objects that are used, as the schema has them in version 1.4.0.
SCHEMA = json.loads((Path(__file__).parents[2] / "data/ocsf-1.4.0.json").read_text())
_TYPES = {"string_t": str, "integer_t": int, "long_t": int, "boolean_t": bool, "timestamp_t": int}


def faults(document: dict[str, Any], schema: dict[str, Any], at: str) -> list[str]:
    """What in `document` is not as the schema says."""
    found = [f"{at}.{name}: missing" for name in schema["required"] if name not in document]
    if schema["at_least_one"] and not set(schema["at_least_one"]) & set(document):
        found.append(f"{at}: one of {schema['at_least_one']} is missing")
    for name, value in document.items():
        if name not in schema["attributes"]:
            found.append(f"{at}.{name}: unknown")
            continue
        kind, *allowed = schema["attributes"][name]
        values = value if kind.endswith("[]") else [value]
        kind = kind.removesuffix("[]")
        if not isinstance(values, list):
            found.append(f"{at}.{name}: expected an array")
            continue
        for item in values:
            if allowed and item not in allowed[0]:
                found.append(f"{at}.{name}: {item} is not in {allowed[0]}")
            if kind in SCHEMA["objects"]:
                found += faults(item, SCHEMA["objects"][kind], f"{at}.{name}")
            elif kind in _TYPES and not isinstance(item, _TYPES[kind]):
                found.append(f"{at}.{name}: expected {kind}, got {item!r}")
    return found


@given(records)
def test_documents_are_valid(record: Record) -> None:
    """Any record becomes a document of its class, on one line of printable ASCII, with its own fields where OCSF has none."""
    document = ocsf_document(record, "1.0")
    assert faults(document, SCHEMA["classes"][str(document["class_uid"])], "document") == []
    assert document["type_uid"] == document["class_uid"] * 100 + document["activity_id"]
    line = one_line(document)
    assert line.isascii()
    assert line.decode().isprintable()
    assert json.loads(line) == json.loads(json.dumps(document))
    assert document["metadata"]["uid"] == str(record.id)
    assert document["metadata"]["tenant_uid"] == record.tenant


def test_the_check_finds_faults() -> None:
    """The check of these tests is not satisfied by anything."""
    document = ocsf_document(EVENT, "1.0")
    document["query"]["name"] = "x"
    document["count"] = "3"
    del document["metadata"]["version"]
    document["disposition_id"] = 1234
    document["observables"] = {}
    assert len(faults(document, SCHEMA["classes"]["4003"], "document")) == 5


def test_a_blocked_query() -> None:
    """DNS Activity, blocked, with what an analyst looks for."""
    document = ocsf_document(EVENT, "1.0")
    assert (document["class_uid"], document["category_uid"], document["activity_id"]) == (4003, 4, 6)
    assert (document["action_id"], document["disposition_id"], document["severity_id"]) == (2, 2, 3)
    assert document["query"] == {"hostname": "www.bad.example", "type": "AAAA", "class": "IN", "opcode_id": 0, "opcode": "Query"}
    assert (document["rcode_id"], document["rcode"]) == (3, "NXDomain")
    assert document["src_endpoint"] == {"ip": "192.0.2.7"}
    assert document["dst_endpoint"]["hostname"] == "node1.example"
    assert (document["time"], document["end_time"], document["count"]) == (1790000000250, 1790000042500, 3)
    assert document["firewall_rule"] == {
        "name": "*.bad.example", "uid": "phish", "category": "phishing", "desc": "asked by the council",
    }  # fmt: skip
    assert document["unmapped"]["others"] == ("second", "third")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"kind": "monitored", "action": ""}, {"activity_id": 1, "action_id": 1, "disposition_id": 15}),
        ({"action": "drop"}, {"activity_id": 1, "disposition_id": 2}),
        ({"action": "refused"}, {"rcode_id": 5}),
        ({"action": "sinkhole"}, {"rcode_id": 0}),
        ({"category": "c2"}, {"severity_id": 4, "malware": [{"name": "Emotet", "classification_ids": [0]}]}),
        ({"category": "ads"}, {"severity_id": 1}),
        ({"client": "h:0123456789abcdef"}, {"src_endpoint": {"name": "h:0123456789abcdef"}}),
        ({"client": "2001:db8::1"}, {"src_endpoint": {"ip": "2001:db8::1"}}),
        (
            {"qtype": 65280},
            {"query": {"hostname": "www.bad.example", "type": "TYPE65280", "class": "IN", "opcode_id": 0, "opcode": "Query"}},
        ),
        (
            {"transport": "https"},
            {"connection_info": {"direction_id": 1, "direction": "Inbound", "protocol_name": "tcp", "protocol_num": 6}},
        ),
    ],
)  # fmt: skip
def test_variants(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    """What differs between events."""
    document = ocsf_document(replace(EVENT, **changes), "1.0")
    assert {name: document[name] for name in expected} == expected


def test_what_is_not_known_is_left_out() -> None:
    """Without a client there is no source; without an answer of ours no response code."""
    assert "src_endpoint" not in ocsf_document(replace(EVENT, client=""), "1.0")
    for changes in ({"kind": "monitored", "action": ""}, {"action": "drop"}, {"action": "given"}):
        assert "rcode_id" not in ocsf_document(replace(EVENT, **changes), "1.0")


def test_findings_and_hours() -> None:
    """A finding is a new Detection Finding about a name and a client; an hour has its counters."""
    finding = ocsf_document(FINDING, "1.0")
    assert (finding["class_uid"], finding["type_uid"], finding["status_id"]) == (2004, 200401, 1)
    assert finding["finding_info"]["types"] == ["tunnel"]
    assert finding["evidences"] == [{"query": {"hostname": "t.example"}, "src_endpoint": {"ip": "192.0.2.7"}}]
    assert finding["unmapped"]["details"] == FINDING.details
    hour = ocsf_document(HOUR, "1.0")
    assert (hour["class_uid"], hour["unmapped"]["queries"], hour["unmapped"]["tenant"]) == (0, 1000, "*")


def test_hostile_texts_arrive_unharmed() -> None:
    """Every name and text comes back as it was."""
    for record in hostile():
        document = json.loads(one_line(ocsf_document(record, "1.0")))
        if isinstance(record, Event):
            assert document["query"]["hostname"] == record.qname
            assert document["unmapped"].get("feed", "") == record.feed
            assert document["unmapped"].get("reason", "") == record.reason
            assert document["metadata"]["tenant_uid"] == record.tenant
