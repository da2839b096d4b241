"""The number of distinct names blocked in the last hour, day and week: exact, bounded, and cheap to read.

Time advances in slots of a minute. A name counts in the slot it was last seen in. Each window keeps a running total, so neither
a block nor a read of the totals iterates over the names.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

SLOT_S: Final = 60
WINDOWS: Final = (("1h", 60), ("24h", 24 * 60), ("7d", 7 * 24 * 60))  # label, slots
_LONGEST: Final = WINDOWS[-1][1]


class Room:
    """A number of names that several `SlidingWindow` share as their upper bound."""

    __slots__ = ("left",)

    def __init__(self, names: int) -> None:
        self.left = names


class SlidingWindow:
    """Distinct names within sliding windows. At the limit, the name not seen for longest is forgotten."""

    __slots__ = ("_last_seen", "_max_names", "_now", "_per_slot", "_room", "_totals")

    def __init__(self, max_names: int, room: Room) -> None:
        self._max_names = max_names
        self._room = room
        self._last_seen: OrderedDict[int, int] = OrderedDict()  # hash of the name -> slot; least recent first
        self._per_slot: dict[int, int] = {}  # slot -> names last seen in it; least recent first
        self._totals = [0] * len(WINDOWS)
        self._now = -1

    def __len__(self) -> int:
        return len(self._last_seen)

    def saw(self, key: int, now_s: float) -> None:
        """The name with the hash `key` was blocked. `now_s` is from a monotonic clock."""
        slot = int(now_s) // SLOT_S
        if slot > self._now:
            self._advance(slot)
        slot = self._now
        names = self._last_seen
        before = names.get(key)
        if before == slot:
            return
        if before is None:
            if (len(names) >= self._max_names or self._room.left <= 0) and not self._forget_oldest():
                return
            self._room.left -= 1
        else:
            self._leave(before)
        names[key] = slot
        names.move_to_end(key)
        self._per_slot[slot] = self._per_slot.get(slot, 0) + 1
        for window in range(len(WINDOWS)):
            self._totals[window] += 1

    def totals(self, now_s: float) -> tuple[int, ...]:
        """Names seen within each of `WINDOWS`, which end at `now_s`."""
        slot = int(now_s) // SLOT_S
        if slot > self._now:
            self._advance(slot)
        return tuple(self._totals)

    def _advance(self, slot: int) -> None:
        """Advance the windows, and forget names that have left the longest."""
        before, self._now = self._now, slot
        for window, (_, slots) in enumerate(WINDOWS):
            if slot - before < slots:
                left = range(before - slots + 1, slot - slots + 1)
                self._totals[window] -= sum(self._per_slot.get(old, 0) for old in left)
            else:
                self._totals[window] = 0
        names = self._last_seen
        while names:
            key = next(iter(names))
            if names[key] > slot - _LONGEST:
                break
            del names[key]
            self._room.left += 1
        while self._per_slot and (old := next(iter(self._per_slot))) <= slot - _LONGEST:
            del self._per_slot[old]

    def _forget_oldest(self) -> bool:
        if not self._last_seen:
            return False
        _, slot = self._last_seen.popitem(last=False)
        self._room.left += 1
        self._leave(slot)
        return True

    def _leave(self, slot: int) -> None:
        self._per_slot[slot] -= 1
        for window, (_, slots) in enumerate(WINDOWS):
            if slot > self._now - slots:
                self._totals[window] -= 1
