"""How commands of administrators reach the feeds process, and their answers return: files in `<state>/requests/`.

A command is written to a temporary file and renamed to `<time>-<process>-<number>.order`. Its answer appears as `.answer`; the
caller removes it. The command line and the HTTP API both use this, so that a single process makes the changes.
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

from pdns.errors import PdnsError
from pdns.files.safe_files import make_directory, read_state, remove, write_whole
from pdns.free_text import FreeTextError, accepted, visible
from pdns.state import in_force
from pdns.state.in_force import InForce

DIRECTORY: Final = "requests"
ORDER_SUFFIX: Final = ".order"
ANSWER_SUFFIX: Final = ".answer"
TIMEOUT_S: Final = 60.0
UNANSWERED_FOR_S: Final = 600.0  # after this, the caller of an answer has gone
MAX_REASON_CHARACTERS: Final = 200
MAX_FOR_DAYS: Final = 366
MAX_FOR_S: Final = MAX_FOR_DAYS * 86400.0
MAX_TAKEN: Final = 1000  # commands read at a time
MAX_BYTES: Final = 64 * 1024  # of a command
MAX_ANSWER_BYTES: Final = 1024 * 1024
IN_FORCE_S: Final = 5.0  # from the answer until every worker should have taken the change up
POLL_S: Final = 0.02
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([smhdw]?)")
_UNIT_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TOO_LONG: Final = f"expected at most {MAX_FOR_DAYS} days"
_MAX_CHARACTERS: Final = {
    "user": 100,
    "feed": 64,
    "name": 1024,
    "reason": MAX_REASON_CHARACTERS,
    "category": 64,
    "kind": 64,
    "tenant": 64,
    "sink": 64,
    "ring": 16,
    "device": 64,
    "credential": 80,
}
_numbers = itertools.count()

CommandName = Literal[
    "hold", "release", "drop", "disable", "enable", "block", "allow", "remove", "pause", "resume", "tap", "untap", "close",
    "enroll", "revoke",
    "fleet-promote", "fleet-rollback", "fleet-pin", "fleet-unpin", "fleet-take-over",
]  # fmt: skip


class CommandError(PdnsError):
    """A command that could not be sent or was not answered."""


class LaterCommandError(CommandError):
    """A command that this version of the program does not know, or with fields that may restrict it."""


class InvalidCommand(CommandError, ValueError):
    """A command with a text or time out of bounds, from whatever source."""


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One command. `for_s` 0: without end. `all`, `category` and `kind` select what is released, in `feed` or in all feeds."""

    command: CommandName
    user: str
    feed: str = ""
    name: str = ""
    reason: str = ""
    for_s: float = 0.0
    all: bool = False
    category: str = ""
    kind: str = ""  # of pdns.config.schema.GUARD_KINDS, or "order"
    force: bool = False  # accept a name that affects more names than is usually meant
    tenant: str = (
        ""  # for whom a name is blocked or allowed, "" for everyone; or who is paused or tapped. The caller knows that it exists
    )
    sink: str = ""  # where queries of a tapped tenant go. The caller knows that it exists, and its kind
    report: int = 0  # the number of the report of a mistake that is closed
    fleet_release: int = 0  # the number of the release of a fleet that is promoted or rolled back to
    ring: str = ""  # to which it is promoted
    device: str = ""  # whose credential is enrolled or revoked, as administrators call it
    credential: str = ""  # "token:" or "certificate:" with the SHA-256 that is enrolled; or the ID of what is revoked

    @property
    def is_bulk(self) -> bool:
        return self.all or bool(self.category or self.kind)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result for the caller, and what every worker must have taken up before the command counts as done.

    `done` is also false for a change that was recorded but is not in force everywhere.
    """

    done: bool
    text: str
    wanted: InForce = InForce()
    needs_force: bool = False  # refused, and accepted with `Command.force`


def checked(wanted: Command) -> Command:
    """`wanted` with its texts as they will be kept. Raises `InvalidCommand` for texts and times that are out of bounds.

    The command line, the API and the feeds process all call this, so the bounds are the same everywhere.
    """
    try:
        texts = {field: accepted(field, getattr(wanted, field), most) for field, most in _MAX_CHARACTERS.items()}
    except FreeTextError as error:
        raise InvalidCommand(str(error)) from None
    if not 0 <= wanted.for_s <= MAX_FOR_S:
        raise InvalidCommand(_TOO_LONG)
    return msgspec.structs.replace(wanted, **texts)


def showable(refused: Command) -> Command:
    """A refused command as the audit log shows it: within all bounds."""
    texts = {field: visible(getattr(refused, field), most) for field, most in _MAX_CHARACTERS.items()}
    return msgspec.structs.replace(refused, **texts, for_s=min(max(refused.for_s, 0.0), MAX_FOR_S))


def parse_duration(text: str) -> float:
    """The seconds that `90`, `90s`, `30m`, `2h`, `7d` or `1w` stand for, at most `MAX_FOR_S`. Raises `ValueError`."""
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None or not float(found[1]):
        raise ValueError(f'"{visible(text, 40)}" is not a length of time: write 30m, 2h, 7d or 1w')
    seconds = float(found[1]) * _UNIT_S[found[2]]
    if seconds > MAX_FOR_S:
        raise ValueError(_TOO_LONG)
    return seconds


def execute(state_dir: Path, wanted: Command, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Have the running resolver carry out `wanted`, and wait until the change is in force in every worker.

    Raises `CommandError` (`InvalidCommand` before anything is done), and `OSError` when it cannot be sent.
    """
    command = PendingCommand(state_dir, wanted, timeout_s)
    while (outcome := command.outcome()) is None:
        time.sleep(POLL_S)
    return outcome


