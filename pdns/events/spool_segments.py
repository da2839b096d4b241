"""Segments of the spool: files of records, each behind its length and its checksum.

A segment is written once, by one process, and never reopened for writing, so a crash damages nothing but its end. Readers skip
what is damaged: a record whose checksum is wrong, and the rest of a segment where a length cannot be right.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO, Final, NamedTuple

import msgspec

from pdns.event_store.event import Event, Record

MAGIC: Final = b"PDNSEV1\n"
_ANY_VERSION: Final = re.compile(rb"PDNSEV[0-9]\n")
MAX_RECORD_BYTES: Final = 64 * 1024
_HEADER: Final = struct.Struct(">II")  # length and CRC-32 of a record
_READ_BYTES: Final = 256 * 1024

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Record)


class SpoolPosition(NamedTuple):
    """Where a reader stands: the number of a segment, and the bytes of it that are read. Positions are ordered by time."""

    segment: int = 0
    offset: int = 0


class SpoolChunk(NamedTuple):
    """Consecutive records, and what was damaged between them."""

    records: list[Record]
    next: int  # the offset after them
    damaged: int  # records that were skipped; 1 for the rest of a segment, however many it had
    at_end: bool  # of the segment


def queries_of(record: Record) -> int:
    """The number of queries that a record stands for in counts of losses: `n` of an event, 0 of others."""
    return record.n if isinstance(record, Event) else 0


def encode_record(record: Record) -> bytes:
    """`record` as it is in a segment. Raises `ValueError` above `MAX_RECORD_BYTES`."""
    body = _encoder.encode(record)
    if len(body) > MAX_RECORD_BYTES:
        raise ValueError(f"a record of {len(body):,} bytes")
    return _HEADER.pack(len(body), zlib.crc32(body)) + body


def encode_all(records: Iterable[Record]) -> tuple[list[bytes], int]:
    """The records as they are in a segment, and how many are too long to be."""
    encoded: list[bytes] = []
    too_long = 0
    for record in records:
        try:
            encoded.append(encode_record(record))
        except ValueError:
            too_long += 1
    return encoded, too_long


def is_of_other_version(file: BinaryIO) -> bool:
    """Whether another version of the program has written the segment, which this one cannot read. Raises `OSError`."""
    head = file.read(len(MAGIC))
    return head != MAGIC and _ANY_VERSION.fullmatch(head) is not None


def read_chunk(file: BinaryIO, offset: int, size: int, most: int, most_bytes: int = _READ_BYTES) -> SpoolChunk:
    """Up to `most` records from `offset` of a segment of which `size` bytes are written. Raises `OSError` only.

    An offset that no record begins at leads to records after it, or to the end.
    """
    offset = max(offset, len(MAGIC))
    if offset >= size:
        return SpoolChunk([], size, 0, True)
    file.seek(0)
    if offset == len(MAGIC) and file.read(len(MAGIC)) != MAGIC:
        return SpoolChunk([], size, 1, True)
    file.seek(offset)
    wanted = min(size - offset, max(most_bytes, _HEADER.size + MAX_RECORD_BYTES))
    content = file.read(wanted)
    is_cut = len(content) < wanted
    records: list[Record] = []
    at = damaged = 0
    while len(records) < most:
        if len(content) - at < _HEADER.size:
            break
        length, checksum = _HEADER.unpack_from(content, at)
        if not 0 < length <= MAX_RECORD_BYTES:
            return SpoolChunk(records, size, damaged + 1, True)
        end = at + _HEADER.size + length
        if end > len(content):
            break
        body = content[at + _HEADER.size : end]
        at = end
        record = _decoded(body) if zlib.crc32(body) == checksum else None
        if record is None:
            damaged += 1
        else:
            records.append(record)
    else:
        return SpoolChunk(records, offset + at, damaged, offset + at >= size)
    if is_cut or offset + len(content) >= size:  # what is left is incomplete
        return SpoolChunk(records, size, damaged + (is_cut or at < len(content)), True)
    return SpoolChunk(records, offset + at, damaged, False)


def _decoded(body: bytes) -> Record | None:
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, ValueError):  # of another version of the program
        return None
