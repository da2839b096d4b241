"""A source that is a directory: its files, each read in its own format, are one list."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from feeds.formats.collector import Collector, visible
from feeds.pack import DamagedPack, PackedFile, packed_files
from feeds.parse import ParsedFeed, parse_feed
from pdns.config.schema import Feed
from pdns.errors import FeedError
from pdns.files.safe_files import TEMPORARY, create
from pdns.state.feed_status import SkippedLines

MIXED = "mixed"  # the format of a list of files that have several
_MAX_EXAMPLES = 3
_CHUNK_BYTES: Final = 1024 * 1024
_TAR_MAGIC_AT, _TAR_MAGIC = 257, b"ustar"


def is_tar(raw: Path) -> bool:
    """Whether the file begins as a tar archive does. Raises `OSError`."""
    with raw.open("rb") as file:
        return file.read(_TAR_MAGIC_AT + len(_TAR_MAGIC)).endswith(_TAR_MAGIC)


def parse_all(raw: Path, feed: Feed) -> ParsedFeed:
    """What all files of the directory list together. Raises `FeedError`, which names the file to blame, and `OSError`."""
    out = Collector()
    odd: dict[str, SkippedLines] = {}
    formats: set[str] = set()
    notes: dict[str, None] = {}
    lines = 0
    unpacked_bytes = 0
    unpacked = raw.with_name(f"{raw.name}-member{TEMPORARY}")
    try:
        with raw.open("rb") as pack:
            for member in packed_files(pack):
                if not member.size_bytes:
                    continue
                _copy(pack, member, unpacked)
                name = visible(os.fsencode(member.name))
                parsed = _parse(unpacked, feed, name)
                unpacked_bytes += parsed.size_bytes
                if unpacked_bytes > feed.max_bytes:
                    raise FeedError(feed.name, f"more than {feed.max_bytes} bytes when unpacked")
                lines += parsed.lines
                notes |= dict.fromkeys(f"{name}: {note}" for note in parsed.notes[: _MAX_EXAMPLES - len(notes)])
                if parsed.names or parsed.networks:
                    formats.add(parsed.format)
                for key, bits in parsed.names.items():
                    number = parsed.detail_of.get(key)
                    out.put(key, bits, parsed.details[number] if number is not None else None)
                out.networks |= parsed.networks
                out.actions.add_all(parsed.actions)
                _add_odd(odd, parsed.odd, name)
    except DamagedPack as exc:
        raise FeedError(feed.name, f"its copy is damaged ({exc})") from None
    finally:
        unpacked.unlink(missing_ok=True)
    format_name = formats.pop() if len(formats) == 1 else MIXED if formats else feed.format
    odd = dict(sorted(odd.items(), key=lambda item: -item[1].count))
    return ParsedFeed(
        format=format_name,
        lines=lines,
        size_bytes=unpacked_bytes,
        names=out.names,
        networks=out.networks,
        odd=odd,
        details=out.details,
        detail_of=out.detail_of,
        actions=out.actions,
        notes=list(notes),
    )


def _copy(pack: BinaryIO, member: PackedFile, to: Path) -> None:
    pack.seek(member.begin)
    left = member.size_bytes
    with create(to) as file:
        while left and (chunk := pack.read(min(left, _CHUNK_BYTES))):
            file.write(chunk)
            left -= len(chunk)


def _parse(path: Path, feed: Feed, name: str) -> ParsedFeed:
    try:
        return parse_feed(path, feed)
    except FeedError as exc:
        raise FeedError(feed.name, f"{name}: {exc.reason}", exc.line) from None


def _add_odd(odd: dict[str, SkippedLines], more: dict[str, SkippedLines], name: str) -> None:
    for reason, lines in more.items():
        before = odd.get(reason, SkippedLines(count=0))
        examples = [*before.examples, *(f"{name}, {example}" for example in lines.examples)][:_MAX_EXAMPLES]
        odd[reason] = msgspec.structs.replace(before, count=before.count + lines.count, examples=examples)
