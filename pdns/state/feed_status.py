"""What the feeds process tells everyone else: `<state>/feeds.json`, written by it alone, renamed into place."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pdns.files.safe_files import read_state


class SkippedLines(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of one feed that were passed over for one reason."""

    count: int
    examples: list[str] = []  # at most 3, "line 12: text" (or "entry 12: text"), text cut to 80 characters


class Finding(msgspec.Struct, frozen=True):
    """Why an update may not go live by itself."""

    kind: str  # shrink | growth | turnover | popularity | minimum | hold
    reason: str
    examples: list[str] = []  # names that it adds or takes away


class HeldUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """An update that waits for somebody to release or drop it."""

    finding: Finding
    since_s: float
    entries: int
    refreshes: int = 0  # how often the source said the like of it
    refreshes_wanted: int = 0  # it goes live by itself after so many, and 0: it needs an administrator
    persisted_s: float = 0.0  # for how long the source said so
    persist_s: float = 0.0  # for how long it must, for the update to go live by itself


class HeldNames(msgspec.Struct, frozen=True, kw_only=True):
    """Names and networks of one list that were taken out of what is live.

    Of each kind the first `MAX_HELD_NAMES` are in `names` and `refused_names`: name -> why.
    """

    held: int = 0  # wait for somebody to release or drop them
    refused: int = 0  # too popular: they cannot be released
    names: dict[str, str] = {}
    refused_names: dict[str, str] = {}
    kinds: dict[str, str] = {}  # of `names`: name -> kind (pdns.config.schema.GUARD_KINDS, or "order")


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One feed as it stands. Times are seconds since the epoch, 0 for never."""

    url: str
    category: str
    mode: str
    required: bool
    loaded: bool = False  # its names are in the live blockset
    format: str = ""  # as detected or named
    entries: int = 0  # names listed
    unique_entries: int = 0  # names that no other feed lists
    addresses: int = 0  # addresses and networks listed
    expired_entries: int = 0  # entries that were left out, for the publisher says that they are over
    last_attempt_s: float = 0.0
    last_success_s: float = 0.0  # last time the source answered with something usable (changed or not)
    last_changed_s: float = 0.0
    last_result: str = ""  # updated | unchanged | held | signature | outdated | error
    last_error: str = ""
    moved_to: str = ""  # where the source says that it is for good now: for `url`
    results: dict[str, int] = {}  # result -> how often since the process started
    odd: dict[str, SkippedLines] = {}  # reason -> lines passed over
    notes: list[str] = []  # how the list as a whole was read, where that is not what each line says
    held_update: HeldUpdate | None = None
    held_names: HeldNames = HeldNames()
    frozen: str = ""  # why every update of it is held, if an administrator said so
    disabled_until_s: float = 0.0
    disabled_reason: str = ""
    expired: bool = False  # its source was silent for too long: its names are no longer in force
    lost: bool = False  # its files are lost: its names stay in force as the blockset has them, until its source delivers

    @property
    def held(self) -> int:
        """How many things of it wait for somebody's decision."""
        return self.held_names.held + (self.held_update is not None)


class FeedsStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    written_s: float = 0.0
    generation: int = 0  # live blockset
    entries: int = 0
    build_s: float = 0.0  # how long the last compile took
    doing: str = ""  # what the feeds process is at, where that takes long: "writing 1,200,000 of 10,000,000 names"
    feeds: dict[str, FeedStatus] = {}
    indicators: dict[str, int] = {}  # block | allow -> local entries in force
    log_lines_dropped: int = 0  # by the feeds process, since it began
    notify_refused: dict[str, int] = {}  # reason -> NOTIFY messages that were not taken, since the process started


FILE_NAME = "feeds.json"
MAX_BYTES = 256 * 1024 * 1024
MAX_HELD_NAMES = 1000


def read(state_dir: Path) -> FeedsStatus | None:
    """The status last written, or None when there is none yet or it cannot be read."""
    try:
        return msgspec.json.decode(read_state(state_dir / FILE_NAME, MAX_BYTES), type=FeedsStatus)
    except (OSError, ValueError, RecursionError):
        return None
