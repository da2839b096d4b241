"""Messages of dnstap (dnstap.proto), encoded: the protocol buffers that a dozen fields need, written here.

Every helper returns the encoded field; a message is the concatenation of its fields.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final, NamedTuple

from pdns.wire.varint import varint

CLIENT_QUERY, CLIENT_RESPONSE = 5, 6  # Message.Type
POLICY_NXDOMAIN, POLICY_NODATA, POLICY_PASS, POLICY_DROP, POLICY_LOCAL_DATA = 1, 2, 3, 4, 6  # Policy.Action
_TRANSPORTS: Final = {"udp": 1, "tcp": 2, "tls": 3, "https": 4, "quic": 7, "h3": 4}  # SocketProtocol
_MESSAGE: Final = 1  # Dnstap.Type
_FIXED32: Final = struct.Struct("<I")


class DnstapPolicy(NamedTuple):
    """Why a query was not answered as it stands: `Policy` of the schema."""

    type: str
    rule: bytes  # the name that is listed, in wire form
    action: int
    value: bytes = b""


class DnstapMessage(NamedTuple):
    """What is said of one query. Empty fields are left out."""

    kind: int  # `CLIENT_QUERY` or `CLIENT_RESPONSE`
    identity: str
    version: str
    transport: str  # as an event has it
    query_s: float
    client: str = ""  # an address; "" if it is not known in full
    client_port: int = 0
    response_s: float = 0.0
    query: bytes = b""
    response: bytes = b""
    policy: DnstapPolicy | None = None
    extra: bytes = b""


def encode_dnstap(message: DnstapMessage) -> bytes:
    """The payload of one frame."""
    parts = [
        _bytes(1, message.identity.encode()),
        _bytes(2, message.version.encode()),
        _bytes(3, message.extra),
        _bytes(14, _message(message)),
        _number(15, _MESSAGE),
    ]
    return b"".join(parts)


def _message(message: DnstapMessage) -> bytes:
    address = ipaddress.ip_address(message.client) if message.client else None
    parts = [_number(1, message.kind)]
    if address is not None:
        parts.append(_number(2, 1 if address.version == 4 else 2))
    if message.transport in _TRANSPORTS:
        parts.append(_number(3, _TRANSPORTS[message.transport]))
    if address is not None:
        parts.append(_bytes(4, address.packed))
    if message.client_port:
        parts.append(_number(6, message.client_port))
    parts += [_time(8, message.query_s), _bytes(10, message.query)]
    if message.response_s:
        parts.append(_time(12, message.response_s))
    parts.append(_bytes(14, message.response))
    if (policy := message.policy) is not None:
        encoded = [_bytes(1, policy.type.encode()), _bytes(2, policy.rule), _number(3, policy.action), _number(4, 1)]
        parts.append(_bytes(15, b"".join([*encoded, _bytes(5, policy.value)])))
    return b"".join(parts)


def _time(field: int, time_s: float) -> bytes:
    """Seconds in `field`, nanoseconds in the next one."""
    total_ns = round(time_s * 1e9)
    seconds, nanoseconds = divmod(total_ns, 10**9)
    return _number(field, seconds) + varint((field + 1) << 3 | 5) + _FIXED32.pack(nanoseconds)


def _number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value if value else b""
