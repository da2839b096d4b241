"""Blocked and monitored queries as dnstap messages to a collector, over a Unix socket or TCP.

Each write is one session of Frame Streams: the collector confirms at its end that it has read all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Self

import msgspec

from pdns import __version__
from pdns.config.sink_rules import DNSTAP_PORT, parse_destination
from pdns.config.sink_schema import SinkSection
from pdns.errors import FrameStreamError, InvalidName
from pdns.event_store.event import BLOCKED, Event, Record
from pdns.events.dnstap_message import (
    CLIENT_QUERY,
    CLIENT_RESPONSE,
    POLICY_DROP,
    POLICY_LOCAL_DATA,
    POLICY_NODATA,
    POLICY_NXDOMAIN,
    POLICY_PASS,
    DnstapMessage,
    DnstapPolicy,
    encode_dnstap,
)
from pdns.events.frame_streams import MAX_FRAME_BYTES, CollectorAddress, FrameStream
from pdns.events.mappings import PRODUCT, address_of, one_line, own_fields, rcode_of
from pdns.wire import protocol as p
from pdns.wire.names import ROOT, from_text

_POLICY_ACTIONS: Final = {
    "nxdomain": POLICY_NXDOMAIN,
    "nodata": POLICY_NODATA,
    "drop": POLICY_DROP,
    "": POLICY_PASS,
}  # all others: local data
_EDE_BLOCKED: Final = b"\0" + p.OPT.to_bytes(2) + b"\x04\xd0" + bytes(4) + b"\0\x06" + p.EDNS_OPTION_EDE.to_bytes(2) + b"\0\x02"


class DnstapSink:
    """One collector."""

    def __init__(self, address: CollectorAddress, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s

    @classmethod
    def of(cls, section: SinkSection) -> Self:
        """The sink of a section."""
        if section.path:
            return cls(CollectorAddress(path=section.path), section.timeout_s)
        host, port = parse_destination(section.address, DNSTAP_PORT)
        return cls(CollectorAddress(host=host, port=port), section.timeout_s)

    async def write(self, records: Sequence[Record]) -> None:
        """Send the events among `records`; on return the collector has read them. Raises `SinkError`."""
        frames = [event_frame(record) for record in records if isinstance(record, Event)]
        if frames:
            await self.send(frames)

    async def send(self, frames: Sequence[bytes]) -> None:
        """Send frames in a session; on return the collector has read them. Raises `SinkError`."""
        stream: FrameStream | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                stream = await FrameStream.connect(self._address)
                await stream.send(frames)
                await stream.finish()
        except TimeoutError:
            raise FrameStreamError(f"{self._address}: no answer within {self._timeout_s:g} s") from None
        finally:
            if stream is not None:
                stream.abort()

    async def close(self) -> None:
        """No session is open between two writes."""


def event_frame(event: Event) -> bytes:
    """An event as dnstap: the answer that a client got (CLIENT_RESPONSE), or its query where none is known (CLIENT_QUERY).

    The messages are made from the event, without its id and flags. What dnstap has no field for is in `extra`, as JSON.
    """
    question = (_wire(event.qname) or ROOT) + event.qtype.to_bytes(2) + p.CLASS_IN.to_bytes(2)
    rcode = rcode_of(event)
    is_answered = event.kind == BLOCKED and event.action != "drop"
    message = DnstapMessage(
        kind=CLIENT_RESPONSE if is_answered else CLIENT_QUERY,
        identity=event.node,
        version=f"{PRODUCT} {__version__}",
        transport=event.transport,
        query_s=event.time_s,
        client=address_of(event.client),
        response_s=event.time_s if is_answered else 0.0,
        query=_header(p.RD, 0) + question,
        response=_response(question, rcode) if is_answered else b"",
        policy=DnstapPolicy(
            PRODUCT, _wire(event.listed), _POLICY_ACTIONS.get(event.action, POLICY_LOCAL_DATA), event.rule.encode()
        ),
        extra=_extra(event),
    )
    return encode_dnstap(message)


def _wire(text: str) -> bytes:
    """A name in wire form; empty for what is no name."""
    try:
        return from_text(text)
    except InvalidName:
        return b""


def _extra(event: Event) -> bytes:
    fields = own_fields(event, "time_s", "node", "qname", "qtype")
    extra = one_line({**fields, "id": str(event.id)})
    return extra if len(extra) < MAX_FRAME_BYTES // 2 else msgspec.json.encode({"id": str(event.id), "n": event.n})


def _response(question: bytes, rcode: int | None) -> bytes:
    """An answer without records, with the extended error "blocked" (RFC 8914)."""
    return _header(p.QR | p.RD | p.RA | (rcode or p.NOERROR), 1) + question + _EDE_BLOCKED + p.EDE_BLOCKED.to_bytes(2)


def _header(flags: int, additional: int) -> bytes:
    return b"\0\0" + flags.to_bytes(2) + b"\0\x01\0\0\0\0" + additional.to_bytes(2)
