"""Connection ids of this process, and what they say of a datagram: which process it belongs to (RFC 9000, 5.1; no I/O, no clock).

An id is one byte with the number of the process, and ten random ones. Ids that clients choose for themselves have other lengths
in nearly all of them, and are used only until the client has one of ours.
"""

from __future__ import annotations

import os
from hashlib import blake2s
from typing import Final, NamedTuple

CONNECTION_ID_BYTES: Final = 11
RESET_TOKEN_BYTES: Final = 16
MIN_RESET_BYTES: Final = 21  # RFC 9000, 10.3
MIN_INITIAL_BYTES: Final = 1200  # RFC 9000, 14.1
MAX_ID_BYTES: Final = 20  # of version 1
_FIXED_BIT: Final = 0x40
_LONG: Final = 0x80
_VERSION_1: Final = 1


class DatagramHead(NamedTuple):
    """What stands at the start of a datagram, unprotected."""

    is_long: bool
    version: int  # 0: the header is short, or offers versions
    kind: int  # of a long header of version 1: INITIAL, ZERO_RTT, HANDSHAKE or RETRY
    destination: bytes  # connection ids
    source: bytes  # b"" with a short header


INITIAL, ZERO_RTT, HANDSHAKE, RETRY = range(4)


class ConnectionIds:
    """Makes the ids of a process, and the tokens that reset its connections."""

    def __init__(self, process: int, secret: bytes) -> None:
        """`process`: 0 to 255. Processes with the same `secret` know each other's tokens."""
        self.process: Final = process
        self._secret = secret[:32]

    def new(self) -> bytes:
        """A fresh id."""
        return bytes([self.process]) + os.urandom(CONNECTION_ID_BYTES - 1)

    def reset_token(self, connection_id: bytes) -> bytes:
        """The token of RFC 9000, 10.3.2, for `connection_id`."""
        return blake2s(connection_id, key=self._secret, digest_size=RESET_TOKEN_BYTES).digest()

    def reset(self, connection_id: bytes, received_bytes: int) -> bytes | None:
        """A datagram that tells the sender of one of `received_bytes` that the connection is no more; None: it was too short.

        It is shorter than what was received, so that two servers do not answer each other for ever.
        """
        size = min(received_bytes - 1, 2 * MIN_RESET_BYTES)
        if size < MIN_RESET_BYTES:
            return None
        filling = bytearray(os.urandom(size - RESET_TOKEN_BYTES))
        filling[0] = filling[0] & 0x3F | _FIXED_BIT
        return bytes(filling) + self.reset_token(connection_id)


def owner_of(connection_id: bytes) -> int | None:
    """The number of the process that made `connection_id`; None if it does not look like one of ours."""
    return connection_id[0] if len(connection_id) == CONNECTION_ID_BYTES else None


def head_of(datagram: bytes) -> DatagramHead | None:
    """None for what is not QUIC (RFC 8999, and the fixed bit of RFC 9000)."""
    if len(datagram) < MIN_RESET_BYTES:
        return None
    first = datagram[0]
    if not first & _LONG:
        if not first & _FIXED_BIT:
            return None
        return DatagramHead(False, 0, -1, datagram[1 : 1 + CONNECTION_ID_BYTES], b"")
    version = int.from_bytes(datagram[1:5])
    end = 6 + datagram[5]
    if end >= len(datagram):
        return None
    source_end = end + 1 + datagram[end]
    if source_end > len(datagram):
        return None
    destination, source = datagram[6:end], datagram[end + 1 : source_end]
    if version == _VERSION_1 and (not first & _FIXED_BIT or max(len(destination), len(source)) > MAX_ID_BYTES):
        return None
    return DatagramHead(True, version, (first & 0x30) >> 4, destination, source)


def version_negotiation(head: DatagramHead, versions: tuple[int, ...]) -> bytes:
    """The datagram that names `versions` to a client that has asked for another one (RFC 9000, 17.2.1)."""
    parts = [bytes([_LONG | os.urandom(1)[0]]), bytes(4)]
    for connection_id in (head.source, head.destination):
        parts += [bytes([len(connection_id)]), connection_id]
    return b"".join([*parts, *(version.to_bytes(4) for version in versions)])
