"""The child's job: make the next version of a published zone from a blockset and from what administrators say."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from feeds.jobs import Failed, Published, PublishJob
from feeds.publish.blocking_feeds import BlockingFeeds
from feeds.publish.differences import differences
from feeds.publish.networks import network_verdicts
from feeds.publish.records import RecordWriter, data_of, name_server, network_order, soa_text, split, text_of
from feeds.publish.sorting import sorted_keys
from feeds.publish.verdicts import LayerEntry, VerdictWalk
from feeds.publish.zone_file import DamagedZone, RecordBlock, ZoneHead, ZoneReader, ZoneTail, write_blocks, write_zone
from pdns.blockset.reader import Blockset
from pdns.errors import BlocksetError
from pdns.files.safe_files import create, remove
from pdns.wire.names import from_text, to_text

ZONE: Final = "zone.new"
REMOVED: Final = "removed.new"
ADDED: Final = "added.new"
TEXT: Final = "text.new"


def publish(job: PublishJob, progress: Callable[[str, int, int], None] = lambda *_: None) -> Published | Failed:
    """Write the version to files in `job.directory`, and how it differs from the one before. Raises `OSError`."""
    directory = Path(job.directory)
    try:
        blockset = Blockset.open(Path(job.blockset)) if job.blockset else None
    except BlocksetError as exc:
        return Failed(str(exc))
    head = ZoneHead(serial=job.serial, settings=job.settings)
    making = _Making(job, blockset)
    tail = write_zone(directory / ZONE, head, making.records(directory, progress), ZoneTail())
    tail = msgspec.structs.replace(tail, names=making.names, addresses=making.addresses, left_out=making.writer.left_out)
    before = _before(job)
    new = ZoneReader(directory / ZONE)
    try:
        same_settings = before is not None and before.head.settings == job.settings
        changes = _write_changes(directory, before, new) if before is not None else None
        changed = not same_settings or changes != (0, 0)
        if job.text and (changed or not job.has_text):
            serial = job.serial if changed or before is None else before.head.serial
            _write_text(directory / TEXT, job, serial, new.blocks())
    finally:
        new.close()
        if before is not None:
            before.close()
    return Published(
        changed=changed,
        removed=changes[0] if changes is not None else None,
        added=changes[1] if changes is not None else None,
        tail=tail,
    )


class _Making:
    """The records of a version, and what is counted on the way."""

    def __init__(self, job: PublishJob, blockset: Blockset | None) -> None:
        self._job = job
        self._blockset = blockset
        actions = blockset.actions if blockset is not None else [None]
        self._feeds = BlockingFeeds(job.feeds, job.given, actions)
        self.writer = RecordWriter(from_text(job.zone), job.ttl_s, data_of(job.action, job.sinkhole), actions)
        self.names = self.addresses = 0

    def records(self, directory: Path, progress: Callable[[str, int, int], None]) -> Iterator[bytes]:
        """All records of the zone but the SOA. Raises `OSError`."""
        blockset, job = self._blockset, self._job
        networks = self._networks() if job.addresses else []
        layers = [[LayerEntry(*entry) for entry in layer] for layer in job.layers]
        combinations = range(len(blockset.counts)) if blockset is not None else ()
        masks = [self._feeds.of_name(blockset.combination(number)) for number in combinations if blockset is not None]
        walk = VerdictWalk(masks, layers, passes=bool(networks))
        total = blockset.names if blockset is not None else 0
        listed = sorted_keys(blockset.combinations(), total, directory) if blockset is not None else ()
        yield name_server(job.ttl_s)
        for entry in walk.entries(listed):
            records = self.writer.of_name(entry)
            self.names += bool(records)
            if not self.names % 10_000:
                progress("publishing", self.names, total)
            yield from records
        for key, verdict in networks:
            records = self.writer.of_network(key[:-1], key[-1], verdict)
            self.addresses += bool(records)
            yield from records

    def _networks(self) -> list[tuple[bytes, int]]:
        blockset = self._blockset
        if blockset is None:
            return []
        listed = ((key, number) for key, _, number in blockset.numbered_networks())
        verdicts = network_verdicts(listed, lambda number: self._feeds.of_network(blockset.combination(number)))
        return sorted(verdicts, key=lambda one: network_order(one[0]))


def _before(job: PublishJob) -> ZoneReader | None:
    try:
        return ZoneReader(Path(job.before)) if job.before else None
    except (OSError, DamagedZone):
        return None


def _write_changes(directory: Path, before: ZoneReader, new: ZoneReader) -> tuple[int, int] | None:
    """Write what only one of them has; returns how many records. None if the one before is damaged."""
    added_path = directory / f"{ADDED}.records"
    count = 0
    with create(added_path, 0o600) as held:  # the two are found together, and written one after the other

        def added(record: bytes) -> None:
            held.write(len(record).to_bytes(2))
            held.write(record)

        def removed() -> Iterator[bytes]:
            found: list[bytes] = []
            for _ in differences(before.blocks(), new.blocks(), found.append, added):
                yield from found
                found.clear()

        try:
            _, removals = write_blocks(directory / REMOVED, removed())
        except DamagedZone:
            return None
        held.seek(0)
        _, count = write_blocks(directory / ADDED, _spooled(held.read))
    remove(added_path)
    return removals, count


def _spooled(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while length := read(2):
        yield read(int.from_bytes(length))


def _write_text(path: Path, job: PublishJob, serial: int, blocks: Iterable[RecordBlock]) -> None:
    targets = {b"\0": ".", b"\x01*\0": "*."}
    head = f"$ORIGIN {to_text(from_text(job.zone))}.\n" + soa_text(serial, job.ttl_s, job.refresh_s, job.expire_s)
    with create(path, 0o644) as file:
        file.write(head.encode())
        for block in blocks:
            file.write("".join(text_of(record, targets=targets) for record in split(block.data)).encode())
        file.flush()
        os.fsync(file.fileno())
