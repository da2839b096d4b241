"""What the mappings of records to other schemas (OCSF, ECS, CEF) have in common."""

from __future__ import annotations

import ipaddress
import json
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from dns import rdatatype

from pdns.event_store.event import BLOCKED, Event, Finding, Hour, Record
from pdns.wire.protocol import NOERROR, NXDOMAIN, REFUSED

PRODUCT: Final = "pdns"
# of OCSF: 1 informational, 2 low, 3 medium, 4 high
_SEVERITY_OF_CATEGORY: Final = {
    "malware": 4, "c2": 4, "botnet": 4, "phishing": 3, "cryptojacking": 3, "scam": 3, "dga": 3, "new": 2,
    "policy": 1, "ads": 1, "tracking": 1,
}  # fmt: skip
_SEVERITY_OF_FINDING: Final = {"tunnel": 4, "retro": 4, "shared": 3, "bypass": 3, "first-seen": 2}
_RCODES: Final = {"nxdomain": NXDOMAIN, "refused": REFUSED, "nodata": NOERROR, "sinkhole": NOERROR, "zero": NOERROR}
_IP_PROTOCOLS: Final = {"udp": "udp", "quic": "udp", "h3": "udp"}  # all others: TCP


def severity_of(record: Record) -> int:
    """How bad what was asked for is, from 1 (informational) to 4 (high)."""
    if isinstance(record, Event):
        return _SEVERITY_OF_CATEGORY.get(record.category, 2)
    return _SEVERITY_OF_FINDING.get(record.kind, 2) if isinstance(record, Finding) else 1


def rcode_of(event: Event) -> int | None:
    """The response code of a blocked query; None where it is not known: the query was forwarded or dropped, or a feed chose."""
    return _RCODES.get(event.action) if event.kind == BLOCKED else None


def ip_protocol_of(event: Event) -> str:
    """`udp` or `tcp`."""
    return _IP_PROTOCOLS.get(event.transport, "tcp")


def address_of(client: str) -> str:
    """The address of a client, if events have it in full; otherwise ""."""
    try:
        return str(ipaddress.ip_address(client))
    except ValueError:
        return ""


def type_name(qtype: int) -> str:
    """The name of a query type, such as AAAA, or TYPE65280 (RFC 3597)."""
    return rdatatype.to_text(rdatatype.RdataType.make(qtype))


def sentence_of(record: Record) -> str:
    """A record in words, for people."""
    if isinstance(record, Event):
        what = "Blocked" if record.kind == BLOCKED else "Would have blocked"
        times = f", {record.n} times" if record.n != 1 else ""
        return f"{what} {record.qname} ({record.category}, listed by {record.feed}) for {record.tenant}{times}"
    if isinstance(record, Finding):
        return record.text or f"{record.kind}: {record.subject or record.tenant}"
    return f"{record.queries} queries of {record.tenant}, {record.blocked} blocked"


def milliseconds(time_s: float) -> int:
    return round(time_s * 1000)


def iso_time(time_s: float) -> str:
    """A time in UTC, with milliseconds (RFC 3339)."""
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def without_empty(**values: Any) -> dict[str, Any]:
    """Those of `values` that say something."""
    return {key: value for key, value in values.items() if value not in ("", None, (), [], {})}


def own_fields(record: Record, *left_out: str) -> dict[str, Any]:
    """The fields of a record under their own names, without empty ones and those that are left out."""
    return without_empty(**{name: value for name, value in msgspec.structs.asdict(record).items() if name not in left_out})


def one_line(document: dict[str, Any]) -> bytes:
    """`document` as JSON in one line of printable ASCII: whatever is in it, no reader sees another line or an escape sequence."""
    encoded = msgspec.json.encode(document)
    if not encoded.isascii():
        encoded = json.dumps(document, separators=(",", ":")).encode("ascii")
    return encoded.replace(b"\x7f", b"\\u007f")


def subject_time(record: Record) -> float:
    """The time that a record is filed under: of the first query, of the finding, of the beginning of the hour."""
    return record.start_s if isinstance(record, Hour) else record.time_s
