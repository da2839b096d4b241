"""The response to a DNS query over HTTP (RFC 8484): what is believed of it."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from pdns.errors import WireError
from pdns.upstream.exchange import Attempt
from pdns.wire.framing import MAX_MESSAGE_BYTES
from pdns.wire.message import parse_message

_TYPE = b"application/dns-message"


class DohResponse:
    """The response to `attempt`, as far as it has come. `refusal` says why it is no answer, "" as long as it may be one."""

    __slots__ = ("_age_s", "_body", "attempt", "is_http_error", "refusal")

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.refusal = ""
        self.is_http_error = False  # rather than a damaged answer
        self._body = bytearray()
        self._age_s = 0

    def head(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Its headers came. Redirects are not followed."""
        status = content_type = b""
        for name, value in headers:
            if name == b":status":
                status = value
            elif name == b"content-type":
                content_type = value.partition(b";")[0].strip().lower()
            elif name == b"content-length" and not (value.isdigit() and int(value) <= MAX_MESSAGE_BYTES):
                self.refusal = f"content-length {_shown(value)}"
            elif name == b"content-encoding" and value.lower() != b"identity":
                self.refusal = f"content-encoding {_shown(value)}"
            elif name == b"age" and value.isdigit():
                self._age_s = int(value[:10])
        if status != b"200":
            self.refusal, self.is_http_error = f"HTTP status {_shown(status)}", True
        elif content_type != _TYPE and not self.refusal:
            self.refusal = f"content-type {_shown(content_type)}"

    def body(self, data: bytes) -> None:
        """A part of its body came."""
        if len(self._body) + len(data) > MAX_MESSAGE_BYTES:
            self.refusal = f"an answer of more than {MAX_MESSAGE_BYTES} bytes"
        else:
            self._body += data

    def message(self) -> bytes:
        """The whole message. TTLs are less the time that it was in caches (RFC 8484, 5.1)."""
        return _aged(self._body, self._age_s) if self._age_s else bytes(self._body)


def _aged(wire: bytearray, age_s: int) -> bytes:
    try:
        message = parse_message(bytes(wire))
    except WireError:
        return bytes(wire)  # refused later
    for record in (*message.answer, *message.authority):
        struct.pack_into("!I", wire, record.rdata_at - 6, max(record.ttl_s - age_s, 0))
    return bytes(wire)


def _shown(value: bytes) -> str:
    return repr(value[:40].decode("latin-1"))
