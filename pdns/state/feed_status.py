"""The status of the feeds, `<state>/feeds.json`. Only the feeds process writes it, and renames it into place."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pdns.files.safe_files import read_state

FORMAT = 1


class SkippedLines(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of one feed that were skipped for one reason."""

    count: int
    examples: list[str] = []  # at most 3, "line 12: text" (or "entry 12: text"), text cut to 80 characters


class HoldReason(msgspec.Struct, frozen=True):
    """Why an update may not go live by itself."""

    kind: str  # shrink | growth | turnover | popularity | minimum | hold
    reason: str
    examples: list[str] = []  # names that it adds or takes away


class HeldUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """An update that waits for an administrator to release or drop it."""

    finding: HoldReason
    since_s: float
    entries: int
    refreshes: int = 0  # refreshes that served such an update
    refreshes_wanted: int = 0  # it goes live by itself after so many, and 0: it needs an administrator
    persisted_s: float = 0.0  # for how long the source has served it
    persist_s: float = 0.0  # for how long it must, for the update to go live by itself


class HeldNames(msgspec.Struct, frozen=True, kw_only=True):
    """Names and networks of one list that were taken out of what is live.

    Of each kind the first `MAX_HELD_NAMES` are in `names` and `refused_names`: name -> why.
    """

    held: int = 0  # wait for an administrator to release or drop them
    refused: int = 0  # too popular: they cannot be released
    names: dict[str, str] = {}
    refused_names: dict[str, str] = {}
    kinds: dict[str, str] = {}  # of `names`: name -> kind (pdns.config.schema.GUARD_KINDS, or "order")


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The status of one feed. Times are seconds since the epoch, 0 for never."""

    url: str
    category: str
    mode: str
    required: bool
    loaded: bool = False  # its names are in the live blockset
    format: str = ""  # as detected or named
    entries: int = 0  # names listed
    unique_entries: int = 0  # names that no other feed lists
    addresses: int = 0  # addresses and networks listed
    expired_entries: int = 0  # entries left out because they have expired
    last_attempt_s: float = 0.0
    last_success_s: float = 0.0  # last time the source answered with something usable (changed or not)
    last_changed_s: float = 0.0
    last_result: str = ""  # updated | unchanged | held | signature | outdated | error
    last_error: str = ""
    moved_to: str = ""  # the new `url` after a permanent redirect
    results: dict[str, int] = {}  # result -> how often since the process started
    odd: dict[str, SkippedLines] = {}  # reason -> skipped lines
    notes: list[str] = []  # how the list as a whole was read, where a line alone does not show it
    held_update: HeldUpdate | None = None
    held_names: HeldNames = HeldNames()
    frozen: str = ""  # why every update of it is held by command
    disabled_until_s: float = 0.0
    disabled_reason: str = ""
    expired: bool = False  # no successful refresh within expire_after_s: its names are no longer blocked
    lost: bool = False  # its files are lost: its names stay blocked from the blockset until the source answers again

    @property
    def held(self) -> int:
        """The number of its updates, names and networks that wait to be released or dropped."""
        return self.held_names.held + (self.held_update is not None)


class PublishedZone(msgspec.Struct, frozen=True, kw_only=True):
    """A zone that is published for other resolvers. Counts are since the process started."""

    serial: int = 0  # 0: there is no version yet
    names: int = 0  # entries for names
    addresses: int = 0
    left_out: int = 0  # names that no policy zone can hold
    error: str = ""  # why there is no new version, or no transfer
    transfers: dict[str, int] = {}  # "axfr whole": kind and result -> transfers
    notified: dict[str, int] = {}  # answered | unanswered -> NOTIFY messages


class PublishStatus(msgspec.Struct, frozen=True, kw_only=True):
    """All published zones."""

    zones: dict[str, PublishedZone] = {}
    refused: dict[str, int] = {}  # reason -> requests and connections refused since the process started


class LiveUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """An update that adds names or networks, and has gone live."""

    feed: str
    generation: int  # of the first blockset that has it
    seen_boot_s: float  # when the fetcher first saw it, by `pdns.clock.boottime_s`


class FeedsStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    version: int = FORMAT

    written_s: float = 0.0
    generation: int = 0  # live blockset
    entries: int = 0
    build_s: float = 0.0  # how long the last compile took
    doing: str = ""  # progress of a long task: "writing 1,200,000 of 10,000,000 names"
    feeds: dict[str, FeedStatus] = {}
    indicators: dict[str, int] = {}  # block | allow -> local entries in force
    log_lines_dropped: int = 0  # by the feeds process, since it began
    published: PublishStatus = PublishStatus()
    notify_refused: dict[str, int] = {}  # reason -> NOTIFY messages refused since the process started
    updates: tuple[LiveUpdate, ...] = ()  # the latest, the oldest first, since the process started


FILE_NAME = "feeds.json"
MAX_BYTES = 256 * 1024 * 1024
MAX_HELD_NAMES = 1000


def read(state_dir: Path) -> FeedsStatus | None:
    """The last written status; None without a readable file, and where a later version of the program has written it."""
    try:
        status = msgspec.json.decode(read_state(state_dir / FILE_NAME, MAX_BYTES), type=FeedsStatus)
    except (OSError, ValueError, RecursionError):
        return None
    return status if status.version <= FORMAT else None
