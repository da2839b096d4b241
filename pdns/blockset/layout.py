"""The files of a blockset: what their manifest says of them, and a copy of them in memory that never changes.

`docs/blockset-format.md` describes them. Nothing maps the files themselves: a mapping dies when its file is cut short.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final, Literal

import msgspec

from pdns.blockset.networks import Run
from pdns.core.listing import ListedAction
from pdns.errors import BlocksetError, OtherFormatError
from pdns.files.records import DamagedError, check_digest
from pdns.files.safe_files import open_state, read_state
from pdns.files.sealed import sealed_memory

FORMAT = 4
MANIFEST_FILE = "manifest.json"
BLOOM_FILE, NAMES_FILE, NETS_FILE = "bloom.bin", "names.bin", "nets.bin"
DATA_FILES = (BLOOM_FILE, NAMES_FILE, NETS_FILE)
_EARLIEST_FILES: Final = (BLOOM_FILE, "names.marisa", "records.bin", NETS_FILE)  # of manifests that do not say what is mapped
_LENGTH: Final = Struct("<Q")
_PAGE_BYTES: Final = 4096
_CHUNK_BYTES: Final = 1024 * 1024
_MAX_MANIFEST_BYTES: Final = 256 * 1024 * 1024


class FeedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One feed's part of a blockset."""

    name: str
    source: str  # `source_fingerprint` of the configuration it was made under
    category: str
    entries: int = 0  # names blocked
    unique_entries: int = 0  # names blocked that no other feed blocks
    exceptions: int = 0  # names allowed
    addresses: int = 0  # addresses and networks listed
    expired: int = 0  # entries of the list that were left out, for the publisher says that they are over


class FileEntry(msgspec.Struct, frozen=True):
    """One file of a blockset, as it was written."""

    size_bytes: int
    sha256: str


