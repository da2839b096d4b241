"""MISP: events as they are exported, shared as a feed or answered by its REST search, and attributes alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Raw

from feeds.annotations import NameAnnotation
from feeds.formats import json_values
from feeds.formats.annotations import link, seconds, words
from feeds.formats.collector import Collector
from feeds.formats.content import Content
from feeds.normalise import Reason

MAX_WRAPPERS: Final = 8
_NOTHING = Raw(b"[]")


class _Attribute(msgspec.Struct):
    type: str = ""
    value: str = ""
    to_ids: bool | int | str | None = None
    deleted: bool | int | str | None = None
    first_seen: str | None = None
    Event: Raw = _NOTHING  # where the search was for attributes


class _Event(msgspec.Struct):
    info: str | None = None
    date: str | None = None
    Attribute: Raw = _NOTHING
    Object: Raw = _NOTHING


def read(content: Content, out: Collector) -> None:
    """Collect every attribute of every event."""
    for raw in _events(json_values.document(content)):
        event = json_values.decoded(raw, _Event)
        if event is None:
            out.begin(bytes(raw))
            out.refuse(Reason.BAD_ENTRY)
            continue
        attributes = [*_attributes(event.Attribute), *(a for o in json_values.items(event.Object) for a in _of_object(o))]
        about = NameAnnotation(threat=words(event.info), reference=_reference(attributes), first_seen_s=seconds(event.date))
        for shown, attribute in attributes:
            out.begin(bytes(shown), about)
            if attribute is None:
                out.refuse(Reason.BAD_ENTRY)
            else:
                _read(attribute, about, out)


def _events(raw: Raw, wrappers: int = MAX_WRAPPERS) -> Iterator[Raw]:
    """Every event in `raw`, whatever it is wrapped in, up to a bound. What has attributes is one."""
    keys = json_values.fields(raw)
    if wrappers == 0:
        yield raw
    elif "response" in keys:
        yield from _events(keys["response"], wrappers - 1)
    elif "Event" in keys and "type" not in keys:
        yield from _events(keys["Event"], wrappers - 1)
    elif "type" in keys and "value" in keys:
        yield Raw(b'{"Attribute":[' + bytes(raw) + b"]}")  # one attribute alone
    elif keys:
        yield raw
    else:
        for item in json_values.items(raw):
            yield from _events(item, wrappers - 1)


def _attributes(raw: Raw) -> Iterator[tuple[Raw, _Attribute | None]]:
    for item in json_values.items(raw):
        yield item, json_values.decoded(item, _Attribute)


def _of_object(raw: Raw) -> Iterator[tuple[Raw, _Attribute | None]]:
    keys = json_values.fields(raw)
    if "Attribute" in keys and not _yes(json_values.decoded(keys.get("deleted", _NOTHING), bool)):
        yield from _attributes(keys["Attribute"])


def _reference(attributes: list[tuple[Raw, _Attribute | None]]) -> str:
    """The first report that the event links to."""
    return next((url for _, a in attributes if a is not None and a.type == "link" and (url := link(a.value))), "")


def _read(attribute: _Attribute, about: NameAnnotation, out: Collector) -> None:
    value = attribute.value.strip().encode("utf-8", "surrogatepass")
    if attribute.type not in ("domain", "hostname", "domain|ip", "ip-dst", "url"):
        out.refuse(Reason.OTHER_INDICATOR)
    elif _yes(attribute.deleted):
        out.refuse(Reason.WITHDRAWN)
    elif not _yes(attribute.to_ids):
        out.refuse(Reason.NOT_FOR_BLOCKING)
    elif not value:
        out.refuse(Reason.NO_VALUE)
    else:
        out.describe(_detail(attribute, about))
        match attribute.type:
            case "domain" | "hostname":
                out.add(value)
            case "domain|ip":
                name, _, address = value.partition(b"|")
                out.add(name.strip())
                out.add_address(address.strip())
            case "ip-dst":
                out.add_address(value)
            case "url":
                out.add_url(value)


def _detail(attribute: _Attribute, about: NameAnnotation) -> NameAnnotation:
    event = json_values.decoded(attribute.Event, _Event) if attribute.Event is not _NOTHING else None
    return NameAnnotation(
        threat=words(event.info) if event is not None else about.threat,
        reference=about.reference,
        first_seen_s=seconds(attribute.first_seen) or (seconds(event.date) if event is not None else about.first_seen_s),
    )


def _yes(value: bool | int | str | None) -> bool:  # MISP writes it in all these ways
    return value in (True, 1, "1", "true", "True")
