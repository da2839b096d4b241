"""The dumps of URLhaus (abuse.ch), CSV or JSON, and what its API answers: URLs, each with tags. Its hostfile is a hosts list."""

from __future__ import annotations

import msgspec

from feeds.annotations import NameAnnotation
from feeds.formats import json_values, table
from feeds.formats.annotations import link, seconds, words
from feeds.formats.collector import Collector
from feeds.formats.content import Content
from feeds.normalise import Reason

_FIELDS = ("dateadded", "threat", "tags", "urlhaus_link")


class _Entry(msgspec.Struct):
    url: str | None = None
    dateadded: str | None = None
    date_added: str | None = None  # what the API calls it
    threat: str | None = None
    tags: list[str] | str | None = None
    urlhaus_link: str | None = None
    urlhaus_reference: str | None = None  # what the API calls it


def read(content: Content, out: Collector) -> None:
    """Collect every URL."""
    if not json_values.is_json(content.head):
        for value, added, threat, tags, at in table.cells(content, out, ",", ("url",), _FIELDS):
            _read(_Entry(url=value, dateadded=added, threat=threat, tags=tags, urlhaus_link=at), out)
        return
    for entry in json_values.entries_of_dump(content, "urls", _Entry, out):
        _read(entry, out)


def _read(entry: _Entry, out: Collector) -> None:
    tags = words(", ".join(entry.tags) if isinstance(entry.tags, list) else entry.tags)
    out.describe(
        NameAnnotation(
            threat=tags or words(entry.threat),
            reference=link(entry.urlhaus_link or entry.urlhaus_reference),
            first_seen_s=seconds(entry.dateadded or entry.date_added),
        )
    )
    if entry.url and entry.url.strip():
        out.add_url(entry.url.strip().encode("utf-8", "surrogateescape"))
    else:
        out.refuse(Reason.NO_VALUE)