class PendingCommand:
    """A command that was sent to the running resolver. No call waits for anything but the disk."""

    def __init__(self, state_dir: Path, wanted: Command, timeout_s: float = TIMEOUT_S) -> None:
        """Sends it. Raises `InvalidCommand`, and `OSError` when it cannot be sent."""
        wanted = checked(wanted)
        self._state_dir = state_dir
        self._timeout_s = timeout_s
        directory = state_dir / DIRECTORY
        make_directory(directory, 0o750)
        self._path = directory / f"{time.time_ns()}-{os.getpid()}-{next(_numbers)}{ORDER_SUFFIX}"
        write_whole(self._path, msgspec.json.encode(wanted), synced=False)
        self._give_up_s = time.monotonic() + timeout_s
        self._answer: Outcome | None = None

    def outcome(self) -> Outcome | None:
        """The outcome, once it is in force in every worker; None until then. Raises `CommandError` when time is up."""
        now_s = time.monotonic()
        if self._answer is None:
            self._answer = self._read_answer()
            if self._answer is None:
                if now_s > self._give_up_s:
                    self._take_back()
                return None
            self._give_up_s = now_s + IN_FORCE_S
        if not self._answer.done or in_force.read(self._state_dir).covers(self._answer.wanted):
            return self._answer
        if now_s <= self._give_up_s:
            return None
        text = f"{self._answer.text}; not every worker has taken it up within {IN_FORCE_S:g} s: see /readyz and the log"
        return msgspec.structs.replace(self._answer, done=False, text=text)

    def _read_answer(self) -> Outcome | None:
        path = self._path.with_suffix(ANSWER_SUFFIX)
        try:
            answer = msgspec.json.decode(read_state(path, MAX_ANSWER_BYTES), type=Outcome)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise CommandError(f"the answer cannot be read: {path}: {exc.strerror}") from None
        except (ValueError, RecursionError) as exc:
            raise CommandError(f"the answer is damaged: {path}: {exc}") from None
        path.unlink(missing_ok=True)
        return answer

    def _take_back(self) -> NoReturn:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        reason = f"no answer within {self._timeout_s:g} s: is the feeds process alive? See the log"
        raise CommandError(reason)


def taken(state_dir: Path) -> list[Path]:
    """Files of waiting commands, the oldest first, at most `MAX_TAKEN`. Removes answers that were not fetched in time."""
    waiting: list[Path] = []
    with suppress(OSError), os.scandir(state_dir / DIRECTORY) as entries:
        for entry in entries:
            if entry.name.endswith(ORDER_SUFFIX):
                waiting.append(Path(entry.path))
                if len(waiting) == MAX_TAKEN:
                    break
            elif entry.name.endswith(ANSWER_SUFFIX):
                with suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime < time.time() - UNANSWERED_FOR_S:
                        remove(Path(entry.path))
    return sorted(waiting)


def read(path: Path) -> Command:
    """The command in a file that `taken` returned. Never waits.

    Raises `LaterCommandError`, another `CommandError` for a file that holds no command, and `OSError`: `FileNotFoundError` when
    the command was taken back, another one when there is no regular file of at most `MAX_BYTES`.
    """
    raw = read_state(path, MAX_BYTES)
    try:
        msgspec.json.decode(raw)  # first: what is not JSON at all is of no version
        return msgspec.json.decode(raw, type=Command)
    except msgspec.ValidationError as exc:
        is_later = "unknown field" in str(exc) or str(exc).endswith("`$.command`")
        kind = LaterCommandError if is_later else CommandError
        raise kind(str(exc)) from None
    except (ValueError, RecursionError) as exc:
        raise CommandError(str(exc)) from None


def answer(path: Path, outcome: Outcome) -> None:
    """Write the answer to the command in `path`, and remove the command. Raises `OSError`."""
    write_whole(path.with_suffix(ANSWER_SUFFIX), msgspec.json.encode(outcome), synced=False)
    path.unlink(missing_ok=True)
