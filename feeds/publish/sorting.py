"""Sorts more keys than are to be in memory: runs of them are sorted and written to files, which are then merged."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from pdns.files.safe_files import create, remove

RUN_KEYS: Final = 131_072
MOST_RUNS: Final = 40  # files that are open at a time
_CHUNK_KEYS: Final = 2048
_LENGTH_BYTES: Final = 4


def sorted_keys(listed: Iterable[tuple[bytes, int]], total: int, directory: Path) -> Iterator[tuple[bytes, int]]:
    """`listed`, at most `total` keys with a number each, in the order of the keys. Raises `OSError`.

    Files in `directory` are made and removed on the way.
    """
    size = max(RUN_KEYS, total // MOST_RUNS + 1)
    left = iter(listed)
    first = sorted(islice(left, size))
    if len(first) < size:
        yield from first
        return
    paths: list[Path] = []
    with ExitStack() as stack:
        runs: list[Iterator[tuple[bytes, int]]] = []
        run = first
        del first
        while run:
            path = directory / f"run-{len(paths)}"
            paths.append(path)
            stack.callback(remove, path)
            file = stack.enter_context(create(path, 0o600))
            _write(file, run)
            runs.append(_read(file))
            run = sorted(islice(left, size))
        yield from merge(*runs)


def _write(file: BinaryIO, run: list[tuple[bytes, int]]) -> None:
    for at in range(0, len(run), _CHUNK_KEYS):
        part = run[at : at + _CHUNK_KEYS]
        data = msgspec.msgpack.encode(([key for key, _ in part], array("I", [number for _, number in part]).tobytes()))
        file.write(len(data).to_bytes(_LENGTH_BYTES, "little"))
        file.write(data)


def _read(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    file.seek(0)
    decoder = msgspec.msgpack.Decoder(tuple[list[bytes], bytes])
    while length := file.read(_LENGTH_BYTES):
        keys, numbers = decoder.decode(file.read(int.from_bytes(length, "little")))
        yield from zip(keys, memoryview(numbers).cast("I"), strict=True)
