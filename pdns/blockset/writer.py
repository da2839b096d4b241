"""Writing blocksets. The format, and reading them, are in `pdns.blockset.reader`; `docs/blockset-format.md` describes every
file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from struct import pack
from typing import Literal, NamedTuple, Protocol

import msgspec

from pdns.blockset.annotations import FACT_CODES, FACT_TABLE_FILE, FACTS_FILE, AnnotationTable, PublisherAnnotation
from pdns.blockset.canonical import canonical_numbers
from pdns.blockset.generations import sync
from pdns.blockset.layout import (
    BLOOM_FILE,
    DATA_FILES,
    FORMAT,
    MANIFEST_FILE,
    NAMES_FILE,
    NETS_FILE,
    ClientEntry,
    FeedEntry,
    FileEntry,
    Manifest,
)
from pdns.blockset.name_writer import NamesMaker, Stretches, write_names
from pdns.blockset.networks import Run
from pdns.blockset.spool import BloomWriter, NameSpool
from pdns.core.listing import BLOCK_SUBTREE, ListedAction
from pdns.errors import BlocksetError
from pdns.files import safe_files
from pdns.files.pieces import write_in_pieces
from pdns.files.records import encode

SPOOL_FILE = "spool"
_TIMES_READ = 4  # names: once for the filter, three times for their table


class Contents(Protocol):
    """What the numbers of names and networks stand for. It grows while the names are gone through."""

    @property
    def combinations(self) -> Sequence[Sequence[tuple[int, int]]]:
        """Each (index of a feed, BLOCK_* and ALLOW_* bits) of all feeds that list a name. The bits may be `with_actions`."""
        ...

    @property
    def rows(self) -> Sequence[tuple[int, Sequence[tuple[int, int]]]]:
        """By number: a combination, and for each of its feeds the first day and the detail, counted from 1."""
        ...

    @property
    def details(self) -> Sequence[Sequence[PublisherAnnotation]]:
        """What each feed's details are."""
        ...

    @property
    def actions(self) -> Sequence[ListedAction]:
        """What the numbers of actions stand for, from 1 on."""
        ...

    @property
    def clients(self) -> Sequence[ClientEntry]:
        """The clients that feeds list."""
        ...


def write(
    directory: Path,
    *,
    generation: int,
    created_s: float,
    names: Iterable[tuple[list[bytes], list[int]]],
    networks: Mapping[bytes, int],
    contents: Contents,
    feeds: Callable[[Sequence[int]], Sequence[FeedEntry]],
    progress: Callable[[str, int, int], None] = lambda *_: None,
    make_names: NamesMaker = write_names,
) -> Manifest:
    """Write a blockset and rename it to `directory`, which must not exist, when every byte is on the disk.

    `names`: stretches of sorted reversed keys, and the number of each in `contents`; gone through once. Whether they
    are ever held as a whole is up to `make_names`. `networks`: address bytes and one byte of prefix length -> the same kind of
    number. `feeds` is called at the end with the names of each combination. `progress` gets (what, done, total; 0: unknown).
    Raises `BlocksetError`, and whatever `names` raises.
    """
    unfinished = directory.with_name(f".{directory.name}.{os.getpid()}")
    try:
        if directory.exists():
            raise BlocksetError(f"{directory}: exists already")
        directory.parent.mkdir(parents=True, exist_ok=True)
        safe_files.remove(unfinished)
        safe_files.make_directory(unfinished)
        spool = NameSpool(unfinished / SPOOL_FILE)
        spool.fill(names)
        canonical = canonical_numbers(contents.combinations, contents.actions, contents.clients)
        written = _write_columns(unfinished, spool, make_names, networks, contents, canonical.number_of, progress)
        spool.remove()
        files = {name: _sealed(unfinished / name) for name in (*DATA_FILES, FACTS_FILE, FACT_TABLE_FILE)}
        counts = [written.counts[number] for number in canonical.order]  # in the order of the combinations in the manifest
        blocking = [any(bits & BLOCK_SUBTREE for _, bits in part) for part in canonical.combinations]
        manifest = Manifest(
            format=FORMAT,
            generation=generation,
            created_s=created_s,
            entries=sum(count for count, blocks in zip(counts, blocking, strict=True) if blocks),
            names=spool.names,
            shallowest=spool.shallowest,
            combinations=canonical.combinations,
            counts=counts,
            next_expiry_s=_next_expiry_s(contents, created_s),
            feeds=list(feeds(written.counts)),
            runs=written.runs,
            files=files,
            mapped=DATA_FILES,
            actions=canonical.actions or msgspec.UNSET,
            clients=canonical.clients or msgspec.UNSET,
        )
        with safe_files.create(unfinished / MANIFEST_FILE) as file:
            file.write(encode(manifest))
        _sealed(unfinished / MANIFEST_FILE)
        sync(unfinished)
        unfinished.rename(directory)
        sync(directory.parent)
    except OSError as exc:
        raise BlocksetError(f"{exc.filename or directory}: {exc.strerror}") from exc
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return manifest


