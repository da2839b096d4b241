"""A file of commands, as a process that decides by it uses it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pdns.files.safe_files import appearance

Rules = TypeVar("Rules")
_Rules_co = TypeVar("_Rules_co", covariant=True)


class TimedEntries(Protocol[_Rules_co]):
    """The content of such a file: entries that may end."""

    @property
    def revision(self) -> int: ...
    def next_end_s(self, now_s: float) -> float: ...
    def rules(self, now_s: float) -> _Rules_co: ...


class RulesWatch(Generic[Rules]):
    """The file at `path`: checked often, read when it was replaced, an entry ends or the clock is set back."""

    def __init__(self, path: Path, read: Callable[[Path], TimedEntries[Rules]], empty: TimedEntries[Rules]) -> None:
        """`read` is given the directory of the file; `empty` is in force until the first `load`."""
        self._path, self._read = path, read
        self._version: tuple[int, ...] = (-1,)  # none: without the file, its second copy is read
        self._entries = empty
        self._loaded_s, self._end_s = -math.inf, math.inf

    @property
    def revision(self) -> int:
        """The revision of the file that was read last."""
        return self._entries.revision

    def is_due(self, now_s: float) -> bool:
        """Whether `load` would return another result than the last time. Costs one stat()."""
        return not self._loaded_s <= now_s < self._end_s or appearance(self._path) != self._version

    def load(self, now_s: float) -> Rules:
        """The rules in force. Raises `OSError` or `DamagedError` once for each unusable file."""
        if (version := appearance(self._path)) != self._version:
            self._version = version
            self._entries = self._read(self._path.parent)
        self._loaded_s, self._end_s = now_s, self._entries.next_end_s(now_s)
        return self._entries.rules(now_s)
