"""How two versions of a zone differ. Blocks that both have are skipped as they are; only the others are taken apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from feeds.publish.records import SortKey, sort_key, split
from feeds.publish.zone_file import RecordBlock


class _Records:
    """The records of one version, from where they differ on."""

    def __init__(self, blocks: Iterable[RecordBlock]) -> None:
        self._blocks = iter(blocks)
        self.held: dict[bytes, SortKey] = {}
        self.ended = False

    def next_block(self) -> RecordBlock | None:
        block = next(self._blocks, None)
        self.ended = block is None
        return block

    def take_in(self, block: RecordBlock | None) -> None:
        if block is not None:
            self.held.update((record, sort_key(record)) for record in split(block.data))

    def last(self) -> SortKey:
        return next(reversed(self.held.values()))


def differences(
    old: Iterable[RecordBlock], new: Iterable[RecordBlock], removed: Callable[[bytes], object], added: Callable[[bytes], object]
) -> Iterator[None]:
    """Call `removed` and `added` with each record that only `old` or only `new` has, in the order of the zone.

    Yields now and then, with nothing: the caller may use the time.
    """
    before, after = _Records(old), _Records(new)
    while True:
        if not before.held and not after.held:
            old_block, new_block = before.next_block(), after.next_block()
            if before.ended and after.ended:
                return
            if old_block != new_block:
                before.take_in(old_block)
                after.take_in(new_block)
            continue
        for side in (before, after):
            if not side.held and not side.ended:
                side.take_in(side.next_block())
        if before.held and after.held:
            end = min(before.last(), after.last())
            gone = set(_up_to(before, end))
            for record in _up_to(before, end):
                if record not in after.held:
                    removed(record)
            for record in _up_to(after, end):
                if record not in gone:
                    added(record)
            for side in (before, after):
                side.held = {record: key for record, key in side.held.items() if key > end}
            yield
        else:
            for record in before.held:
                removed(record)
            for record in after.held:
                added(record)
            before.held, after.held = {}, {}
            yield


def _up_to(side: _Records, end: SortKey) -> Iterator[bytes]:
    return (record for record, key in side.held.items() if key <= end)
