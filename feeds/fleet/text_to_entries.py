"""The text of a feed to a file of `feeds.entries`, from which blocksets are compiled. Few entries are in memory at a time."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import islice, takewhile
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from feeds.annotations import NameAnnotation
from feeds.entries import BLOCK_ENTRIES, EntryBlock, write_known
from feeds.fleet.entries_text import CLIENT, NAME, NETWORK, NOTHING_SAID, BadText, Kind, TextEntry, read_text
from feeds.formats.actions import ListedActions
from feeds.parse import ParsedFeed
from pdns.core.listing import MAX_ACTIONS, ListedAction

FORMAT: Final = "fleet"
_MAX_DETAILS: Final = 0xFFFF
_ACTION_BITS: Final = 16


class EntryCounts(NamedTuple):
    """What a text lists."""

    names: int
    networks: int
    clients: int


class _Numbers:
    """What is said of many entries, each different thing once."""

    def __init__(self) -> None:
        self.details: dict[NameAnnotation, int] = {}
        self.actions: dict[ListedAction, int] = {}
        self.clients: dict[bytes, int] = {}
        self.lines = 0

    def take(self, entry: TextEntry) -> None:
        self.lines += 1
        said = entry.said
        if said.annotation != NOTHING_SAID:
            self.details.setdefault(said.annotation, len(self.details) + 1)
        for action in (said.at_name, said.below):
            if action is not None:
                self.actions.setdefault(action, len(self.actions) + 1)
        if entry.kind == CLIENT:
            self.clients[entry.key] = self.action(said.at_name)
        if len(self.details) > _MAX_DETAILS or len(self.actions) > MAX_ACTIONS:
            raise BadText("more different annotations or actions than a feed has")

    def action(self, action: ListedAction | None) -> int:
        return 0 if action is None else self.actions[action]


def entries_from_text(text: BinaryIO, path: Path) -> EntryCounts:
    """Write the entries of `text`, which can be sought in, to `path`, onto the disk. Raises `BadText` and `OSError`."""
    numbers = _Numbers()
    text.seek(0)
    for entry in read_text(text):
        numbers.take(entry)
    parsed = ParsedFeed(
        format=FORMAT,
        lines=numbers.lines,
        names={},
        networks=set(),
        odd={},
        details=list(numbers.details),
        actions=ListedActions(list(numbers.actions), numbers.clients),
    )
    names, networks = write_known(path, parsed, _blocks(text, NAME, numbers), _blocks(text, NETWORK, numbers))
    return EntryCounts(names, networks, len(numbers.clients))


def _blocks(text: BinaryIO, kind: Kind, numbers: _Numbers) -> Iterator[EntryBlock]:
    text.seek(0)
    wanted = (entry for entry in takewhile(lambda entry: entry.kind <= kind, read_text(text)) if entry.kind == kind)
    while part := list(islice(wanted, BLOCK_ENTRIES)):
        said = [entry.said for entry in part]
        actions = [numbers.action(one.at_name) | numbers.action(one.below) << _ACTION_BITS for one in said]
        details = [numbers.details.get(one.annotation, 0) for one in said]
        yield EntryBlock(
            [entry.key for entry in part],
            bytes(one.bits for one in said),
            memoryview(array("H", [one.first_day for one in said])),
            memoryview(array("H", bytes(2 * len(part)))),
            memoryview(array("H", details)),
            actions if any(actions) else (),
        )
