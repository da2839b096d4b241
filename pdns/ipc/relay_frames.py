"""Frames between the quic process and a worker: queries one way, answers the other, over a SOCK_SEQPACKET socket.

A packet holds one or more frames. Each begins with its size in bytes (four bytes, itself not counted) and its kind. Numbers are
big-endian. The worker believes the client of a query; whatever is not exactly a frame is refused as a whole packet.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final, NamedTuple

from pdns.errors import RelayError

MAX_PACKET_BYTES: Final = 131072  # more than the largest frame; two of them with a socket buffer of the usual size
MAX_MESSAGE_BYTES: Final = 65535
MIN_QUERY_BYTES: Final = 12
MAX_TOKEN_BYTES: Final = 128
MAX_SERVER_NAME_BYTES: Final = 255
CERTIFICATE_BYTES: Final = 32
NO_ANSWER: Final = b""

QUIC: Final = 1  # values of a transport in a frame
H3: Final = 2

_SIZE: Final = struct.Struct(">I")
_QUERY: Final = struct.Struct(">IBQBH")  # size, kind, number, transport, bytes of the client
_ANSWER: Final = struct.Struct(">IBQIH")  # size, kind, number, seconds, status
_QUERY_KIND: Final = 1
_ANSWER_KIND: Final = 2
_TRANSPORTS: Final = (QUIC, H3)
_ADDRESS_BYTES: Final = {4: AF_INET, 16: AF_INET6}
_REMEMBERED: Final = 4096


class RelayClient(NamedTuple):
    """Who asks: the address, and what the client has presented (`pdns.core.credentials.Credential`)."""

    address: str  # without scope
    port: int
    certificate_sha256: bytes = b""  # 32 bytes or none
    token: bytes = b""
    server_name: str = ""
    admits_by_name: bool = False


class RelayQuery(NamedTuple):
    """One message of a client."""

    number: int  # of the query; the answer has it too
    transport: int  # QUIC or H3
    client: RelayClient
    message: bytes


class RelayAnswer(NamedTuple):
    """What becomes of one query."""

    number: int
    max_age_s: int  # how long an HTTP cache may keep it
    status: int  # of HTTP, when there is no message and the reason is known; else 0
    message: bytes  # NO_ANSWER: there is none


def pack_client(client: RelayClient) -> bytes:
    """`client` as it is in frames. Raises `ValueError` for an invalid address or name."""
    address = inet_pton(AF_INET6 if ":" in client.address else AF_INET, client.address)
    name = client.server_name.encode("ascii")
    if len(client.certificate_sha256) not in (0, CERTIFICATE_BYTES):
        raise ValueError("a SHA-256 has 32 bytes")
    if len(client.token) > MAX_TOKEN_BYTES or len(name) > MAX_SERVER_NAME_BYTES:
        raise ValueError("too long")
    head = struct.pack(">BH?", len(address), client.port, client.admits_by_name)
    return b"".join((
        head, address,
        *(bytes([len(part)]) + part for part in (client.certificate_sha256, client.token, name)),
    ))  # fmt: skip


@lru_cache(_REMEMBERED)
def unpack_client(packed: bytes) -> RelayClient:
    """The inverse of `pack_client`. Raises `RelayError` for anything else."""
    try:
        address_bytes, port, by_name = struct.unpack_from(">BHB", packed)
        family = _ADDRESS_BYTES[address_bytes]
        address = inet_ntop(family, packed[4 : 4 + address_bytes])
        at, parts = 4 + address_bytes, []
        for _ in range(3):
            end = at + 1 + packed[at]
            parts.append(packed[at + 1 : end])
            at = end
        name = parts[2].decode("ascii")
    except (struct.error, KeyError, IndexError, ValueError, OSError) as error:
        raise RelayError(f"an invalid client: {error}") from None
    if at != len(packed) or by_name > 1 or len(parts[0]) not in (0, CERTIFICATE_BYTES) or len(parts[1]) > MAX_TOKEN_BYTES:
        raise RelayError("an invalid client")
    return RelayClient(address, port, parts[0], parts[1], name, bool(by_name))


def pack_query(number: int, transport: int, packed_client: bytes, message: bytes) -> bytes:
    """A frame. `message` has `MIN_QUERY_BYTES` to `MAX_MESSAGE_BYTES`."""
    size = _QUERY.size - _SIZE.size + len(packed_client) + len(message)
    return _QUERY.pack(size, _QUERY_KIND, number, transport, len(packed_client)) + packed_client + message


def pack_answer(number: int, message: bytes, *, max_age_s: int = 0, status: int = 0) -> bytes:
    """A frame. An empty `message`: there is no answer; `status` says why, if that is known."""
    return _ANSWER.pack(_ANSWER.size - _SIZE.size + len(message), _ANSWER_KIND, number, max_age_s, status) + message


def queries_in(packet: bytes) -> list[RelayQuery]:
    """The frames of a packet to a worker. Raises `RelayError`; then nothing of the packet is to be used."""
    queries = []
    for frame in _frames(packet, _QUERY.size, _QUERY_KIND):
        _, _, number, transport, client_bytes = _QUERY.unpack_from(frame)
        at = _QUERY.size + client_bytes
        if transport not in _TRANSPORTS or not MIN_QUERY_BYTES <= len(frame) - at <= MAX_MESSAGE_BYTES:
            raise RelayError("an invalid query")
        queries.append(RelayQuery(number, transport, unpack_client(frame[_QUERY.size : at]), frame[at:]))
    return queries


def answers_in(packet: bytes) -> list[RelayAnswer]:
    """The frames of a packet to the quic process. Raises `RelayError`; then nothing of the packet is to be used."""
    answers = []
    for frame in _frames(packet, _ANSWER.size, _ANSWER_KIND):
        _, _, number, max_age_s, status = _ANSWER.unpack_from(frame)
        if len(frame) - _ANSWER.size > MAX_MESSAGE_BYTES:
            raise RelayError("an answer that is too long")
        answers.append(RelayAnswer(number, max_age_s, status, frame[_ANSWER.size :]))
    return answers


def _frames(packet: bytes, least: int, kind: int) -> list[bytes]:
    frames, at = [], 0
    while at < len(packet):
        if len(packet) - at < least:
            raise RelayError("a frame that is cut off")
        end = at + _SIZE.size + _SIZE.unpack_from(packet, at)[0]
        if end - at < least or end > len(packet) or packet[at + _SIZE.size] != kind:
            raise RelayError("an invalid frame")
        frames.append(packet[at:end])
        at = end
    return frames
