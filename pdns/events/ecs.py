"""Records in the Elastic Common Schema, version 8.11. Fields that it has no place for are below `pdns`."""

from __future__ import annotations

from typing import Any, Final

from pdns.event_store.event import BLOCKED, Event, Finding, Record
from pdns.events.mappings import (
    PRODUCT,
    address_of,
    ip_protocol_of,
    iso_time,
    own_fields,
    rcode_of,
    sentence_of,
    severity_of,
    subject_time,
    type_name,
    without_empty,
)
from pdns.wire.protocol import RCODE_NAMES

VERSION: Final = "8.11.0"


def ecs_document(record: Record, product_version: str) -> dict[str, Any]:
    """`record` as a document of ECS, to be encoded as JSON."""
    document = {
        "@timestamp": iso_time(subject_time(record)),
        "ecs": {"version": VERSION},
        "message": sentence_of(record),
        "observer": {
            "hostname": record.node,
            "type": "dns",
            "vendor": PRODUCT,
            "product": PRODUCT,
            "version": product_version,
        },
        "organization": {"name": record.tenant},
    }
    if isinstance(record, Event):
        return {**document, **_event(record)}
    if isinstance(record, Finding):
        return {**document, **_finding(record)}
    event = {
        **_common(record, "metric", "hour"), "category": ["network"], "type": ["info"],
        "start": iso_time(record.start_s), "end": iso_time(record.end_s),
    }  # fmt: skip
    return {**document, "event": event, "pdns": own_fields(record, "id", "start_s", "end_s", "node", "tenant")}


def _event(event: Event) -> dict[str, Any]:
    rcode = rcode_of(event)
    is_blocked = event.kind == BLOCKED
    return {
        "event": {
            **_common(event, "alert" if is_blocked else "event", event.kind),
            "category": ["network"],
            "type": ["protocol", "denied" if is_blocked else "allowed"],
            "start": iso_time(event.time_s),
            "end": iso_time(event.last_s),
            **without_empty(reason=event.reason),
        },
        "dns": {
            "type": "query",
            "op_code": "QUERY",
            "question": {"name": event.qname, "type": type_name(event.qtype), "class": "IN"},
            **({} if rcode is None else {"response_code": RCODE_NAMES[rcode]}),
        },
        "network": {"protocol": "dns", "transport": ip_protocol_of(event)},
        **_source(event.client),
        "rule": {"name": event.rule, "ruleset": event.feed, **without_empty(category=event.category)},
        "threat": {
            "indicator": {"type": "domain-name", "provider": event.feed, "name": event.listed},
            **({"software": {"name": event.threat}} if event.threat else {}),
        },
        "pdns": own_fields(event, "id", "time_s", "last_s", "kind", "node", "tenant", "qname", "qtype", "rule", "reason"),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    seen = without_empty(
        start=iso_time(finding.first_s) if finding.first_s else "", end=iso_time(finding.last_s) if finding.last_s else ""
    )
    return {
        "event": {**_common(finding, "alert", finding.kind), "category": ["threat"], "type": ["indicator"], **seen},
        **({"dns": {"type": "query", "question": {"name": finding.subject}}} if finding.subject else {}),
        **_source(finding.client),
        "rule": {"name": finding.kind, "ruleset": "findings"},
        "pdns": own_fields(finding, "id", "time_s", "kind", "node", "tenant", "subject", "text", "first_s", "last_s"),
    }


def _common(record: Record, kind: str, action: str) -> dict[str, Any]:
    return {
        "id": str(record.id),
        "kind": kind,
        "action": action,
        "module": PRODUCT,
        "dataset": "pdns.events",
        "severity": severity_of(record),
    }


def _source(client: str) -> dict[str, Any]:
    """The client: `address` as events have it, `ip` too where that is an address."""
    if not client:
        return {}
    return {"source": {"address": client, **without_empty(ip=address_of(client))}}
