"""Query packets, and the files of them that the generator sends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pdns.wire import protocol as p

_HEAD = b"\0\0" + p.RD.to_bytes(2) + b"\0\1\0\0\0\0\0\1"
_OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"  # 1232 bytes, no options (RFC 6891)


def query(name: bytes, qtype: int = p.A, *, query_id: int = 0) -> bytes:
    """A query with RD and EDNS, as a stub resolver sends it. `name` is in wire form, in any case."""
    return query_id.to_bytes(2) + _HEAD[2:] + name + qtype.to_bytes(2) + b"\0\1" + _OPT


def write(path: Path, queries: Iterable[bytes]) -> int:
    """Writes `queries`, each behind its length in two bytes. Returns how many there were."""
    count = 0
    with path.open("wb") as file:
        for wire in queries:
            file.write(len(wire).to_bytes(2) + wire)
            count += 1
    return count


def read(path: Path) -> Iterator[bytes]:
    """The queries of a file that `write` made. Raises `ValueError` when it is cut short."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        if at + 2 > len(data) or end > len(data):
            raise ValueError(f"{path}: cut short at byte {at}")
        yield data[at + 2 : end]
        at = end
