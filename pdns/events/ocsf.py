"""Records in the Open Cybersecurity Schema Framework, version 1.4.0.

Events are DNS Activity (class 4003) with the profile security_control, findings are Detection Finding (class 2004), hours are
Base Event (class 0). `docs/events.md` has the table of fields.
"""

from __future__ import annotations

from typing import Any, Final

from pdns.event_store.event import BLOCKED, Event, Finding, Hour, Record
from pdns.events.mappings import (
    PRODUCT,
    address_of,
    ip_protocol_of,
    milliseconds,
    own_fields,
    rcode_of,
    sentence_of,
    severity_of,
    type_name,
    without_empty,
)
from pdns.wire.protocol import NOERROR, NXDOMAIN, REFUSED

VERSION: Final = "1.4.0"
DNS_ACTIVITY, DETECTION_FINDING, BASE_EVENT = 4003, 2004, 0
_SEVERITIES: Final = {1: "Informational", 2: "Low", 3: "Medium", 4: "High"}
_QUERY, _TRAFFIC = 1, 6  # activities of DNS Activity
_RCODES: Final = {NOERROR: "NoError", NXDOMAIN: "NXDomain", REFUSED: "Refused"}
_IP_NUMBERS: Final = {"udp": 17, "tcp": 6}
_HOSTNAME, _IP_ADDRESS = (1, "Hostname"), (2, "IP Address")  # types of observables
_MALWARE: Final = ("malware", "c2", "botnet", "cryptojacking")  # categories in which a threat is malware


def ocsf_document(record: Record, product_version: str) -> dict[str, Any]:
    """`record` as a document of OCSF, to be encoded as JSON. Fields that OCSF has no place for are in `unmapped`."""
    if isinstance(record, Event):
        return _event(record, product_version)
    return _finding(record, product_version) if isinstance(record, Finding) else _hour(record, product_version)


def _event(event: Event, product_version: str) -> dict[str, Any]:
    is_blocked = event.kind == BLOCKED
    has_answer = is_blocked and event.action != "drop"
    activity = (_TRAFFIC, "Traffic") if has_answer else (_QUERY, "Query")
    rcode = rcode_of(event)
    source = _endpoint(event.client)
    protocol = ip_protocol_of(event)
    observables = [_observable("query.hostname", _HOSTNAME, event.qname)]
    if "ip" in source:
        observables.append(_observable("src_endpoint.ip", _IP_ADDRESS, source["ip"]))
    threat = event.threat if event.category in _MALWARE else ""
    return {
        **_head(event, DNS_ACTIVITY, "DNS Activity", (4, "Network Activity"), activity, event.time_s),
        "metadata": _metadata(event, product_version, event.kind, ["security_control"]),
        "start_time": milliseconds(event.time_s),
        "end_time": milliseconds(event.last_s),
        "query_time": milliseconds(event.time_s),
        "count": event.n,
        "query": {
            "hostname": event.qname,
            "type": type_name(event.qtype),
            "class": "IN",
            "opcode_id": 0,
            "opcode": "Query",
        },
        **({} if rcode is None else {"rcode_id": rcode, "rcode": _RCODES[rcode]}),
        "connection_info": {
            "direction_id": 1,
            "direction": "Inbound",
            "protocol_name": protocol,
            "protocol_num": _IP_NUMBERS[protocol],
        },
        **without_empty(src_endpoint=source),
        "dst_endpoint": {"hostname": event.node, "svc_name": "dns"},
        "action_id": 2 if is_blocked else 1,
        "action": "Denied" if is_blocked else "Allowed",
        "disposition_id": 2 if is_blocked else 15,
        "disposition": "Blocked" if is_blocked else "Detected",
        "policy": {"name": event.policy},
        "firewall_rule": {"name": event.rule, **without_empty(uid=event.feed, category=event.category, desc=event.reason)},
        **({"malware": [{"name": threat, "classification_ids": [0]}]} if threat else {}),
        "observables": observables,
        "unmapped": own_fields(event, "id", "time_s", "last_s", "n", "kind", "node", "qname", "qtype", "policy"),
    }


def _finding(finding: Finding, product_version: str) -> dict[str, Any]:
    source = _endpoint(finding.client)
    observables = [_observable("evidences[0].query.hostname", _HOSTNAME, finding.subject)] if finding.subject else []
    if "ip" in source:
        observables.append(_observable("evidences[0].src_endpoint.ip", _IP_ADDRESS, source["ip"]))
    evidence = without_empty(query={"hostname": finding.subject} if finding.subject else {}, src_endpoint=source)
    seen = {
        name: milliseconds(time_s)
        for name, time_s in (("first_seen_time", finding.first_s), ("last_seen_time", finding.last_s))
        if time_s
    }
    return {
        **_head(finding, DETECTION_FINDING, "Detection Finding", (2, "Findings"), (1, "Create"), finding.time_s),
        "metadata": _metadata(finding, product_version, finding.kind, []),
        "status_id": 1,
        "status": "New",
        "count": finding.n,
        "finding_info": {
            "uid": str(finding.id),
            "title": sentence_of(finding),
            "types": [finding.kind],
            "created_time": milliseconds(finding.time_s),
            "analytic": {"name": finding.kind, "type_id": 2, "type": "Behavioral"},
            **seen,
        },
        **without_empty(evidences=[evidence] if evidence else [], observables=observables),
        "unmapped": own_fields(finding, "id", "time_s", "n", "kind", "text", "subject", "first_s", "last_s"),
    }


def _hour(hour: Hour, product_version: str) -> dict[str, Any]:
    return {
        **_head(hour, BASE_EVENT, "Base Event", (0, "Uncategorized"), (99, "hour"), hour.start_s),
        "metadata": _metadata(hour, product_version, "hour", []),
        "start_time": milliseconds(hour.start_s),
        "end_time": milliseconds(hour.end_s),
        "unmapped": own_fields(hour, "id", "start_s", "end_s"),
    }


def _head(
    record: Record, uid: int, name: str, category: tuple[int, str], activity: tuple[int, str], time_s: float
) -> dict[str, Any]:
    severity = severity_of(record)
    return {
        "class_uid": uid,
        "class_name": name,
        "category_uid": category[0],
        "category_name": category[1],
        "activity_id": activity[0],
        "activity_name": activity[1],
        "type_uid": uid * 100 + activity[0],
        "type_name": f"{name}: {activity[1] if activity[0] != 99 else 'Other'}",
        "severity_id": severity,
        "severity": _SEVERITIES[severity],
        "time": milliseconds(time_s),
        "message": sentence_of(record),
    }


def _metadata(record: Record, product_version: str, code: str, profiles: list[str]) -> dict[str, Any]:
    return {
        "version": VERSION,
        "product": {"name": PRODUCT, "vendor_name": PRODUCT, "version": product_version},
        "uid": str(record.id),
        "event_code": code,
        "log_name": "events",
        "tenant_uid": record.tenant,
        **without_empty(profiles=profiles),
    }


def _endpoint(client: str) -> dict[str, str]:
    """The client as an endpoint: its address, or the name of its network or pseudonym; empty without one."""
    if not client:
        return {}
    address = address_of(client)
    return {"ip": address} if address else {"name": client}


def _observable(name: str, kind: tuple[int, str], value: str) -> dict[str, Any]:
    return {"name": name, "type_id": kind[0], "type": kind[1], "value": value}
