"""The messages of a transfer: a whole zone (RFC 5936), or the steps from one version to the newest (RFC 1995).

A transfer reads the files that it began with, a block at a time. What becomes of the zone meanwhile is for the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from feeds.publish.journal import JournalPart
from feeds.publish.requests import AXFR, IXFR, Signer, TransferRequest, message, with_edns
from feeds.publish.serials import is_newer
from feeds.publish.zone_file import RecordBlock, ZoneReader

MOST_MESSAGE_BYTES: Final = 48 * 1024  # of records; a block is at most 32 KiB more than its last record
WHOLE, STEPS, CURRENT = "whole", "steps", "current"


class Transfer(NamedTuple):
    """An answer that is about to be sent: of which kind, and its messages."""

    kind: str  # WHOLE, STEPS or CURRENT (only the SOA record)
    blocks: Iterable[RecordBlock]
    close: Callable[[], None] = lambda: None  # gives back what it holds


def soa_only(soa: bytes) -> Transfer:
    """What a secondary gets that asks for the SOA, or has the newest version already."""
    return Transfer(CURRENT, (RecordBlock(1, soa),))


def is_current(serial: int, asked: int) -> bool:
    """Whether a secondary with the version `asked` needs nothing: it has `serial`, or something newer."""
    return not is_newer(serial, asked)


def whole(reader: ZoneReader, soa: bytes) -> Transfer:
    """All of a zone."""
    return Transfer(WHOLE, _whole(reader, soa), reader.close)


def _whole(reader: ZoneReader, soa: bytes) -> Iterator[RecordBlock]:
    yield RecordBlock(1, soa)
    yield from reader.blocks()
    yield RecordBlock(1, soa)


def steps(part: JournalPart, soa_of: Callable[[int], bytes]) -> Transfer:
    """Each step of `part`. `soa_of` gives the SOA record of a serial."""
    return Transfer(STEPS, _steps(part, soa_of))


def _steps(part: JournalPart, soa_of: Callable[[int], bytes]) -> Iterator[RecordBlock]:
    newest = RecordBlock(1, soa_of(part.changes[-1].after))
    yield newest
    for change in part.changes:
        yield RecordBlock(1, soa_of(change.before))
        yield from part.removed(change)
        yield RecordBlock(1, soa_of(change.after))
        yield from part.added(change)
    yield newest


def messages(request: TransferRequest, blocks: Iterable[RecordBlock]) -> Iterator[bytes]:
    """The messages that carry `blocks`, signed if the request is."""
    signer = Signer(request)
    several = request.qtype in (AXFR, IXFR)
    edns = request.edns
    for records, data in _packed(blocks):
        wire = message(request, records, data)
        yield signer.signed(with_edns(wire) if edns else wire, more=several)
        edns = False


def one_message(request: TransferRequest, transfer: Transfer, soa: bytes) -> bytes:
    """The answer over UDP: `transfer` if it fits, else the SOA alone, which says that there is more over TCP (RFC 1995, 2)."""
    size = len(request.question)
    held = []
    for block in transfer.blocks:
        held.append(block)
        size += len(block.data)
        if size > request.udp_bytes:
            held = [RecordBlock(1, soa)]
            break
    wire = message(request, sum(block.records for block in held), b"".join(block.data for block in held))
    whole_wire = Signer(request).signed(with_edns(wire) if request.edns else wire, more=False)
    if len(whole_wire) <= request.udp_bytes or len(held) == 1:
        return whole_wire
    wire = message(request, 1, soa)
    return Signer(request).signed(with_edns(wire) if request.edns else wire, more=False)


def _packed(blocks: Iterable[RecordBlock]) -> Iterator[RecordBlock]:
    held: list[bytes] = []
    records = size = 0
    for block in blocks:
        if held and size + len(block.data) > MOST_MESSAGE_BYTES:
            yield RecordBlock(records, b"".join(held))
            held, records, size = [], 0, 0
        held.append(block.data)
        records += block.records
        size += len(block.data)
    yield RecordBlock(records, b"".join(held))
