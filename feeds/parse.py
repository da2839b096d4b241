"""A list, as it was fetched, to the names and networks that it lists. Streams the file: only what it lists is held."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from feeds.detail import Detail
from feeds.fetch.inflate import InflateError, decoder
from feeds.formats import READERS, detect
from feeds.formats.collector import Collector
from feeds.normalise import Reason
from pdns.blockset import ALLOW_SUBTREE, BLOCK_SUBTREE
from pdns.config import Feed
from pdns.errors import FeedError
from pdns.feedstatus import OddLines

MAX_LINE_BYTES: Final = 4096
_CHUNK_BYTES: Final = 256 * 1024
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_WEB_PAGE = re.compile(rb"(?>\s*<!--.*?-->)*+\s*(?:<!doctype\s+html|<\?xml|<html|<head|<body)", re.IGNORECASE | re.DOTALL).match


class ParsedFeed(msgspec.Struct, frozen=True, kw_only=True):
    """What one list says. It costs some 100 bytes a name."""

    format: str  # as named, or as detected
    lines: int
    names: dict[bytes, int]  # `names.reversed_key` -> BLOCK_* and ALLOW_* bits of pdns.blockset
    networks: set[bytes]  # address octets and one octet of prefix length
    odd: dict[str, OddLines]  # reason -> what was passed over
    details: list[Detail] = []
    detail_of: dict[bytes, int] = {}  # key -> index into `details`, of names that the list says more of

    @property
    def entries(self) -> int:
        """Names blocked."""
        return sum(1 for bits in self.names.values() if bits & BLOCK_SUBTREE)

    @property
    def exceptions(self) -> int:
        """Names allowed."""
        return sum(1 for bits in self.names.values() if bits & ALLOW_SUBTREE)


def parse_feed(path: Path, feed: Feed) -> ParsedFeed:
    """Read the list in `path`, plain or gzip, as `feed` says.

    Lines that list nothing are counted in `odd`, never raised. Raises `FeedError` when the whole cannot be a list: it cannot be
    read, is a web page, or is damaged or larger than `feed.max_bytes` once unpacked.
    """
    out = Collector(wildcard_includes_apex=feed.wildcard_includes_apex, addresses=feed.addresses)
    try:
        with path.open("rb") as file:
            sample = _sample(file, feed)
            if _WEB_PAGE(sample):
                raise FeedError(feed.name, "a web page, not a list")
            name = feed.format if feed.format != "auto" else detect(sample.splitlines())
            READERS[name](_lines(_chunks(file, feed), out), out)
    except OSError as exc:
        raise FeedError(feed.name, f"{path}: {exc.strerror}") from None
    return ParsedFeed(format=name, lines=out.line_number, names=out.names, networks=out.networks, odd=out.odd)


def _sample(file: BinaryIO, feed: Feed) -> bytes:
    """The beginning of the list and, of a longer one, its end: some lists have the lines that tell the format last."""
    head = next(_chunks(file, feed), b"")
    if not _is_gzip(file) and file.seek(0, os.SEEK_END) > 2 * _CHUNK_BYTES:
        file.seek(-_CHUNK_BYTES, os.SEEK_END)
        head = head.rpartition(b"\n")[0] + b"\n" + file.read().partition(b"\n")[2]
    return head


def _is_gzip(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(len(_GZIP)) == _GZIP


def _chunks(file: BinaryIO, feed: Feed) -> Iterator[bytes]:
    """The content in pieces, unpacked."""
    packed = _is_gzip(file)
    file.seek(0)
    unpacked_bytes = 0
    begun = False
    inflate = decoder("gzip" if packed else "")
    try:
        while chunk := file.read(_CHUNK_BYTES):
            for piece in inflate.feed(chunk):
                unpacked_bytes += len(piece)
                if packed and unpacked_bytes > feed.max_bytes:
                    raise FeedError(feed.name, f"more than {feed.max_bytes} bytes when unpacked")
                yield piece if begun else piece.removeprefix(_BOM)
                begun = True
        inflate.finish()
    except InflateError as exc:
        raise FeedError(feed.name, str(exc)) from None


def _lines(chunks: Iterable[bytes], out: Collector) -> Iterator[bytes]:
    """Each line without its end, after telling `out` of it. Lines that no format has are counted instead."""
    for lines in _whole_lines(chunks):
        for line in lines:
            out.line_number += 1
            out.line = line
            if len(line) > MAX_LINE_BYTES:
                out.refuse(Reason.LINE_TOO_LONG)
            elif b"\0" in line:
                out.refuse(Reason.NOT_TEXT)
            else:
                yield line


def _whole_lines(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The lines, ended by LF, CRLF or CR, that each chunk completes. A line over the limit is cut, but not to within it."""
    held = b""
    for chunk in chunks:
        data = held + chunk
        end = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1  # a CR at the very end may be half of a CRLF
        yield data[:end].splitlines()
        held = data[end:]
        if len(held) > MAX_LINE_BYTES:
            held = held[: MAX_LINE_BYTES + 1]
    yield held.splitlines()
