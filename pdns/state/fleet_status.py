"""The status of this server in its fleet, `<state>/fleet/status.json`. Only the feeds process writes it.

Times are seconds since the epoch, 0 for never. Counts are since the feeds process started.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from pdns.files.safe_files import make_directory, read_state, write_whole

DIRECTORY: Final = "fleet"
FILE_NAME: Final = "status.json"
MAX_BYTES: Final = 16 * 1024 * 1024
MAX_NODES: Final = 1000
MISSING_AFTER_S: Final = 300.0  # without a heartbeat
POLL_RESULTS: Final = ("changed", "unchanged", "unreachable", "refused", "expired")
RELEASE_RESULTS: Final = ("applied", "refused", "failed")
PUBLISH_RESULTS: Final = ("published", "signed", "failed", "fenced")
RINGS: Final = ("first", "early", "all")
NODE_STATES: Final = ("current", "behind", "refused", "pinned", "missing")


class RefusedRelease(msgspec.Struct, frozen=True):
    """A release that this node went back from, or that it could not use."""

    number: int
    reason: str
    at_s: float = 0.0


class SeenNode(msgspec.Struct, frozen=True, kw_only=True):
    """What the last heartbeat of a node said."""

    node: str
    ring: str
    version: str = ""  # of the program
    written_s: float = 0.0
    release: int = 0
    since_s: float = 0.0  # since when `release` is in force
    sequence: int = 0
    compiled: str = ""
    refused: list[int] = []
    reason: str = ""  # why it refused the last of these
    queries: int = 0  # since `since_s`
    blocked: int = 0
    servfail: int = 0
    pinned: bool = False
    error: str = ""

    def state(self, ring_release: int, now_s: float) -> str:
        """One of `NODE_STATES`, where `ring_release` is what its ring should have."""
        if now_s - self.written_s > MISSING_AFTER_S:
            return "missing"
        if ring_release in self.refused:
            return "refused"
        if self.release == ring_release:
            return "current"
        return "pinned" if self.pinned else "behind"


class FleetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    role: str = ""
    written_s: float = 0.0
    # A node; `sequence`, `release`, `compiled_sha256`, the pointer, `last_error` and `pinned` also of a publisher.
    node: str = ""
    ring: str = ""
    sequence: int = 0  # of the newest pointer
    release: int = 0  # in force; of a publisher: the newest one
    wanted_release: int = 0  # of its ring, as the newest pointer says
    compiled_sha256: str = ""  # of its own compiled files
    pointer_issued_s: float = 0.0
    pointer_expires_s: float = 0.0
    last_poll_s: float = 0.0
    last_success_s: float = 0.0  # when the store last gave a pointer that is valid
    last_error: str = ""  # "" while the last poll or publication succeeded
    polls: dict[str, int] = {}  # of POLL_RESULTS
    bytes_total: int = 0  # received from the store
    releases: dict[str, int] = {}  # of RELEASE_RESULTS
    pinned: bool = False  # of a publisher: it promotes nothing
    pinned_reason: str = ""
    refused: list[RefusedRelease] = []
    compiled_differs: bool = False  # from what the release says
    bundle_error: str = ""  # why the policy of the release is not in force
    # A publisher.
    rings: dict[str, int] = {}  # ring -> its release
    nodes: list[SeenNode] = []  # at most MAX_NODES
    published: dict[str, int] = {}  # of PUBLISH_RESULTS
    fenced: bool = False  # another publisher writes to the store: this one has stopped
    last_published_s: float = 0.0

    @property
    def store_up(self) -> bool:
        """Whether the last poll or publication reached the store and was usable."""
        return self.last_poll_s > 0 and not self.last_error


def path(state_dir: Path) -> Path:
    return state_dir / DIRECTORY / FILE_NAME


def read(state_dir: Path) -> FleetStatus | None:
    """The last written status; None without a readable file."""
    try:
        return msgspec.json.decode(read_state(path(state_dir), MAX_BYTES), type=FleetStatus)
    except (OSError, ValueError, RecursionError):
        return None


def write(state_dir: Path, status: FleetStatus) -> None:
    """Replace the file. Raises `OSError`."""
    make_directory(state_dir / DIRECTORY, 0o750)
    write_whole(path(state_dir), msgspec.json.encode(status), synced=False)
