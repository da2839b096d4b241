"""A list, as it was fetched, to the names and networks that it lists. Only what it lists is held, unless it is JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from feeds.annotations import NameAnnotation
from feeds.formats import MAYBE_APEX, READERS, detect
from feeds.formats.actions import ListedActions
from feeds.formats.collector import Collector, WrongList
from feeds.formats.content import Content
from feeds.names import Names
from pdns.config.schema import Feed
from pdns.core.listing import ALLOW_SUBTREE, BLOCK_SUBTREE
from pdns.errors import FeedError
from pdns.state.feed_status import SkippedLines

_WEB_PAGE = re.compile(rb"(?>\s*<!--.*?-->)*+\s*(?:<!doctype\s+html|<\?xml|<html|<head|<body)", re.IGNORECASE | re.DOTALL).match


class ParsedFeed(msgspec.Struct, frozen=True, kw_only=True):
    """What one list says. A list of plain names costs some 80 bytes a name, above a million 35; others 150."""

    format: str  # as named, or as detected
    lines: int  # or entries, where a list is not made of lines
    size_bytes: int = 0  # of its content, unpacked
    names: Mapping[bytes, int]  # `names.reversed_key` -> BLOCK_* and ALLOW_* bits of pdns.blockset.reader
    networks: set[bytes]  # bytes of the address and one of prefix length
    odd: dict[str, SkippedLines]  # reason -> skipped lines
    notes: list[str] = []  # how the list as a whole was read, where that is not what each line says
    details: list[NameAnnotation] = []
    detail_of: dict[bytes, int] = {}  # key -> index into `details`, of names that the list says more of
    actions: ListedActions = msgspec.field(default_factory=ListedActions)  # how they are answered, where the list says it

    @property
    def entries(self) -> int:
        """Names blocked."""
        return _having(self.names, BLOCK_SUBTREE)

    @property
    def exceptions(self) -> int:
        """Names allowed."""
        return _having(self.names, ALLOW_SUBTREE)


def _having(names: Mapping[bytes, int], wanted: int) -> int:
    """How many have one of the bits `wanted`."""
    values = names.bits if isinstance(names, Names) else bytes(names.values())
    return sum(values.count(bits) for bits in range(16) if bits & wanted)


def parse_feed(path: Path, feed: Feed) -> ParsedFeed:
    """Read the list in `path`, plain or packed (`feeds.containers`), as `feed` says.

    Lines that list nothing are counted in `odd`, never raised. Raises `FeedError` when the whole cannot be a list: it cannot be
    read, is a web page, is not the JSON that it should be, lacks the column that is asked for, is in a format that cannot be
    told, or is damaged or larger than `feed.max_bytes` once unpacked.
    """
    out = Collector(
        wildcard_includes_apex=feed.wildcard_includes_apex,
        addresses=feed.addresses,
        url_hosts=feed.url_hosts,
        top_level=feed.top_level_domains,
        given=feed.rpz_action == "given",
    )
    try:
        with path.open("rb") as file:
            content = Content(file, feed)
            if _WEB_PAGE(content.head):
                raise FeedError(feed.name, "a web page, not a list")
            name = feed.format if feed.format != "auto" else detect(content)
            READERS[name](content, out)
            if name in MAYBE_APEX:
                out.include_apex()
    except WrongList as exc:
        raise FeedError(feed.name, str(exc)) from None
    except OSError as exc:
        raise FeedError(feed.name, f"{path}: {exc.strerror}") from None
    return ParsedFeed(
        format=name,
        lines=out.line_number,
        size_bytes=content.size_bytes,
        names=out.all_names(),
        networks=out.networks,
        odd=out.odd,
        details=out.details,
        detail_of=out.detail_of,
        actions=out.actions,
        notes=out.notes,
    )
