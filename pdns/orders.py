"""How an administrator's order reaches the feeds process, and its answer the administrator: files in `<state>/requests/`.

One is written beside its place and renamed to `<time>-<process>-<number>.order`; the answer appears as `.answer`, and who asked
removes it. Command line and HTTP API come this way, so that one process writes what they change.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NoReturn

import msgspec

from pdns import inforce
from pdns.errors import PdnsError
from pdns.inforce import InForce
from pdns.safefiles import make_directory, write_whole

DIRECTORY: Final = "requests"
ORDER_SUFFIX: Final = ".order"
ANSWER_SUFFIX: Final = ".answer"
TIMEOUT_S: Final = 60.0
UNANSWERED_FOR_S: Final = 600.0  # who asked so long ago has gone
MAX_REASON_CHARACTERS: Final = 200
IN_FORCE_S: Final = 5.0  # from its answer until every worker should have taken it up
POLL_S: Final = 0.02
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([smhdw]?)")
_UNIT_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_numbers = itertools.count()

Command = Literal["hold", "release", "drop", "disable", "enable", "block", "allow", "remove"]


class OrderError(PdnsError):
    """An order that could not be given or was not answered."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done. `for_s` 0: for good. `all`, `category` and `kind` release what they select, of `feed` or of all."""

    command: Command
    user: str
    feed: str = ""
    name: str = ""
    reason: str = ""
    for_s: float = 0.0
    all: bool = False
    category: str = ""
    kind: str = ""  # of pdns.config.GUARD_KINDS, or "order"

    @property
    def is_bulk(self) -> bool:
        return self.all or bool(self.category or self.kind)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it, in words, and what must be in force everywhere before anyone is told that it is done."""

    done: bool
    text: str
    wanted: InForce = InForce()


def parse_duration(text: str) -> float:
    """The seconds that `90`, `90s`, `30m`, `2h`, `7d` or `1w` stand for. Raises `ValueError`."""
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None or not float(found[1]):
        raise ValueError(f'"{text}" is no length of time: write 30m, 2h, 7d or 1w')
    return float(found[1]) * _UNIT_S[found[2]]


def give(state_dir: Path, order: Order, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Have `order` carried out by the running resolver, and wait until what it changes is in force in every worker.

    Raises `OrderError`, and `OSError` when it may not be given.
    """
    command = PendingCommand(state_dir, order, timeout_s)
    while (outcome := command.outcome()) is None:
        time.sleep(POLL_S)
    return outcome


class PendingCommand:
    """An order that was given to the running resolver. No call waits for anything but the disk."""

    def __init__(self, state_dir: Path, order: Order, timeout_s: float = TIMEOUT_S) -> None:
        """Gives it. Raises `OSError` when it may not be given."""
        self._state_dir = state_dir
        self._timeout_s = timeout_s
        directory = state_dir / DIRECTORY
        make_directory(directory, 0o750)
        self._path = directory / f"{time.time_ns()}-{os.getpid()}-{next(_numbers)}{ORDER_SUFFIX}"
        write_whole(self._path, msgspec.json.encode(order), synced=False)
        self._give_up_s = time.monotonic() + timeout_s
        self._answer: Outcome | None = None

    def outcome(self) -> Outcome | None:
        """What came of it, once that is in force in every worker; None until then. Raises `OrderError` when time is up."""
        now_s = time.monotonic()
        if self._answer is None:
            self._answer = self._read_answer()
            if self._answer is None:
                if now_s > self._give_up_s:
                    self._take_back()
                return None
            self._give_up_s = now_s + IN_FORCE_S
        if not self._answer.done or inforce.read(self._state_dir).covers(self._answer.wanted):
            return self._answer
        if now_s <= self._give_up_s:
            return None
        text = f"{self._answer.text}; not every worker has taken it up within {IN_FORCE_S:g} s: see /readyz and the log"
        return msgspec.structs.replace(self._answer, text=text)

    def _read_answer(self) -> Outcome | None:
        path = self._path.with_suffix(ANSWER_SUFFIX)
        try:
            said = path.read_bytes()
        except FileNotFoundError:
            return None
        path.unlink(missing_ok=True)
        return msgspec.json.decode(said, type=Outcome)

    def _take_back(self) -> NoReturn:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        reason = f"no answer within {self._timeout_s:g} s: is the feeds process alive? The log says what it is at"
        raise OrderError(reason)


def taken(state_dir: Path) -> list[Path]:
    """The orders that wait, the oldest first. Removes answers that nobody fetched."""
    waiting = []
    with suppress(OSError), os.scandir(state_dir / DIRECTORY) as entries:
        for entry in entries:
            if entry.name.endswith(ORDER_SUFFIX):
                waiting.append(Path(entry.path))
            elif entry.name.endswith(ANSWER_SUFFIX):
                with suppress(OSError):
                    if entry.stat().st_mtime < time.time() - UNANSWERED_FOR_S:
                        Path(entry.path).unlink(missing_ok=True)
    return sorted(waiting)


def read(path: Path) -> Order | None:
    """The order in a file that `taken` named; None for one that nobody understands, or that was taken back."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Order)
    except (OSError, msgspec.DecodeError):
        return None


def answer(path: Path, outcome: Outcome) -> None:
    """Tell who gave the order in `path` what came of it, and have it out of the way. Raises `OSError`."""
    write_whole(path.with_suffix(ANSWER_SUFFIX), msgspec.json.encode(outcome), synced=False)
    path.unlink(missing_ok=True)
