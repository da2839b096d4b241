"""The shipped lists of names that too much hangs on: popular ones by rank, and critical hosts by purpose. And their refresh."""

from __future__ import annotations

import re
import tempfile
import urllib.request
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from feeds.containers import unpacked
from feeds.normalise import plain_key
from pdns.config.schema import Feed
from pdns.errors import FeedError
from pdns.files.safe_files import open_regular, write_whole
from pdns.wire.names import from_reversed_key, to_text

POPULAR: Final = Path(__file__).parent / "popular.txt"
CRITICAL: Final = Path(__file__).parent / "critical.txt"
COMPARED: Final = 20_000  # of a list, that new names of a feed are compared with
HELD_OF_SHIPPED: Final = 4939  # of the shipped list, those that several lists of popular names agree on: no feed blocks one
LEAST: Final = 1000  # names of a list that is fit to take the place of the shipped one
MAX_BYTES: Final = 64 * 1024 * 1024
TIMEOUT_S: Final = 60.0
_HEADER: Final = "# Popular names, the most popular first. docs/feeds.md says where they come from and how to refresh them.\n"
_MAX_LINE_BYTES: Final = 4096
_WWW: Final = b"\x03www"
_RANKED = re.compile(rb"(?:\d+\s*[,\t]\s*)?([^\s,]+)").match


def ranked(path: Path, most: int | None = None) -> Iterator[tuple[int, bytes]]:
    """The first `most` names of a list, a name or `rank,name` on each line, as (rank, key). Raises `OSError`."""
    rank = 0
    with open(open_regular(path, follow_links=True), "rb") as file:  # noqa: PTH123 (a descriptor)
        while line := file.readline(_MAX_LINE_BYTES):
            if most is not None and rank >= most:
                return
            if (found := _RANKED(line.strip().lower())) is not None and (key := plain_key(found[1])) is not None:
                rank += 1
                yield rank, key


def popular_keys(path: Path) -> list[bytes]:
    """The keys of a list of popular names, and of each with `www.` before it, sorted; none when it cannot be read."""
    keys: set[bytes] = set()
    try:
        for _, key in ranked(path, COMPARED):
            keys.add(key)
            keys.add(key + _WWW)
    except OSError:
        return []
    return sorted(keys)


def refresh(source: str, out: Path, most: int) -> int:
    """Write the first `most` names of the list `source`, a path or a URL of http or https, to `out`; returns how many.

    A name or `rank,name` on each line, plain or packed (gzip, xz, zstd, zip). Raises `FeedError`, with `out` as it was, when
    the list cannot be had or has less than `LEAST` names, and `OSError` when `out` cannot be written.
    """
    with tempfile.TemporaryDirectory() as directory, (Path(directory) / "list").open("wb+") as unpacked_list:
        try:
            with _opened(source) as file, tempfile.TemporaryFile() as raw:
                while (size := raw.tell()) <= MAX_BYTES and (piece := file.read(65536)):
                    raw.write(piece)
                if size > MAX_BYTES:
                    raise FeedError("popular", f"{source}: more than {MAX_BYTES} bytes")
                raw.seek(0)
                unpacked_list.writelines(unpacked(raw, Feed(name="popular", url=source, max_bytes=MAX_BYTES)))
                unpacked_list.flush()
        except OSError as exc:
            raise FeedError("popular", f"{source}: {exc.strerror or exc}") from None
        keys = list(islice(dict.fromkeys(key for _, key in ranked(Path(unpacked_list.name))), most))
    if len(keys) < LEAST:
        raise FeedError(
            "popular", f"{source}: {len(keys):,} names, expected at least {LEAST:,}: one, or `rank,name`, on each line"
        )
    names = "".join(f"{to_text(from_reversed_key(key))}\n" for key in keys)
    write_whole(out.resolve(), (_HEADER + names).encode())
    return len(keys)


def _opened(source: str) -> BinaryIO:
    if source.startswith(("https://", "http://")):
        opened: BinaryIO = urllib.request.urlopen(source, timeout=TIMEOUT_S)  # noqa: S310 (http and https only)
        return opened
    return Path(source).open("rb")


def critical() -> Iterator[tuple[str, str]]:
    """Every critical host, and what it is for."""
    purpose = ""
    for line in CRITICAL.read_text(encoding="ascii").splitlines():
        if line.startswith("#"):
            purpose = line[1:].strip()
        elif line:
            yield line, purpose
