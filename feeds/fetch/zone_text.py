"""A zone as text: one record a line, absolute names, no TTLs, the SOA last. What `feeds.formats.rpz` reads, and IXFR changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dns.name
import dns.rdata
import dns.rdatatype

_CHUNK_BYTES = 1024 * 1024
_NAMES = frozenset((dns.rdatatype.CNAME, dns.rdatatype.DNAME, dns.rdatatype.NS, dns.rdatatype.PTR))


class Inconsistent(ValueError):
    """Changes to a zone that is not the one we have."""


class ZoneTextChanges:
    """What a series of differences comes to: for each record, whether it is there at the end."""

    def __init__(self) -> None:
        self._there: dict[bytes, bool] = {}
        self._there_before: set[bytes] = set()  # those that must be, since the first that was said is that they go

    def __len__(self) -> int:
        return len(self._there)

    def delete(self, line: bytes) -> None:
        if line not in self._there:
            self._there_before.add(line)
        self._there[line] = False

    def add(self, line: bytes) -> None:
        self._there[line] = True

    def applied_to(self, before: Path, origin: dns.name.Name) -> Iterator[bytes]:
        """The text of the zone `origin` in `before` with the changes made, all but its SOA, in pieces. Blocks.

        Raises `Inconsistent` when a record that goes was not there, and `OSError`.
        """
        there, missing = self._there, self._there_before
        new = {line for line, stays in there.items() if stays}
        soa = f"{owner_text(origin)} IN SOA ".encode()
        piece = bytearray()
        with before.open("rb") as file:
            for line in file:
                stays = there.get(line)
                if stays is not None:
                    missing.discard(line)
                    new.discard(line)
                    if not stays:
                        continue
                elif line.startswith(soa):
                    continue
                piece += line
                if len(piece) > _CHUNK_BYTES:
                    yield bytes(piece)
                    piece.clear()
        if missing:
            raise Inconsistent
        yield bytes(piece)
        yield b"".join(line for line in there if line in new)


def head(origin: dns.name.Name) -> bytes:
    """The first lines of the text of a zone."""
    return f"$ORIGIN {origin.to_text()}\n$TTL 60\n".encode("ascii", "backslashreplace")


def line_of(name: dns.name.Name, rdata: dns.rdata.Rdata) -> bytes:
    """One record. The same record makes the same line, in whatever case its names were sent."""
    data = rdata.to_text()
    if rdata.rdtype in _NAMES:
        data = data.lower()
    return f"{owner_text(name)} IN {dns.rdatatype.to_text(rdata.rdtype)} {data}\n".encode("utf-8", "backslashreplace")


def owner_text(name: dns.name.Name) -> str:
    """An owner name, in lower case."""
    return name.to_text().lower()
