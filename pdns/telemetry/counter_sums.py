"""Sums over several counter memories. Which slots belong together is remembered, so that a reader only adds numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from pdns.telemetry.counters import ABSENT, Counters
from pdns.telemetry.metrics import BY_NAME

Series = dict[tuple[str, ...], float]


class _Slots(NamedTuple):
    """Of one memory: for each slot its place among the sums, and the slots of gauges."""

    places: list[int]
    gauges: list[int]


class CounterSums:
    """Sums of counters, and gauges as `Family.of_workers` says, of the memories of workers or of another kind of process."""

    def __init__(self) -> None:
        self._memories: dict[Counters, _Slots] = {}
        self._places: dict[tuple[str, ...], int] = {}
        self._keys: list[tuple[str, tuple[str, ...]]] = [("", ())]  # of each place; the first one takes what is no counter

    def _forget(self) -> None:
        self._memories.clear()
        self._places.clear()
        del self._keys[1:]

    def read(self, now: Sequence[Counters], past: Sequence[Counters] = ()) -> defaultdict[str, Series]:
        """Every series of `now`, and the counters of `past`, by family and labels."""
        if not self._memories.keys() <= {*now, *past}:  # one is gone, with series that no other may have
            self._forget()
        sums = [0] * len(self._keys)
        values: defaultdict[str, Series] = defaultdict(dict)
        for memory in (*now, *past):
            slots = self._slots(memory)
            sums += [0] * (len(self._keys) - len(sums))
            for place, value in zip(slots.places, memory.values[: len(slots.places)].tolist(), strict=True):
                sums[place] += value
        for (family, labels), value in zip(self._keys[1:], sums[1:], strict=True):
            values[family][labels] = value
        for memory in now:
            for slot in self._memories[memory].gauges:
                _combine(values, memory.name(slot), memory.values[slot])
        return values

    def _slots(self, memory: Counters) -> _Slots:
        slots = self._memories.setdefault(memory, _Slots([], []))
        while name := memory.name(len(slots.places)):
            if _is_gauge(name[0]):
                slots.gauges.append(len(slots.places))
                slots.places.append(0)
                continue
            place = self._places.setdefault(name, len(self._keys))
            if place == len(self._keys):
                self._keys.append((name[0], name[1:]))
            slots.places.append(place)
        return slots


def _is_gauge(family: str) -> bool:
    return family in BY_NAME and BY_NAME[family].kind == "gauge"


def _combine(values: defaultdict[str, Series], name: tuple[str, ...], value: int) -> None:
    if value == ABSENT:
        return
    family, labels = name[0], name[1:]
    before = values[family].get(labels)
    if before is None:
        values[family][labels] = value
    elif BY_NAME[family].of_workers == "least":
        values[family][labels] = min(before, value)
    else:
        values[family][labels] = before + value
