r"""Records in the Common Event Format, version 0, of ArcSight, which Microsoft Sentinel and most SIEMs read.

A message is one line of UTF-8. In the header, `\` and `|` are escaped; in values, `\` and `=`, and line breaks are `\n` and `\r`.
The format says nothing about other control characters: they are `\uXXXX` here, which no escaped text looks like.
"""

from __future__ import annotations

import re
from typing import Final

from pdns.event_store.event import BLOCKED, Event, Finding, Hour, Record
from pdns.events.mappings import (
    PRODUCT,
    address_of,
    ip_protocol_of,
    milliseconds,
    own_fields,
    sentence_of,
    severity_of,
    type_name,
)

_SEVERITIES: Final = {1: 1, 2: 3, 3: 6, 4: 8}  # of CEF: 0 to 10
_NAMES: Final = {"blocked": "DNS query blocked", "monitored": "DNS query listed, not blocked"}
# Control characters, and what some programs take for a line break or show as nothing.
_CONTROL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def cef_message(record: Record, product_version: str) -> str:
    """`record` as one line of CEF."""
    code: str
    if isinstance(record, Event):
        code, name, values = record.kind, _NAMES[record.kind], _event(record)
    elif isinstance(record, Finding):
        code, name, values = f"finding:{record.kind}", f"Finding: {record.kind}", _finding(record)
    else:
        code, name, values = "hour", "Counters of an hour", _hour(record)
    head = (PRODUCT, PRODUCT, product_version, code, name, str(_SEVERITIES[severity_of(record)]))
    pairs = " ".join(f"{key}={_value(value)}" for key, value in values.items() if value)
    return f"CEF:0|{'|'.join(map(_header, head))}|{pairs}"


def _event(event: Event) -> dict[str, str]:
    return {
        "rt": str(milliseconds(event.time_s)),
        "start": str(milliseconds(event.time_s)),
        "end": str(milliseconds(event.last_s)),
        "externalId": str(event.id),
        "cnt": str(event.n),
        "dvchost": event.node,
        **_source(event.client),
        "proto": ip_protocol_of(event).upper(),
        "app": "DNS",
        "destinationDnsDomain": event.qname,
        "act": event.action if event.kind == BLOCKED else "allowed",
        "outcome": "blocked" if event.kind == BLOCKED else "detected",
        "cat": event.category,
        "reason": event.reason,
        "msg": sentence_of(event),
        **_labelled("cs1", "listed", event.listed),
        **_labelled("cs2", "feed", event.feed),
        **_labelled("cs3", "rule", event.rule),
        **_labelled("cs4", "threat", event.threat),
        **_labelled("cs5", "tenant", event.tenant),
        **_labelled("cs6", "case", event.case),
        "pdnsClient": event.client,
        "pdnsPolicy": event.policy,
        "pdnsQueryType": type_name(event.qtype),
        "pdnsTransport": event.transport,
        "pdnsOthers": ",".join(event.others),
        "pdnsMonitored": ",".join(event.monitored),
        "pdnsMerged": "true" if event.merged else "",
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {
        "rt": str(milliseconds(finding.time_s)),
        "start": str(milliseconds(finding.first_s)) if finding.first_s else "",
        "end": str(milliseconds(finding.last_s)) if finding.last_s else "",
        "externalId": str(finding.id),
        "cnt": str(finding.n),
        "dvchost": finding.node,
        **_source(finding.client),
        "destinationDnsDomain": finding.subject,
        "outcome": "detected",
        "cat": finding.kind,
        "msg": sentence_of(finding),
        **_labelled("cs5", "tenant", finding.tenant),
        **({"cfp1": repr(finding.score), "cfp1Label": "score"} if finding.score else {}),
        "pdnsClient": finding.client,
        **{f"pdnsDetail{number}": f"{key}: {value}" for number, (key, value) in enumerate(finding.details.items())},
    }


def _hour(hour: Hour) -> dict[str, str]:
    counts = own_fields(hour, "id", "start_s", "end_s", "node", "tenant")
    return {
        "rt": str(milliseconds(hour.end_s)),
        "start": str(milliseconds(hour.start_s)),
        "end": str(milliseconds(hour.end_s)),
        "externalId": str(hour.id),
        "dvchost": hour.node,
        **_labelled("cs5", "tenant", hour.tenant),
        **{f"pdns{name.title()}": str(count) for name, count in counts.items()},
    }


def _source(client: str) -> dict[str, str]:
    """The address of the client, where it is given in full; `src` is for IPv4 only."""
    address = address_of(client)
    if ":" in address:
        return {"c6a2": address, "c6a2Label": "Source IPv6 Address"}
    return {"src": address}


def _labelled(key: str, label: str, value: str) -> dict[str, str]:
    return {key: value, f"{key}Label": label} if value else {}


def _header(text: str) -> str:
    return _control(text.replace("\\", "\\\\").replace("|", "\\|"))


def _value(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("=", "\\=").replace("\n", "\\n").replace("\r", "\\r")
    return _control(escaped)


def _control(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
