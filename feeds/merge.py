"""Several lists into one row of names, in the order of their keys; each with the number of what all lists say of it."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from feeds.annotations import NameAnnotation
from feeds.entries import EntryBlock
from pdns.blockset.annotations import PublisherAnnotation
from pdns.blockset.layout import ClientEntry
from pdns.core.listing import ALLOW_SUBTREE, BLOCK_SUBTREE, MAX_ACTIONS, NO_ACTION, ListedAction, bits_of, with_actions

Combination = tuple[tuple[int, int], ...]  # (index of a feed, its bits and actions), of every feed that lists a name
Facts = tuple[tuple[int, int], ...]  # (first day, detail) for each of a combination


class Row(NamedTuple):
    """All that is known of a name: many names have the same."""

    combination: int
    facts: Facts


class Table:
    """What is said of names, each different thing once, with a number."""

    def __init__(self) -> None:
        self.details: list[list[PublisherAnnotation]] = []  # by feed; number 1 is the first of them
        self.combinations: list[Combination] = [()]
        self.rows: list[Row] = [Row(0, ())]
        self._combination_numbers: dict[Combination, int] = {(): 0}
        self._row_numbers: dict[Row, int] = {self.rows[0]: 0}
        self.actions: list[ListedAction] = []  # number 1 is the first of them
        self.clients: list[ClientEntry] = []
        self._action_numbers: dict[ListedAction, int] = {}

    def numbers_of(self, actions: Sequence[ListedAction]) -> list[int]:
        """The number of no action, and of each of `actions`; where there are too many, NO_ACTION."""
        numbers = [NO_ACTION]
        for action in actions:
            if action not in self._action_numbers and len(self.actions) < MAX_ACTIONS:
                self.actions.append(action)
                self._action_numbers[action] = len(self.actions)
            numbers.append(self._action_numbers.get(action, NO_ACTION))
        return numbers

    def add(self, row: int, feed: int, bits: int, first_day: int, detail: int) -> int:
        """The number of what `row` says and, beside, `feed`."""
        known = self.rows[row]
        combination = (*self.combinations[known.combination], (feed, bits))
        number = self._combination_numbers.setdefault(combination, len(self.combinations))
        if number == len(self.combinations):
            self.combinations.append(combination)
        wanted = Row(number, (*known.facts, (first_day, detail)))
        at = self._row_numbers.setdefault(wanted, len(self.rows))
        if at == len(self.rows):
            self.rows.append(wanted)
        return at

    def count(self, names: Sequence[int]) -> Counter[tuple[str, int]]:
        """(kind of entry, feed) -> names, given the names of each combination."""
        counts: Counter[tuple[str, int]] = Counter()
        for combination, number in zip(self.combinations, names, strict=True):
            blocking = [feed for feed, bits in combination if bits & BLOCK_SUBTREE]
            for feed in blocking:
                counts["entries", feed] += number
            if len(blocking) == 1:
                counts["unique_entries", blocking[0]] += number
            for feed, bits in combination:
                if bits & ALLOW_SUBTREE:
                    counts["exceptions", feed] += number
        return counts


Sieve = Callable[[dict[bytes, int]], object]  # takes out of some names of one list, with their bits, what must not go live


class Listed:
    """One list on its way into the row: what is gone, has expired or is held back by `sieve` stays behind."""

    def __init__(
        self,
        blocks: Iterable[EntryBlock],
        details: Sequence[NameAnnotation],
        now_s: float,
        sieve: Sieve | None = None,
        actions: Sequence[int] = (NO_ACTION,),
    ) -> None:
        """`actions` are the numbers that those of the list have in the blockset."""
        self._actions = actions
        self._blocks = iter(blocks)
        self._expired = {at for at, detail in enumerate(details, 1) if 0 < detail.expires_s <= now_s}
        self._sieve = sieve
        self._numbers: dict[tuple[int, int, int, int], int] = {}
        self._at = 0
        self.expired = 0  # entries
        self.taken = 0
        self.keys: list[bytes] = []
        self._said: list[tuple[int, int, int]] = []
        self.next_block()

    def next_block(self) -> None:
        """Go on to the next entries; `keys` is empty when there are none."""
        self._at = 0
        self.keys, self._said = [], []
        while not self.keys:
            block = next(self._blocks, None)
            if block is None:
                return
            bits = self._with_actions(block) if block.actions else block.bits
            self.keys, self._said = block.keys, list(zip(bits, block.first_days, block.details, strict=True))
            if 0 in block.bits or self._expired or self._sieve is not None:
                self._leave_behind()

    def _with_actions(self, block: EntryBlock) -> list[int]:
        numbers = self._actions
        return [
            with_actions(bits, numbers[said & MAX_ACTIONS], numbers[said >> 16]) if bits else 0
            for bits, said in zip(block.bits, block.actions, strict=True)
        ]

    def _leave_behind(self) -> None:
        kept = [(key, said) for key, said in zip(self.keys, self._said, strict=True) if said[0] and said[2] not in self._expired]
        self.expired += sum(1 for said in self._said if said[0] and said[2] in self._expired)
        if self._sieve is not None:
            through = {key: bits_of(said[0]) for key, said in kept}
            self._sieve(through)
            kept = [entry for entry in kept if entry[0] in through]
        self.keys, self._said = [key for key, _ in kept], [said for _, said in kept]

    def take(self, last: bytes, feed: int, table: Table, merged: dict[bytes, int]) -> None:
        """Add to `merged` what is said of all keys up to `last`."""
        start, end = self._at, bisect_right(self.keys, last, self._at)
        self._at = end
        self.taken += end - start
        numbers = self._numbers
        for key, said in zip(self.keys[start:end], self._said[start:end], strict=True):
            before = merged.get(key, 0)
            step = (before, *said)
            number = numbers.get(step)
            if number is None:
                number = numbers[step] = table.add(before, feed, *said)
            merged[key] = number

    @property
    def done(self) -> bool:
        return self._at >= len(self.keys)


def merge(lists: Sequence[Listed], table: Table, progress: Callable[[int], None]) -> Iterator[tuple[list[bytes], list[int]]]:
    """Stretches of sorted keys, and for each the number of its row in `table`. `progress` is told how many there were."""
    names = 0
    left = dict(enumerate(lists))
    while True:
        for feed, listed in list(left.items()):
            if listed.done:
                listed.next_block()
                if not listed.keys:
                    del left[feed]
        if not left:
            return
        last = min(listed.keys[-1] for listed in left.values())
        merged: dict[bytes, int] = {}
        for feed, listed in left.items():
            listed.take(last, feed, table, merged)
        keys = sorted(merged)
        names += len(keys)
        progress(names)
        yield keys, [merged[key] for key in keys]
