"""`<state>/cases.jsonl`: what was blocked lately, by case reference (`pdns.core.case`).

Only the supervisor writes it, within a second of a block. A line is `[time, policy, feed, name]`, the time in seconds since the
epoch: the first line of a case is when it was first met, the last when it was last met, within ten minutes. No client is in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from pdns.core.case import reference
from pdns.errors import InvalidName
from pdns.files.safe_files import appearance, append, read_bounded, write_whole
from pdns.wire import names

FILE_NAME: Final = "cases.jsonl"
WRITE_EVERY_S: Final = 0.5
MAX_CASES: Final = 50_000  # those not met for longest are forgotten
MAX_LINES: Final = 2 * MAX_CASES + 1000  # then the file is written anew
MAX_BYTES: Final = 128 * 1024 * 1024
REPEATED_AFTER_S: Final = 600.0
_LATEST_S: Final = 253_402_300_799.0  # the year 9999
_MODE: Final = 0o640

_Line = tuple[float, str, str, str]
_Key = tuple[str, str, bytes]  # policy, feed, listed name
_Met = tuple[_Key, float]


class Case(NamedTuple):
    """One block. Times are seconds since the epoch."""

    reference: str
    listed: bytes  # wire form: the name that is listed, or that leads to a listed address
    feed: str
    policy: str
    first_s: float
    last_s: float


def find(state_dir: Path, case: str) -> list[Case]:
    """What has the reference `case`, in canonical spelling, the one met last first. More than one: their hashes collide.

    Raises `OSError` for a file that cannot be read.
    """
    found = [
        Case(case, listed, feed, policy, first_s, last_s)
        for (policy, feed, listed), (first_s, last_s) in _read(state_dir / FILE_NAME).items()
        if reference(listed, feed, policy) == case
    ]
    return sorted(found, key=lambda one: -one.last_s)


class CaseBook:
    """The only writer. `now_s`: seconds since the epoch."""

    def __init__(self, state_dir: Path) -> None:
        """Continues from the content of the file."""
        self._path = state_dir / FILE_NAME
        self._cases: dict[_Key, tuple[float, float]] = {}
        self._new: list[_Met] = []
        self._lines = MAX_LINES  # the first write replaces the file
        self._written: tuple[int, ...] = ()  # the file as this object left it
        self._is_owed = False  # a write failed, or none was possible for long
        with suppress(OSError):
            self._cases = _read(self._path)
        self._forget()

    @property
    def has_news(self) -> bool:
        return self._is_owed or bool(self._new)

    def saw(self, policy: str, feed: str, listed: bytes, now_s: float) -> None:
        """`listed`, in wire form, was blocked. Anything else than a name in lower case is left out."""
        key = policy, feed, listed
        if key not in self._cases and not _is_name(listed):
            return
        first_s, last_s = self._cases.pop(key, (now_s, -math.inf))
        is_news = not 0.0 <= now_s - last_s < REPEATED_AFTER_S
        self._cases[key] = first_s, now_s if is_news else last_s
        if is_news:
            self._new.append((key, now_s))
        if len(self._new) > MAX_LINES:
            self.failed()
        if len(self._cases) > MAX_CASES + MAX_CASES // 10:
            self._forget()

    def take(self) -> tuple[list[_Met], bool]:
        """What is to be written now; and whether that is the whole file, as also after somebody else changed it."""
        is_damaged = appearance(self._path) != self._written
        is_whole = is_damaged or self._is_owed or self._lines + len(self._new) > MAX_LINES
        met = list(self._all()) if is_whole else self._new
        self._lines = len(met) + (0 if is_whole else self._lines)
        self._new, self._is_owed = [], False
        return met, is_whole

    def write(self, met: list[_Met], *, is_whole: bool) -> None:
        """Write what `take` gave, in any thread. Raises `OSError`."""
        lines = b"".join(_line(key, time_s) for key, time_s in met)
        if is_whole:
            write_whole(self._path, lines, mode=_MODE, synced=False)
        else:
            append(self._path, lines, _MODE, synced=False)
        self._written = appearance(self._path)

    def failed(self) -> None:
        """The last write failed: the next one replaces the file."""
        self._new, self._is_owed = [], True

    def _all(self) -> Iterator[_Met]:
        for key, (first_s, last_s) in self._cases.items():
            yield key, first_s
            if last_s != first_s:
                yield key, last_s

    def _forget(self) -> None:
        for key in list(self._cases)[: max(0, len(self._cases) - MAX_CASES)]:
            del self._cases[key]


def _is_name(listed: bytes) -> bool:
    """It comes from the memory of a worker, which may contain anything."""
    try:
        return names.from_text(names.to_text(listed)) == listed
    except (IndexError, InvalidName):
        return False


def _line(key: _Key, time_s: float) -> bytes:
    policy, feed, listed = key
    return msgspec.json.encode((round(time_s), policy, feed, names.to_text(listed))) + b"\n"


def _read(path: Path) -> dict[_Key, tuple[float, float]]:
    """The cases of the file, the one met last at the end. Damaged lines are left out. Raises `OSError`."""
    try:
        raw = read_bounded(path, MAX_BYTES)
    except FileNotFoundError:
        return {}
    cases: dict[_Key, tuple[float, float]] = {}
    decoder = msgspec.json.Decoder(_Line)
    for line in raw.splitlines():
        try:
            time_s, policy, feed, name = decoder.decode(line)
            key = policy, feed, names.from_text(name)
        except (ValueError, RecursionError, InvalidName):
            continue
        if not 0.0 <= time_s <= _LATEST_S:
            continue
        first_s, _ = cases.pop(key, (time_s, time_s))
        cases[key] = first_s, time_s
    return cases
