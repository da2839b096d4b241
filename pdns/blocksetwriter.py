"""Writing blocksets. The format, and reading them, are in `pdns.blockset`; `docs/blockset-format.md` describes every file."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from struct import pack
from typing import Literal

import marisa_trie
import msgspec
from pybloom_live import BloomFilter
from xxhash import xxh128_digest

from pdns.blockset import (
    BLOCK_SUBTREE,
    BLOOM_FILE,
    BLOOM_HEADER,
    BLOOM_SALT,
    BLOOM_SLICES,
    FORMAT,
    MANIFEST_FILE,
    NAMES_FILE,
    NETS_FILE,
    RECORD_CODES,
    RECORDS_FILE,
    FeedEntry,
    FileEntry,
    Manifest,
    Run,
    bloom_positions,
)
from pdns.errors import BlocksetError
from pdns.generations import sync_directory

_NUM_TRIES = 1  # the quickest by a third, for 3 octets a name
_MIN_CAPACITY = 4096


def write(
    directory: Path,
    *,
    generation: int,
    created_s: float,
    feeds: Sequence[FeedEntry],
    names: Mapping[bytes, int],
    networks: Mapping[bytes, int],
    combinations: Sequence[Sequence[tuple[int, int]]],
) -> Manifest:
    """Write a blockset and rename it to `directory`, which must not exist, when every octet is on the disk.

    `names`: reversed key -> index into `combinations`; `networks`: address octets and one octet of prefix length -> the same.
    A combination lists (index into `feeds`, BLOCK_* and ALLOW_* bits). Raises `BlocksetError`.
    """
    counts = Counter(names.values())
    blocking = [any(bits & BLOCK_SUBTREE for _, bits in part) for part in combinations]
    contents: dict[str, bytes] = {}
    trie = marisa_trie.BinaryTrie(names.keys(), num_tries=_NUM_TRIES, cache_size=marisa_trie.HUGE_CACHE)
    contents[NAMES_FILE] = trie.tobytes()
    record_bytes: Literal[1, 2, 4] = 1 if len(combinations) <= 1 << 8 else 2 if len(combinations) <= 1 << 16 else 4
    contents[RECORDS_FILE] = _records(trie, names, counts, record_bytes)
    del trie
    contents[BLOOM_FILE], shallowest = _bloom(names)
    contents[NETS_FILE], runs = _nets(networks)
    manifest = Manifest(
        format=FORMAT,
        generation=generation,
        created_s=created_s,
        entries=sum(count for part, count in counts.items() if blocking[part]),
        names=len(names),
        shallowest=shallowest,
        record_bytes=record_bytes,
        combinations=[list(part) for part in combinations],
        feeds=list(feeds),
        runs=runs,
        files={name: FileEntry(len(content), hashlib.sha256(content).hexdigest()) for name, content in contents.items()},
    )
    contents[MANIFEST_FILE] = msgspec.json.encode(manifest)
    unfinished = directory.with_name(f".{directory.name}.{os.getpid()}")
    try:
        if directory.exists():
            raise BlocksetError(f"{directory}: exists already")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for name, content in contents.items():
            with (unfinished / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        sync_directory(unfinished)
        unfinished.rename(directory)
        sync_directory(directory.parent)
    except OSError as exc:
        raise BlocksetError(f"{exc.filename or directory}: {exc.strerror}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return manifest


def _records(
    trie: marisa_trie.BinaryTrie, names: Mapping[bytes, int], counts: Counter[int], record_bytes: Literal[1, 2, 4]
) -> bytes:
    commonest = counts.most_common(1)[0][0] if counts else 0
    octets = bytearray(commonest.to_bytes(record_bytes, "little") * len(names))
    records = memoryview(octets).cast(RECORD_CODES[record_bytes])
    if len(counts) > 1:
        for key, record in names.items():
            if record != commonest:
                records[trie[key]] = record
    return bytes(octets)


def _bloom(names: Mapping[bytes, int]) -> tuple[bytes, Literal[0, 1, 2]]:
    """The filter over the cut of each name: its last two labels, or what it has of them."""
    shallowest: Literal[0, 1, 2] = 2
    cuts = set()
    for key in names:
        if not key:
            cuts.add(b"\0")
            shallowest = 0
            continue
        top = 1 + key[0]
        if len(key) == top:
            cuts.add(key + b"\0")
            shallowest = min(shallowest, 1)
        else:
            cuts.add(key[top : top + 1 + key[top]] + key[:top] + b"\0")
    bloom = BloomFilter(max(len(cuts), _MIN_CAPACITY), 1 / (1 << BLOOM_SLICES))
    size = bloom.bits_per_slice
    cut_hash = bloom_positions(size)
    bits = bloom.bitarray
    positions: list[int] = []
    for cut in cuts:
        a, b, c, d = cut_hash(xxh128_digest(BLOOM_SALT + cut))
        positions += (a % size, size + b % size, 2 * size + c % size, 3 * size + d % size)
        if len(positions) >= 1 << 16:
            bits[positions] = 1
            positions.clear()
    bits[positions] = 1
    header = BLOOM_HEADER.pack(bloom.error_rate, bloom.num_slices, size, bloom.capacity, len(cuts))
    return header + bits.tobytes(), shallowest


def _nets(networks: Mapping[bytes, int]) -> tuple[bytes, list[Run]]:
    content = bytearray()
    runs = []
    ordered = sorted(networks.items(), key=lambda item: (-item[0][-1], len(item[0]), item[0]))
    for (prefix_bits, size), group in groupby(ordered, key=lambda item: (item[0][-1], len(item[0]) - 1)):
        if size not in (4, 16) or prefix_bits > 8 * size:
            raise BlocksetError(f"a network of {size} octets and {prefix_bits} bits")
        run = [(int.from_bytes(network[:-1]), record) for network, record in group]
        runs.append(Run(4 if size == 4 else 16, prefix_bits, len(run), len(content)))
        if size == 4:
            content += pack(f"<{len(run)}I", *(address for address, _ in run))
        else:
            content += pack(f"<{len(run)}Q", *(address >> 64 for address, _ in run))
            content += pack(f"<{len(run)}Q", *(address & 0xFFFF_FFFF_FFFF_FFFF for address, _ in run))
        content += pack(f"<{len(run)}I", *(record for _, record in run))
    return bytes(content), runs
