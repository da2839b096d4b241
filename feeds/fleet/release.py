"""The documents of a fleet. Who signs them, and how they are kept in the object store, is in `docs/fleet.md`.

Times are seconds since the epoch. A hash is the SHA-256 in lower-case hexadecimal digits.
"""

from __future__ import annotations

import importlib
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from pdns.config.fleet_schema import NodeName
from pdns.errors import PdnsError
from pdns.state.fleet_status import RINGS
from pdns.state.overrides import Disabled, Indicator, Paused

FORMAT: Final = 1  # of all documents: a program that does not know it keeps what it has
MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
_PACKED: Final = b"\x28\xb5\x2f\xfd"  # begins a frame of Zstandard
_LEVEL: Final = 19
MAX_OBJECT_BYTES: Final = 256 * 1024 * 1024  # a node has it in memory
MAX_NUMBER: Final = 2**53 - 1  # of releases and pointers: all programs have such numbers exactly
MAX_TEXT_CHARACTERS: Final = 500
LATEST_S: Final = 253_402_214_400.0  # the last day that calendars here have: of 9999
MOST_REFUSED: Final = 50
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Count = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
Number = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
Seconds = Annotated[float, Meta(ge=0.0, le=LATEST_S)]  # since the epoch
FeedName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}\Z")]
RingName = Annotated[str, Meta(pattern=rf"^(?:{'|'.join(RINGS)})\Z")]
Text = Annotated[str, Meta(max_length=MAX_TEXT_CHARACTERS)]
_T = TypeVar("_T", bound="Release | Urgent | Heartbeat")


class BadDocument(PdnsError):
    """Bytes that are not the document that was expected, or one of another version of the program."""


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object of the store, and what unpacking it gives."""

    sha256: Sha256  # of the compressed bytes: its name
    bytes: Annotated[int, Meta(ge=0, le=MAX_OBJECT_BYTES)]  # compressed
    unpacked_bytes: Annotated[int, Meta(ge=0, le=16 * MAX_OBJECT_BYTES)]


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """The lines in which one text of a feed differs from another."""

    before: Sha256  # of the text that it changes
    after: Sha256  # of the text that it gives
    object: StoredObject


class FeedContent(msgspec.Struct, frozen=True, kw_only=True):
    """The entries of one feed in a release."""

    name: FeedName
    text: Sha256  # of the canonical text
    text_bytes: Count
    entries: Count
    seen_s: Seconds = 0.0  # when the publisher's fetcher began to receive what this text says
    full: StoredObject
    full_text: Sha256  # of the text that `full` gives
    deltas: list[Delta] = []  # oldest first; from `full_text` to `text`, and perhaps from before `full_text`


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that nodes of a ring block, and by which policy."""

    format: Annotated[int, Meta(ge=1)] = FORMAT
    number: Number  # rises with each release; a rollback has a number of its own
    created_s: Seconds  # what has expired by then is left out
    compiled: Sha256  # of the publisher's compiled files
    feeds: list[FeedContent]  # in the order in which they are compiled
    policy: StoredObject | None = None  # TOML; None: nodes have their own
    rolled_back_to: Count = 0  # the number of the release whose content this is; 0: it is new


class Urgent(msgspec.Struct, frozen=True, kw_only=True):
    """Kill switches and local entries. They are in force at once, on every ring, before and after any release."""

    format: Annotated[int, Meta(ge=1)] = FORMAT
    revision: Count = 0  # of the publisher's `overrides.json`
    disabled: dict[str, Disabled] = {}
    indicators: tuple[Indicator, ...] = ()
    paused: dict[str, Paused] = {}


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of itself. It serves as an inventory, and as a veto: it can only keep a release from the next ring."""

    format: Annotated[int, Meta(ge=1)] = FORMAT
    node: NodeName
    ring: RingName
    version: Text  # of the program
    written_s: Seconds
    release: Count = 0  # in force on every worker
    since_s: Seconds = 0.0  # since when
    sequence: Count = 0  # of the pointer that it has seen last
    compiled: Text = ""  # hash of its own compiled files
    refused: Annotated[list[Count], Meta(max_length=MOST_REFUSED)] = []  # releases that it went back from, the latest last
    reason: Text = ""  # why
    queries: Count = 0  # since `since_s`
    blocked: Count = 0
    servfail: Count = 0
    pinned: bool = False
    error: Text = ""


class _AnyFormat(msgspec.Struct):
    format: int = FORMAT


def encode(document: Release | Urgent | Heartbeat) -> bytes:
    """JSON; the same document always gives the same bytes."""
    return msgspec.json.encode(document, order="sorted")


def encode_small(release: Release) -> bytes:
    """The same, packed with Zstandard: it is a third as long, for most of it are hashes that are there twice. For the store."""
    compressor = importlib.import_module("zstandard").ZstdCompressor(level=_LEVEL)
    packed: bytes = compressor.compress(encode(release))
    return packed


def decode(data: bytes, kind: type[_T]) -> _T:
    """The document in `data`, packed or not. Raises `BadDocument`."""
    if data.startswith(_PACKED):
        data = _unpacked(data)
    if len(data) > MAX_DOCUMENT_BYTES:
        raise BadDocument(f"longer than {MAX_DOCUMENT_BYTES:,} bytes")
    try:
        if (found := msgspec.json.decode(data, type=_AnyFormat).format) != FORMAT:  # first: the rest may be of another shape
            raise BadDocument(f"has format {found}; this program knows format {FORMAT}")
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BadDocument(str(exc)) from None


def _unpacked(data: bytes) -> bytes:
    library = importlib.import_module("zstandard")
    try:
        size = library.frame_content_size(data)  # the library makes room for what the frame says
        if not 0 <= size <= MAX_DOCUMENT_BYTES:
            raise BadDocument(f"unpacks to more than {MAX_DOCUMENT_BYTES:,} bytes")
        unpacked: bytes = library.ZstdDecompressor().decompress(data)
    except library.ZstdError as exc:
        raise BadDocument(f"damaged: {exc}") from None
    return unpacked
