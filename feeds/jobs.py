"""What the long-lived process and its short-lived children say to each other: one job in, one result out, as JSON."""

from __future__ import annotations

import msgspec

from feeds.fleet.release import StoredObject
from feeds.protected_names import Decided, Protection
from feeds.publish.zone_file import ZoneTail
from feeds.update_limits import Change, UpdateLimits
from pdns.blockset.layout import FeedEntry
from pdns.config.schema import Feed
from pdns.state.feed_status import HeldNames, HoldReason, SkippedLines


class Parse(msgspec.Struct, frozen=True, tag=True):
    """Read the list in `raw`, write its entries to `parsed`, and have both on the disk before answering."""

    feed: Feed
    raw: str
    parsed: str
    before: str = ""  # entries of the copy before, if any: to compare with, and for what is known of them
    now_s: float = 0.0  # first day of what is new
    seen_s: float = 0.0  # when the copy before was last what the source says
    entries_before: int | None = None  # names and networks of the copy that this may take the place of
    limits: UpdateLimits | None = None  # None: whatever it lists is fine
    popularity: str = ""  # path of the list of popular names that those which are new are compared with; "": none
    packed: bool = False  # `raw` is the files of a directory, as `feeds.pack` has them


class Parsed(msgspec.Struct, frozen=True, tag=True):
    """A list that is fit to be used: it has at least one entry."""

    format: str
    lines: int
    entries: int
    addresses: int
    odd: dict[str, SkippedLines]
    added: int | None  # names that were not in `before`; None when there was none
    removed: int | None  # names that only were there
    change: Change  # how it differs from the copy that it may take the place of
    notes: list[str] = []  # how the list as a whole was read
    finding: HoldReason | None = None  # why it may not take the place of the copy before by itself


class Part(msgspec.Struct, frozen=True):
    """One feed's share of a blockset."""

    feed: Feed
    parsed: str  # "": its files are lost
    decided: Decided = Decided()
    blockset: str = ""  # directory of a blockset that has its entries: they are taken from there


class Compile(msgspec.Struct, frozen=True, tag=True):
    """Make one blockset of all `parts` in the new directory `directory`, and have it on the disk before answering."""

    directory: str
    generation: int
    created_s: float
    parts: list[Part]
    protection: Protection = Protection()


class Compiled(msgspec.Struct, frozen=True, tag=True):
    """A blockset that only waits to be published."""

    entries: int
    feeds: list[FeedEntry]
    held: dict[str, HeldNames] = {}  # feed -> what was taken out of it
    next_expiry_s: float = 0.0  # when the first name in it is to leave; 0: none


class PublishJob(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Make the next version of a published zone, in files of the directory `directory`."""

    directory: str
    zone: str
    serial: int  # of the version, if it differs from the one before
    settings: str
    blockset: str  # directory; "": no lists
    feeds: list[str]  # those that block, for this zone
    given: list[str] = []  # those of them whose own answers count
    layers: list[list[tuple[bytes, bool, int]]]  # `feeds.publish.verdicts.LayerEntry`; the first that decides counts
    addresses: bool
    action: str
    sinkhole: list[str]
    ttl_s: int
    refresh_s: int
    expire_s: int
    before: str = ""  # the version before
    text: bool = False  # as a file too
    has_text: bool = False  # there is one of the version before


class Published(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A version that only waits to be served."""

    changed: bool
    removed: int | None  # records; None: the one before is not known
    added: int | None
    tail: ZoneTail


class ExportFeed(msgspec.Struct, frozen=True, kw_only=True):
    """A feed whose text is to be written, and what its text was before."""

    name: str
    before: str = ""  # path of the text before; "": none
    before_sha256: str = ""
    most_delta_bytes: int = 0  # packed; above that, the whole text is packed as well. 0: always


class ExportJob(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Write what a blockset lists for some feeds as texts, in files of the directory `directory`."""

    directory: str
    blockset: str  # directory
    feeds: list[ExportFeed]


class ExportedFeed(msgspec.Struct, frozen=True, kw_only=True):
    """The text of a feed, and what it is packed as: `NAME.text`, `NAME.full` and `NAME.delta` in the directory of the job."""

    name: str
    text: str  # SHA-256
    text_bytes: int
    entries: int
    changed: bool = True  # if not, there are no files
    full: StoredObject | None = None
    delta: StoredObject | None = None


class Exported(msgspec.Struct, frozen=True, tag=True):
    """Texts that only wait to be published."""

    feeds: list[ExportedFeed]
    compiled: str  # `pdns.blockset.canonical.content_hash` of the blockset


class Progress(msgspec.Struct, frozen=True, tag=True):
    """How far it is; any number of them come before the result."""

    doing: str
    done: int
    total: int  # 0: unknown


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A job that came to nothing; nothing was changed."""

    reason: str
    unusable: bool = False  # the list itself is to blame, not this machine
    stopped: bool = False  # it took more than it may (`feeds.allowance`)
    damaged: tuple[str, ...] = ()  # feeds whose file of parsed entries cannot be read


Job = Parse | Compile | PublishJob | ExportJob
Result = Parsed | Compiled | Published | Exported | Failed
Said = Result | Progress