class _Written(NamedTuple):
    counts: list[int]  # in the order of `Contents.combinations`
    runs: list[Run]


def _write_columns(
    directory: Path,
    spool: NameSpool,
    make_names: NamesMaker,
    networks: Mapping[bytes, int],
    contents: Contents,
    number_of: Sequence[int],
    progress: Callable[[str, int, int], None],
) -> _Written:
    """The files that have something for each name or network. `number_of` each combination in the manifest."""
    done = 0

    def read() -> Stretches:
        nonlocal done
        for keys, rows in spool.read():
            yield keys, rows
            done += len(keys)
            progress("writing", done // _TIMES_READ, spool.names)

    combination_of = array("I", [number_of[combination] for combination, _ in contents.rows])
    counts = [0] * len(contents.combinations)
    for row, count in spool.rows.items():
        counts[contents.rows[row][0]] += count
    common = number_of[max(range(len(counts)), key=lambda at: (counts[at], -number_of[at]))] if counts else 0
    ordered = sorted(networks.items(), key=lambda item: (-item[0][-1], len(item[0]), item[0]))
    bloom = BloomWriter(spool.filter_keys)
    for keys, _ in read():
        bloom.add(keys)
    try:
        names = make_names(read, spool.seed, combination_of, common)
    except (ValueError, OverflowError) as exc:
        raise BlocksetError(f"{directory / NAMES_FILE}: {exc}") from exc
    fact_bytes = _width(len(contents.rows))
    facts = array(FACT_CODES[fact_bytes], names.rows)
    facts.extend(row for _, row in ordered)
    nets, runs = _nets([(network, combination_of[row]) for network, row in ordered])
    facts_of = [list(part) for _, part in contents.rows]
    details = [list(part) for part in contents.details]
    table = AnnotationTable(fact_bytes, list(combination_of) or [0], facts_of or [[]], details)
    for name, content in (
        (NAMES_FILE, names.content), (BLOOM_FILE, bloom.content()), (NETS_FILE, nets), (FACTS_FILE, facts),
        (FACT_TABLE_FILE, msgspec.msgpack.encode(table)),
    ):  # fmt: skip
        with safe_files.create(directory / name) as file:
            write_in_pieces(file, content)
    return _Written(counts, runs)


def _width(count: int) -> Literal[1, 2, 4]:
    return 1 if count <= 1 << 8 else 2 if count <= 1 << 16 else 4


def _sealed(path: Path) -> FileEntry:
    """Have the file on the disk; what the manifest says of it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return FileEntry(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _next_expiry_s(contents: Contents, now_s: float) -> float:
    """When the first of the names is to leave; 0 when none is."""
    expiries = {
        contents.details[feed][detail - 1][3]
        for combination, facts in contents.rows
        for (feed, _), (_, detail) in zip(contents.combinations[combination], facts, strict=True)
        if detail
    }
    return min((expiry_s for expiry_s in expiries if expiry_s > now_s), default=0.0)


def _nets(ordered: Sequence[tuple[bytes, int]]) -> tuple[bytes, list[Run]]:
    content = bytearray()
    runs = []
    for (prefix_bits, size), group in groupby(ordered, key=lambda item: (item[0][-1], len(item[0]) - 1)):
        if size not in (4, 16) or prefix_bits > 8 * size:
            raise BlocksetError(f"a network of {size} bytes and {prefix_bits} bits")
        run = [(int.from_bytes(network[:-1]), record) for network, record in group]
        runs.append(Run(4 if size == 4 else 16, prefix_bits, len(run), len(content)))
        if size == 4:
            content += pack(f"<{len(run)}I", *(address for address, _ in run))
        else:
            content += pack(f"<{len(run)}Q", *(address >> 64 for address, _ in run))
            content += pack(f"<{len(run)}Q", *(address & 0xFFFF_FFFF_FFFF_FFFF for address, _ in run))
        content += pack(f"<{len(run)}I", *(record for _, record in run))
    return bytes(content), runs
