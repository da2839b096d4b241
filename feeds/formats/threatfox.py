"""The dumps of ThreatFox (abuse.ch), CSV or JSON, and what its API answers: indicators of several types, each with a malware."""

from __future__ import annotations

import msgspec

from feeds.annotations import NameAnnotation
from feeds.formats import json_values, table
from feeds.formats.annotations import link, seconds, words
from feeds.formats.collector import Collector
from feeds.formats.content import Content
from feeds.normalise import Reason

_FIELDS = ("ioc_type", "threat_type", "malware_printable", "first_seen_utc", "reference")


class _Indicator(msgspec.Struct):
    ioc_type: str | None = None
    threat_type: str | None = None
    malware_printable: str | None = None
    first_seen_utc: str | None = None
    reference: str | None = None
    ioc_value: str | None = None
    ioc: str | None = None  # what the API calls the value
    first_seen: str | None = None  # and the time


def read(content: Content, out: Collector) -> None:
    """Collect every indicator."""
    if not json_values.is_json(content.head):
        for value, *facts in table.cells(content, out, ",", ("ioc_value",), _FIELDS):
            _read(value, _Indicator(*facts), out)
        return
    for indicator in json_values.entries_of_dump(content, "data", _Indicator, out):
        _read(indicator.ioc_value or indicator.ioc or "", indicator, out)


def _read(value: str, indicator: _Indicator, out: Collector) -> None:
    out.describe(
        NameAnnotation(
            threat=words(indicator.malware_printable) or words(indicator.threat_type),
            reference=link(indicator.reference),
            first_seen_s=seconds(indicator.first_seen_utc or indicator.first_seen),
        )
    )
    token = value.strip().encode("utf-8", "surrogateescape")
    if not token:
        out.refuse(Reason.NO_VALUE)
        return
    match indicator.ioc_type:
        case "domain":
            out.add(token)
        case "ip:port":
            out.add_address(token.rpartition(b":")[0].strip(b"[]") or token)
        case "url":
            out.add_url(token)
        case None | "":
            out.refuse(Reason.BAD_ENTRY)
        case _:
            out.refuse(Reason.OTHER_INDICATOR)
