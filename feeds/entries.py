"""The entries of one list on disk: sorted, in blocks, each with the day it was first seen here.

    frame     one byte of kind, u32 length, u32 CRC-32, then so many bytes: MessagePack
    file      a head, blocks of names, blocks of networks, a tail

A list with actions of its own (form 2) has a frame with all of them behind its head, and before a block the frame of its actions.


Sorted by key, so that lists are merged and compared with their last version block by block, never as a whole.
Entries that are gone stay for a while without bits: what comes back keeps its first day.
"""

from __future__ import annotations

import os
import zlib
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress, repeat
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final, NamedTuple, TypeVar

import msgspec

from feeds.annotations import NameAnnotation
from feeds.formats.actions import ListedActions
from feeds.names import Names
from feeds.parse import ParsedFeed
from pdns.core.listing import BLOCK_SUBTREE, MAX_ACTIONS, ListedAction, is_sound
from pdns.errors import PdnsError
from pdns.files.safe_files import create, open_state
from pdns.state.feed_status import SkippedLines

GONE_KEPT_DAYS: Final = 400
GONE_KEPT_LEAST: Final = 100_000  # of a list; of a longer one as many as it lists
BLOCK_ENTRIES: Final = 4096
_FRAME = Struct("<cII")
_HEAD, _NAMES, _NETWORKS, _TAIL, _ACTIONS, _BLOCK_ACTIONS = b"H", b"N", b"A", b"T", b"L", b"X"
_FORM: Final = 1
_FORM_WITH_ACTIONS: Final = 2
_IS_ZERO = bytes([1]) + bytes(255)  # for `bytes.translate`
_T = TypeVar("_T")


