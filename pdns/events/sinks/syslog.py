"""Records as syslog messages (RFC 5424) over UDP (RFC 5426), TCP (RFC 6587, 3.4.1: each behind its length) and TLS (RFC 5425)."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Sequence
from typing import Final, Self

from pdns.config.sink_rules import SYSLOG_PORTS, client_context, parse_destination
from pdns.config.sink_schema import SinkSection
from pdns.errors import SinkError
from pdns.event_store.event import Event, Finding, Record
from pdns.events.mappings import PRODUCT, address_of, iso_time, severity_of, subject_time
from pdns.events.sink import kind_of
from pdns.events.sinks.formats import Format, format_of
from pdns.events.sinks.syslog_stream import SyslogStream
from pdns.events.sinks.worker_thread import WorkerThread

MAX_UDP_BYTES: Final = 65_000
STRUCTURED_DATA: Final = "pdns@32473"  # the number that RFC 5612 sets aside for examples: we have none of our own
_FACILITIES: Final = {
    "user": 1, "daemon": 3, "auth": 4, "syslog": 5, "authpriv": 10, "audit": 13, "alert": 14,
    **{f"local{number}": 16 + number for number in range(8)},
}  # fmt: skip
_SEVERITIES: Final = {1: 6, 2: 5, 3: 4, 4: 3}  # informational, notice, warning, error
_NOT_IN_HOSTS: Final = re.compile(r"[^A-Za-z0-9._-]")
_BURST: Final = 20  # datagrams, which the buffer of any receiver holds
_BURST_PAUSE_S: Final = 0.005


def syslog_message(record: Record, facility: str, content: bytes) -> bytes:
    """A message with the record's id, kind and tenant as structured data, and `content` as its text."""
    priority = _FACILITIES[facility] * 8 + _SEVERITIES[severity_of(record)]
    kind = record.kind if isinstance(record, Event | Finding) else kind_of(record)
    head = f"<{priority}>1 {iso_time(subject_time(record))} {_host(record.node)} {PRODUCT} - {kind} "
    data = f'[{STRUCTURED_DATA} id="{record.id}" kind="{_parameter(kind)}" tenant="{_parameter(record.tenant)}"] '
    return (head + data).encode() + content


class SyslogSink:
    """One syslog server."""

    def __init__(self, section: SinkSection) -> None:
        self._section = section
        self._destination = parse_destination(section.address, SYSLOG_PORTS[section.transport])
        self._line: Format = format_of(section.format)
        self._thread = WorkerThread("syslog-sink")
        self._stream: SyslogStream | None = None

    @classmethod
    def of(cls, section: SinkSection) -> Self:
        """The sink of a section."""
        return cls(section)

    async def write(self, records: Sequence[Record]) -> None:
        """Send a message for each record. Raises `SinkError`.

        Over TCP and TLS with `confirm`, the server has read all of them on return. Over UDP they are on their way.
        """
        facility = self._section.facility
        messages = [syslog_message(record, facility, self._line(record)) for record in records]
        if self._section.transport == "udp":
            await self._send_datagrams(messages)
            return
        data = b"".join(b"%d %b" % (len(message), message) for message in messages)
        stream = self._stream = self._stream or SyslogStream(self._destination, self._context(), self._section)
        try:
            await self._thread.call(lambda: stream.send(data))
        except asyncio.CancelledError:
            stream.abort()
            raise
        except SinkError:
            self._stream = None  # the next one reads the certificates again
            raise

    async def close(self) -> None:
        """Close the connection and end the thread."""
        if (stream := self._stream) is not None:
            stream.abort()
            await self._thread.call(stream.close)
        self._thread.close()

    def _context(self) -> ssl.SSLContext | None:
        if self._section.transport != "tls":
            return None
        try:
            return client_context(self._section)
        except (OSError, ValueError) as exc:
            raise SinkError(f"the certificates cannot be used: {exc}") from exc

    async def _send_datagrams(self, messages: Sequence[bytes]) -> None:
        host, port = self._destination
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            family, kind, number, _, address = found[0]
            with socket.socket(family, kind, number) as sock:
                sock.setblocking(False)
                sock.connect(address)
                for at, message in enumerate(messages, 1):
                    sock.send(message[:MAX_UDP_BYTES])
                    if not at % _BURST:
                        await asyncio.sleep(_BURST_PAUSE_S)
        except OSError as exc:
            raise SinkError(f"{self._destination}: {exc.strerror or exc}") from exc


def _host(name: str) -> str:
    """`name` as the host of a message: an address, or only what names of hosts have, since servers refuse others; `-`: none."""
    return address_of(name) or _NOT_IN_HOSTS.sub("_", name[:255]) or "-"


def _parameter(text: str) -> str:
    r"""`text` as the value of a parameter (RFC 5424, 6.3.3); control characters are `\uXXXX`."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in escaped)
