"""The child's job: write what a blockset lists for each feed as text, with what it differs in from the text before.

The blockset says what was really compiled: without what was held back, protected or expired. A compile of the texts gives
its files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

from feeds.annotations import NameAnnotation
from feeds.fleet import line_diff, packed
from feeds.fleet.entries_text import CLIENT, NETWORK, NOTHING_SAID, EntriesWriter, NameTexts, Said, network_line, suffix_of
from feeds.fleet.packed import MissingLibrary
from feeds.fleet.release import StoredObject
from feeds.jobs import Exported, ExportedFeed, ExportFeed, ExportJob, Failed
from feeds.protected_networks import network_key
from feeds.publish.sorting import sorted_keys
from pdns.blockset.annotations import Annotations
from pdns.blockset.canonical import content_hash
from pdns.blockset.layout import read_manifest
from pdns.blockset.reader import Blockset
from pdns.core.listing import action_of, bits_of
from pdns.errors import BlocksetError
from pdns.files.safe_files import create, remove

TEXT: Final = ".text"
FULL: Final = ".full"
DELTA: Final = ".delta"
_MOST_ROWS_KNOWN: Final = 65_536


def export(job: ExportJob) -> Exported | Failed:
    """Write the texts of `job.feeds` to files in `job.directory`. Raises `OSError`."""
    directory = Path(job.directory)
    try:
        blockset = Blockset.open(Path(job.blockset))
        facts = Annotations(blockset)
        compiled = content_hash(read_manifest(Path(job.blockset)))
    except BlocksetError as exc:
        return Failed(str(exc))
    with ExitStack() as files:
        opened = {feed.name: files.enter_context(create(directory / f"{feed.name}{TEXT}")) for feed in job.feeds}
        writers = {name: EntriesWriter(file) for name, file in opened.items()}
        _write(blockset, facts, writers, directory)
        written = {name: writer.end() for name, writer in writers.items()}
    try:
        exported = []
        for feed in job.feeds:
            text, size_bytes, entries = written[feed.name]
            changed = text != feed.before_sha256
            path = directory / f"{feed.name}{TEXT}"
            delta = _delta(feed, path) if changed else None
            with path.open("rb") as source:
                whole = changed and (delta is None or delta.bytes > feed.most_delta_bytes)
                full = _packed(source, path.with_suffix(FULL)) if whole else None
            if not changed:
                remove(path)
            exported.append(
                ExportedFeed(
                    name=feed.name, text=text, text_bytes=size_bytes, entries=entries, changed=changed, full=full, delta=delta
                )
            )
    except MissingLibrary as exc:
        return Failed(str(exc))
    return Exported(exported, compiled)


def _write(blockset: Blockset, facts: Annotations, writers: Mapping[str, EntriesWriter], directory: Path) -> None:
    said = _RowTexts(blockset, facts, writers)
    for key, number, _ in sorted(blockset.numbered_networks()):
        begins = network_line(NETWORK, key)
        for writer, suffix in said.of(facts.row(number)):
            writer.put(begins, suffix)
    for key, feed, action in sorted((network_key(one.network), one.feed, one.action) for one in blockset.clients):
        if feed in writers:
            writers[feed].put(network_line(CLIENT, key), suffix_of(Said(0, 0, at_name=blockset.actions[action])))
    names = NameTexts()
    listed = ((key, number) for key, number, _ in blockset.numbered_names())
    for key, number in sorted_keys(listed, blockset.names, directory):
        if wanted := said.of(facts.row(number)):
            begins = names.text_of(key)
            for writer, suffix in wanted:
                writer.put(begins, suffix)


class _RowTexts:
    """What each feed says of the names of a row, as the rest of a line."""

    def __init__(self, blockset: Blockset, facts: Annotations, writers: Mapping[str, EntriesWriter]) -> None:
        self._actions, self._facts, self._writers = blockset.actions, facts, writers
        self._details = {
            feed: [NOTHING_SAID, *(NameAnnotation(*told) for told in facts.details(feed))]
            for feed in blockset.feeds
            if feed in writers
        }
        self._known: dict[int, list[tuple[EntriesWriter, bytes]]] = {}

    def of(self, row: int) -> list[tuple[EntriesWriter, bytes]]:
        known = self._known.get(row)
        if known is None:
            if len(self._known) >= _MOST_ROWS_KNOWN:
                self._known.clear()
            known = self._known[row] = list(self._made(row))
        return known

    def _made(self, row: int) -> Iterator[tuple[EntriesWriter, bytes]]:
        actions = self._actions
        for feed, said, day, detail in self._facts.about_row(row):
            if (writer := self._writers.get(feed)) is not None:
                at_name, below = actions[action_of(said, below=False)], actions[action_of(said, below=True)]
                yield writer, suffix_of(Said(bits_of(said), day, self._details[feed][detail], at_name, below))


def _delta(feed: ExportFeed, after: Path) -> StoredObject | None:
    if not feed.before:
        return None
    lines = after.with_suffix(".lines")
    try:
        with Path(feed.before).open("rb") as before, after.open("rb") as new, create(lines) as out:
            line_diff.make(before, new, out)
            return _packed(out, after.with_suffix(DELTA))
    finally:
        remove(lines)


def _packed(source: BinaryIO, path: Path) -> StoredObject:
    with create(path) as out:
        return packed.pack(source, out)