class DamagedEntries(PdnsError):
    """A file that is not, or not wholly, what was written."""


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What is said of the list as a whole."""

    form: int
    format: str
    lines: int
    odd: dict[str, SkippedLines]
    details: list[NameAnnotation]


class EntryBlock(NamedTuple):
    """Entries in the order of their keys."""

    keys: list[bytes]
    bits: bytes  # 0: gone
    first_days: memoryview[int]  # since the epoch
    last_days: memoryview[int]  # of what is gone
    details: memoryview[int]  # index into `Head.details`, plus one; 0 for none
    actions: Sequence[int] = ()  # as in `ListedActions.of_names`; empty where there are none


NO_ACTIONS: Final[Mapping[bytes, int]] = {}
NOTHING_KNOWN: Final = EntryBlock([], b"", *(memoryview(array("H")) for _ in range(3)))


class _StoredBlock(msgspec.Struct, frozen=True, array_like=True):
    keys: list[bytes]
    bits: bytes
    first_days: bytes
    last_days: bytes
    details: bytes


class Actions(msgspec.Struct, frozen=True, array_like=True):
    """The actions of a list, and the clients that it lists."""

    table: list[ListedAction] = []  # number 1 is the first of them
    clients: dict[bytes, int] = {}  # bytes of the address and one of prefix length -> number of an action


class _Tail(msgspec.Struct, frozen=True, array_like=True):
    names: int
    networks: int
    gone: dict[int, int]  # last day -> how many


class EntryChanges(NamedTuple):
    """How a list differs from the one before, in names or in networks."""

    added: int
    removed: int
    fresh: int  # of those added, the ones that the list did not have within the time that is remembered either
    found_before: set[bytes]  # of the keys that were sought, those that the list before had


class Entries:
    """A file of entries, read from start to end as often as wanted."""

    source = ""  # the configured one

    def __init__(self, path: Path) -> None:
        """Raises `DamagedEntries` when there is no such file, or not of this form."""
        self.path = path
        try:
            with open_state(path) as file:
                self.head = _decoded(_expect(file, path, _HEAD), Head, path)
                self.actions = Actions()
                if self.head.form == _FORM_WITH_ACTIONS:
                    self.actions = _decoded(_expect(file, path, _ACTIONS), Actions, path)
                    if not _are_sound(self.actions):
                        raise DamagedEntries(str(path))
        except OSError:
            raise DamagedEntries(str(path)) from None
        if self.head.form not in (_FORM, _FORM_WITH_ACTIONS):
            raise DamagedEntries(str(path))

    @property
    def details(self) -> list[NameAnnotation]:
        return self.head.details

    def names(self) -> Iterator[EntryBlock]:
        """Names by key, those that are gone too. Raises `DamagedEntries`, as late as where the damage is."""
        return self._blocks(_NAMES)

    def networks(self) -> Iterator[EntryBlock]:
        """Networks, likewise; the key is the address and one byte of prefix length."""
        return self._blocks(_NETWORKS)

    def gone(self) -> dict[int, int]:
        """Entries that are gone: last day -> how many. Raises `DamagedEntries`."""
        for kind, data in self._frames():
            if kind == _TAIL:
                return _decoded(data, _Tail, self.path).gone
        return {}

    def _blocks(self, wanted: bytes) -> Iterator[EntryBlock]:
        actions: Sequence[int] = ()
        for kind, data in self._frames():
            if kind == _BLOCK_ACTIONS:
                actions = _actions_in(data, len(self.actions.table), self.path)
            if kind == wanted:
                stored = _decoded(data, _StoredBlock, self.path)
                first_days, last_days, details = (
                    memoryview(column).cast("H") for column in (stored.first_days, stored.last_days, stored.details)
                )
                if actions and len(actions) != len(stored.keys):
                    raise DamagedEntries(str(self.path))
                yield EntryBlock(stored.keys, stored.bits, first_days, last_days, details, actions)
            if kind in (_NAMES, _NETWORKS):
                actions = ()

    def _frames(self) -> Iterator[tuple[bytes, bytes]]:
        """Every frame behind the head; the tail is the last."""
        try:
            with open_state(self.path) as file:
                _expect(file, self.path, _HEAD)
                while True:
                    kind, data = _frame(file, self.path)
                    yield kind, data
                    if kind == _TAIL:
                        return
        except OSError:
            raise DamagedEntries(str(self.path)) from None


def whole(entries: Entries) -> ParsedFeed:
    """All of a file at once. Raises `DamagedEntries`."""
    names: dict[bytes, int] = {}
    networks: set[bytes] = set()
    detail_of: dict[bytes, int] = {}
    actions = ListedActions(entries.actions.table, entries.actions.clients)
    for block in entries.names():
        actions.of_names.update((key, action) for key, action in zip(block.keys, block.actions, strict=False) if action)
        names.update((key, bits) for key, bits in zip(block.keys, block.bits, strict=True) if bits)
        detail_of.update((key, detail - 1) for key, detail in zip(block.keys, block.details, strict=True) if detail)
    for block in entries.networks():
        actions.of_networks.update((key, action) for key, action in zip(block.keys, block.actions, strict=False) if action)
        networks.update(key for key, bits in zip(block.keys, block.bits, strict=True) if bits)
        detail_of.update((key, detail - 1) for key, detail in zip(block.keys, block.details, strict=True) if detail)
    head = entries.head
    return ParsedFeed(
        format=head.format, lines=head.lines, names=names, networks=networks, odd=head.odd,
        details=head.details, detail_of={key: at for key, at in detail_of.items() if key in names or key in networks},
        actions=actions,
    )  # fmt: skip


def write_entries(
    path: Path, parsed: ParsedFeed, before: Entries | None, today: int, last_day: int, sought: Sequence[bytes] = ()
) -> tuple[EntryChanges, EntryChanges]:
    """Write `parsed` to `path`, onto the disk, what `before` knows of its entries carried over.

    Returns how names and networks differ. `sought` are keys of names, sorted, to be looked for in `before`.
    `today` and `last_day`, when `before` was last what the source says, are days since the epoch. Raises `OSError`; a `before`
    that turns out to be damaged counts for nothing from there on.
    """
    table, actions = parsed.actions.table, parsed.actions
    head = Head(_FORM_WITH_ACTIONS if table else _FORM, parsed.format, parsed.lines, parsed.odd, parsed.details)
    oldest_day = _forgotten_before(before, today, max(len(parsed.names), GONE_KEPT_LEAST))
    with create(path) as file:
        _put(file, _HEAD, head)
        if table:
            _put(file, _ACTIONS, Actions(table, actions.of_clients))
        gone: Counter[int] = Counter()
        writer = _BlockWriter(file, parsed.detail_of, gone, today, last_day, oldest_day)
        names = writer.put(_NAMES, parsed.names, before.names() if before is not None else (), sought, actions.of_names)
        networks = dict.fromkeys(parsed.networks, BLOCK_SUBTREE)
        earlier = before.networks() if before is not None else ()
        others = writer.put(_NETWORKS, networks, earlier, actions=actions.of_networks)
        _put(file, _TAIL, _Tail(len(parsed.names), len(networks), dict(gone)))
        file.flush()
        os.fsync(file.fileno())
    return names, others


def write_known(path: Path, parsed: ParsedFeed, names: Iterable[EntryBlock], networks: Iterable[EntryBlock]) -> tuple[int, int]:
    """Write entries whose days are known to `path`, onto the disk, none of them gone; returns how many names and networks.

    `parsed` has the list as a whole, without names and networks. Raises `OSError`, and what going through `names` raises.
    """
    table = parsed.actions.table
    counts = [0, 0]
    with create(path) as file:
        _put(file, _HEAD, Head(_FORM_WITH_ACTIONS if table else _FORM, parsed.format, parsed.lines, parsed.odd, parsed.details))
        if table:
            _put(file, _ACTIONS, Actions(table, parsed.actions.of_clients))
        for at, (kind, blocks) in enumerate(((_NAMES, names), (_NETWORKS, networks))):
            for keys, bits, *columns, actions in blocks:
                if actions:
                    _frame_out(file, _BLOCK_ACTIONS, array("I", actions).tobytes())
                _put(file, kind, _StoredBlock(keys, bits, *(bytes(column) for column in columns)))
                counts[at] += len(keys)
        _put(file, _TAIL, _Tail(counts[0], counts[1], {}))
        file.flush()
        os.fsync(file.fileno())
    return counts[0], counts[1]


def _forgotten_before(before: Entries | None, today: int, room: int) -> int:
    """The last day of the oldest entries that are gone and still to be kept."""
    try:
        gone = before.gone() if before is not None else {}
    except DamagedEntries:
        gone = {}
    oldest = today - GONE_KEPT_DAYS
    for day in sorted(gone, reverse=True):
        room -= gone[day]
        if room < 0:
            return max(oldest, day + 1)
    return oldest


class _BlockWriter:
    """Writes one list's entries beside what was known of them."""

    def __init__(
        self, file: BinaryIO, detail_of: Mapping[bytes, int], gone: Counter[int], today: int, last_day: int, oldest_day: int
    ) -> None:
        self._file = file
        self._detail_of = detail_of
        self._gone = gone
        self._today = today
        self._last_day = last_day
        self._oldest_day = oldest_day
        self._actions = NO_ACTIONS

    def put(
        self,
        kind: bytes,
        listed: Mapping[bytes, int],
        before: Iterable[EntryBlock],
        sought: Sequence[bytes] = (),
        actions: Mapping[bytes, int] = NO_ACTIONS,
    ) -> EntryChanges:
        """Everything in `listed` or in `before`, in frames of that kind. `actions` of what is listed."""
        self._actions = actions
        names = Names.of(listed)
        keys = names.keys_sorted
        at = added = removed = fresh = sought_at = 0
        seen: set[bytes] = set()
        try:
            for block in before:
                end = names.end_of(block.keys[-1])
                unknown, back, lost = self._merge(kind, keys[at:end], names.bits[at:end], block)
                added, removed, fresh, at = added + unknown + back, removed + lost, fresh + unknown, end
                sought_end = bisect_right(sought, block.keys[-1], sought_at)
                seen.update(set(compress(block.keys, block.bits)).intersection(sought[sought_at:sought_end]))
                sought_at = sought_end
        except DamagedEntries:
            pass  # what is left has no history
        while at < len(keys):
            part = keys[at : at + BLOCK_ENTRIES]
            self._merge(kind, part, names.bits[at : at + len(part)])
            at += len(part)
            added, fresh = added + len(part), fresh + len(part)
        return EntryChanges(added, removed, fresh, seen)

    def _merge(self, kind: bytes, keys: list[bytes], bits_of: bytes, block: EntryBlock = NOTHING_KNOWN) -> tuple[int, int, int]:
        """Write one stretch of keys. `block` has its history. Returns how many keys are new, came back, and are gone."""
        now, had = set(keys), set(compress(block.keys, block.bits))
        is_gone = block.bits.translate(_IS_ZERO)
        last = dict(zip(compress(block.keys, is_gone), compress(block.last_days, is_gone), strict=True))
        back = last.keys() & now
        for key in back:
            del last[key]
        left = had - now
        last |= dict.fromkeys(left, self._last_day)
        if last and min(last.values()) < self._oldest_day:
            last = {key: day for key, day in last.items() if day >= self._oldest_day}
        self._gone.update(last.values())
        first = dict(zip(block.keys, block.first_days, strict=True))
        listed = dict(zip(keys, bits_of, strict=True)) if last else {}
        ordered = keys if not last else sorted([*keys, *last])
        for start in range(0, len(ordered), BLOCK_ENTRIES):
            part = ordered[start : start + BLOCK_ENTRIES]
            details = [self._detail_of.get(key, -1) + 1 for key in part] if self._detail_of else repeat(0, len(part))
            stored = _StoredBlock(
                part,
                bytes(map(listed.get, part, repeat(0))) if last else bits_of[start : start + len(part)],
                _days(map(first.get, part, repeat(self._today)) if first else repeat(self._today, len(part))),
                _days(map(last.get, part, repeat(0)) if last else repeat(0, len(part))),
                _days(details),
            )
            if self._actions and any(numbers := [self._actions.get(key, 0) for key in part]):
                _frame_out(self._file, _BLOCK_ACTIONS, array("I", numbers).tobytes())
            _put(self._file, kind, stored)
        return len(keys) - len(back) - (len(had) - len(left)), len(back), len(left)