class ClientEntry(msgspec.Struct, frozen=True, array_like=True):
    """A network of clients that a feed has an action for."""

    feed: int  # index into `Manifest.feeds`
    network: str  # "192.0.2.0/24"
    action: int  # as in `Manifest.actions`, counted from 1


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`manifest.json`: what the other files hold, and how to tell that they still do."""

    format: int
    generation: int
    created_s: float
    entries: int  # names that at least one feed blocks
    names: int  # listed names in names.bin: blocked, allowed or both
    shallowest: Literal[0, 1, 2]  # labels of the shortest name, at most 2: decides what the Bloom filter is asked
    combinations: list[list[tuple[int, int]]]  # record -> (index into `feeds`, bits) of every feed that lists the name
    counts: list[int]  # names of each combination
    next_expiry_s: float = 0.0  # when the first of the names is to leave, seconds since the epoch; 0: none
    feeds: list[FeedEntry]
    runs: list[Run]  # longest prefix first
    files: dict[str, FileEntry]
    mapped: tuple[str, ...]  # of `files`, in the order in which they follow the manifest in memory
    actions: list[ListedAction] | msgspec.UnsetType = msgspec.UNSET  # that combinations name by number, counted from 1
    clients: list[ClientEntry] | msgspec.UnsetType = msgspec.UNSET  # networks of clients, in the order of the feeds


class _Named(msgspec.Struct, frozen=True):
    name: str


class _Contents(msgspec.Struct, frozen=True):
    """What manifests of every format say in the same way: enough to copy a blockset that only another version reads."""

    files: dict[str, FileEntry]
    feeds: list[_Named] = []
    mapped: tuple[str, ...] = _EARLIEST_FILES


def read_manifest(directory: Path) -> Manifest:
    """The manifest of the blockset in `directory`. Raises `BlocksetError`."""
    return _manifest(_read_manifest(directory), directory / MANIFEST_FILE)


def feeds_in(directory: Path) -> list[str]:
    """The feeds of the blockset in `directory`, of whatever format it is. Raises `BlocksetError`."""
    return [feed.name for feed in _contents(_read_manifest(directory), directory / MANIFEST_FILE).feeds]


def copy_to_memory(directory: Path) -> int:
    """A descriptor of sealed memory that holds the blockset in `directory` as its manifest describes it, for `Blockset.map`.

    Whatever its format is: a supervisor hands blocksets to workers of a later version. Reads every byte once and compares each
    SHA-256: some 15 ms a million names. Raises `BlocksetError`.
    """
    directory = directory.resolve()  # `current` may move on while the files are read
    raw = _read_manifest(directory)
    contents = _contents(raw, directory / MANIFEST_FILE)

    def parts() -> Iterator[bytes]:
        yield _LENGTH.pack(len(raw)) + raw + bytes(-(len(raw) + _LENGTH.size) % _PAGE_BYTES)
        for name in contents.mapped:
            yield from _checked(directory / name, contents.files[name])
            yield bytes(-contents.files[name].size_bytes % _PAGE_BYTES)

    try:
        return sealed_memory("pdns-blockset", parts())
    except OSError as exc:
        raise BlocksetError(f"{directory}: no memory for it: {exc.strerror}") from None


def _read_manifest(directory: Path) -> bytes:
    path = directory / MANIFEST_FILE
    try:
        raw = read_state(path, _MAX_MANIFEST_BYTES)
        check_digest(raw)
    except OSError as exc:
        raise BlocksetError(f"{path}: {exc.strerror}") from None
    except DamagedError as exc:
        raise BlocksetError(f"{path}: {exc}") from None
    return raw


def _contents(raw: bytes, path: Path) -> _Contents:
    try:
        contents = msgspec.json.decode(raw, type=_Contents)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BlocksetError(f"{path}: {exc}") from None
    for name in contents.mapped:
        if name not in contents.files or name != Path(name).name:
            raise BlocksetError(f"{path}: says nothing of {name}")
    return contents


def _manifest(raw: bytes, path: Path) -> Manifest:
    try:
        head = msgspec.json.decode(raw)
        written_as = head.get("format") if isinstance(head, dict) else None
        if written_as != FORMAT:
            kind = OtherFormatError if isinstance(written_as, int) else BlocksetError
            raise kind(f"{path}: not a blockset of format {FORMAT}: its format is {written_as!r}")
        manifest = msgspec.convert(head, Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BlocksetError(f"{path}: {exc}") from None
    for name in DATA_FILES:
        if name not in manifest.files or name not in manifest.mapped:
            raise BlocksetError(f"{path}: says nothing of {name}")
    return manifest


def read_checked(path: Path, expected: FileEntry) -> bytes:
    """The content of one file of a blockset. Raises `BlocksetError` when it is not what the manifest says."""
    return b"".join(_checked(path, expected))


def _checked(path: Path, expected: FileEntry) -> Iterator[bytes]:
    """The content of a file, in pieces. Raises `BlocksetError` when it is not what the manifest says."""
    digest, left = hashlib.sha256(), expected.size_bytes
    try:
        with open_state(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size != left:
                raise BlocksetError(f"{path}: {size} bytes where {left} are announced")
            while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
                left -= len(chunk)
                digest.update(chunk)
                yield chunk
    except OSError as exc:
        raise BlocksetError(f"{path}: {exc.strerror}") from None
    if left or digest.hexdigest() != expected.sha256:
        raise BlocksetError(f"{path}: its SHA-256 is not the announced one")


def map_copy(fd: int, directory: Path) -> tuple[Manifest, dict[str, memoryview]]:
    """What `copy_to_memory` put behind `fd`: the manifest, and the content of each file. Raises `BlocksetError`."""
    try:
        memory = memoryview(mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ))
    except (OSError, ValueError) as exc:
        raise BlocksetError(f"{directory}: its copy in memory cannot be mapped: {exc}") from None
    (size,) = _LENGTH.unpack_from(memory)
    start, end = _LENGTH.size, _LENGTH.size + size
    manifest = _manifest(bytes(memory[start:end]), directory / MANIFEST_FILE)
    files = {}
    for name in manifest.mapped:
        start = end + -end % _PAGE_BYTES
        end = start + manifest.files[name].size_bytes
        files[name] = memory[start:end]
    return manifest, files
