"""The parser's job for a feed of a release: its text to a file of entries. Nothing is judged, for the publisher has done so."""

from __future__ import annotations

from pathlib import Path

from feeds.fleet.entries_text import BadText
from feeds.fleet.text_to_entries import FORMAT, entries_from_text
from feeds.jobs import Failed, Parse, Parsed
from feeds.update_limits import Change


def parse_text(job: Parse) -> Parsed | Failed:
    """Write the entries of the text in `job.raw`. A release may have a feed without entries. Raises `OSError`."""
    try:
        with Path(job.raw).open("rb") as text:
            counts = entries_from_text(text, Path(job.parsed))
    except BadText as exc:
        return Failed(str(exc), unusable=True)
    entries = counts.names + counts.networks
    return Parsed(
        format=FORMAT,
        lines=entries + counts.clients,
        entries=counts.names,
        addresses=counts.networks,
        odd={},
        added=None,
        removed=None,
        change=Change(entries=entries, before=job.entries_before),
    )