def _days(values: Iterable[int]) -> bytes:
    return array("H", values).tobytes()


def _decoded(data: bytes, form: type[_T], path: Path) -> _T:
    try:
        return msgspec.msgpack.decode(data, type=form)
    except msgspec.DecodeError:
        raise DamagedEntries(str(path)) from None


def _are_sound(actions: Actions) -> bool:
    clients = actions.clients
    return all(map(is_sound, actions.table)) and all(
        0 < number <= len(actions.table) and len(key) in (5, 17) and key[-1] <= 8 * (len(key) - 1)
        for key, number in clients.items()
    )


def _actions_in(data: bytes, count: int, path: Path) -> Sequence[int]:
    """The column of a frame, of numbers up to `count`."""
    if len(data) % 4:
        raise DamagedEntries(str(path))
    numbers = memoryview(data).cast("I")
    if any(number & MAX_ACTIONS > count or number >> 16 > count for number in numbers):
        raise DamagedEntries(str(path))
    return numbers


def _put(file: BinaryIO, kind: bytes, content: Head | Actions | _StoredBlock | _Tail) -> None:
    _frame_out(file, kind, msgspec.msgpack.encode(content))


def _frame_out(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(_FRAME.pack(kind, len(data), zlib.crc32(data)))
    file.write(data)


def _expect(file: BinaryIO, path: Path, kind: bytes) -> bytes:
    found, data = _frame(file, path)
    if found != kind:
        raise DamagedEntries(str(path))
    return data


def _frame(file: BinaryIO, path: Path) -> tuple[bytes, bytes]:
    header = file.read(_FRAME.size)
    if len(header) < _FRAME.size:
        raise DamagedEntries(str(path))
    kind, size, checksum = _FRAME.unpack(header)
    data = file.read(size) if size <= os.fstat(file.fileno()).st_size else b""
    if len(data) != size or zlib.crc32(data) != checksum:
        raise DamagedEntries(str(path))
    return kind, data
