"""The header of the PROXY protocol, version 2 (haproxy's proxy-protocol.txt, 2.2), by which a load balancer names its client.

It stands before the first byte of a connection, and before the message of each datagram.
"""

# kernel: pdns/fast/proxy_header.pyx

from __future__ import annotations

import socket
from typing import Final, NamedTuple

from pdns.errors import WireError

# Reasons of a `WireError`, which are values of the label `reason` of `dropped_total`.
NO_HEADER: Final = "proxy_no_header"  # it begins in another way
VERSION: Final = "proxy_version"  # version 1, which is text, or one that is unknown
TOO_LONG: Final = "proxy_too_long"
MALFORMED: Final = "proxy_malformed"
NO_CLIENT: Final = "proxy_no_client"  # no internet address, or one that no client can have
REASONS: Final = (NO_HEADER, VERSION, TOO_LONG, MALFORMED, NO_CLIENT)
UNFINISHED: Final = "proxy_unfinished"  # counted by whoever waits for the rest of one in vain

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
FIXED_BYTES: Final = 16
MAX_BLOCK_BYTES: Final = 536  # of addresses and TLVs
MAX_HEADER_BYTES: Final = FIXED_BYTES + MAX_BLOCK_BYTES
_VERSION_1: Final = b"PROXY "
_LOCAL, _PROXY = 0, 1
_UNSPECIFIED, _INET, _INET6, _UNIX = range(4)
_DATAGRAMS: Final = 2
_BLOCK_BYTES: Final = {_INET: 12, _INET6: 36}  # two addresses, two ports
_TLV_HEAD_BYTES: Final = 3
_CRC32C: Final = 3
_CRC32C_BYTES: Final = 4
_CASTAGNOLI: Final = 0x82F63B78
_MAPPED: Final = bytes(10) + b"\xff\xff"


class ProxyHeader(NamedTuple):
    """A sound header."""

    size: int  # in bytes
    client: str  # its address as text; "": the header (LOCAL) names none, the sender speaks for itself
    datagrams: bool  # the client reached the load balancer over UDP


def header_bytes(start: bytes | bytearray) -> int:
    """The size of the header that begins with `start`, what has come of a connection; 0 while that cannot be known.

    Raises `WireError` as soon as it cannot become one that `parse_header` accepts by signature, version and size.
    """
    if not SIGNATURE.startswith(start[: len(SIGNATURE)]):
        if len(start) < len(_VERSION_1) and _VERSION_1.startswith(start):
            return 0
        raise WireError(VERSION if start.startswith(_VERSION_1) else NO_HEADER, rcode=None)
    if len(start) < FIXED_BYTES:
        return 0
    if start[12] >> 4 != 2:
        raise WireError(VERSION, rcode=None)
    size = start[14] << 8 | start[15]
    if size > MAX_BLOCK_BYTES:
        raise WireError(TOO_LONG, rcode=None)
    return FIXED_BYTES + size


def parse_header(wire: bytes | bytearray) -> ProxyHeader:
    """The header that `wire` begins with. Raises `WireError` with one of `REASONS` as its reason.

    LOCAL is accepted whatever its block holds, as the specification demands. PROXY must name an IPv4 or IPv6 address; its TLVs
    must fill the rest of the block exactly, and the checksum (CRC32c) must be right if there is one. Other TLVs are skipped.
    """
    size = header_bytes(wire)
    if not size:
        raise WireError(MALFORMED if wire.startswith(SIGNATURE) else NO_HEADER, rcode=None)
    command = wire[12] & 0xF
    if command > _PROXY or size > len(wire):
        raise WireError(MALFORMED, rcode=None)
    family, protocol = wire[13] >> 4, wire[13] & 0xF
    if command == _LOCAL:
        return ProxyHeader(size, "", datagrams=False)
    if family > _UNIX or protocol > _DATAGRAMS:
        raise WireError(MALFORMED, rcode=None)
    if family in (_UNSPECIFIED, _UNIX) or protocol == _UNSPECIFIED:
        raise WireError(NO_CLIENT, rcode=None)
    block_bytes = _BLOCK_BYTES[family]
    if FIXED_BYTES + block_bytes > size or not _has_sound_tlvs(wire[:size], FIXED_BYTES + block_bytes):
        raise WireError(MALFORMED, rcode=None)
    address_bytes = 4 if family == _INET else 16
    return ProxyHeader(size, _client(bytes(wire[FIXED_BYTES : FIXED_BYTES + address_bytes])), protocol == _DATAGRAMS)


def _client(address: bytes) -> str:
    """The address as text, an IPv4-mapped one as IPv4."""
    address = address.removeprefix(_MAPPED)
    if len(address) == len(_MAPPED) + 4:
        if address[0] == 0xFF or not any(address):  # multicast, unspecified
            raise WireError(NO_CLIENT, rcode=None)
        return socket.inet_ntop(socket.AF_INET6, address)
    if address[0] == 0 or address[0] >= 224:  # this network (RFC 1122, 3.2.1.3), multicast, reserved, broadcast
        raise WireError(NO_CLIENT, rcode=None)
    return socket.inet_ntop(socket.AF_INET, address)


def _has_sound_tlvs(header: bytes | bytearray, at: int) -> bool:
    """Whether TLVs fill `header` from `at` to its end, with at most one checksum, which is right."""
    checksum_at = 0
    while at < len(header):
        if at + _TLV_HEAD_BYTES > len(header):
            return False
        kind, size = header[at], header[at + 1] << 8 | header[at + 2]
        at += _TLV_HEAD_BYTES
        if kind == _CRC32C:
            if checksum_at or size != _CRC32C_BYTES:
                return False
            checksum_at = at
        at += size
    if at > len(header):
        return False
    if not checksum_at:
        return True
    behind = checksum_at + _CRC32C_BYTES
    zeroed = bytes(header[:checksum_at]) + bytes(_CRC32C_BYTES) + bytes(header[behind:])
    return crc32c(zeroed) == int.from_bytes(header[checksum_at:behind])


def crc32c(data: bytes) -> int:
    """The checksum of RFC 3720, appendix B.4, that the TLV PP2_TYPE_CRC32C holds."""
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder = remainder >> 8 ^ _TABLE[(remainder ^ byte) & 0xFF]
    return remainder ^ 0xFFFFFFFF


def crc32c_of_byte(byte: int) -> int:
    """What a `byte` adds to the checksum of those before it."""
    remainder = byte
    for _ in range(8):
        remainder = remainder >> 1 ^ (_CASTAGNOLI if remainder & 1 else 0)
    return remainder


_TABLE: Final = tuple(map(crc32c_of_byte, range(256)))
