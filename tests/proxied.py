"""Headers of the PROXY protocol, version 2, as load balancers send them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from pdns.wire.proxy_header import SIGNATURE, crc32c

LOCAL, PROXY = 0x20, 0x21
STREAM, DATAGRAM = 1, 2
SERVER: Final = {4: "192.0.2.53", 6: "2001:db8::53"}


def header(client: str = "", *, means: int = DATAGRAM, port: int = 40000, tlvs: bytes = b"", checksum: bool = False) -> bytes:
    """What names `client`, which reached the load balancer by `means`; LOCAL without one."""
    if not client:
        return raw(LOCAL, 0, tlvs)
    source = ip_address(client)
    block = source.packed + ip_address(SERVER[source.version]).packed + port.to_bytes(2) + (53).to_bytes(2) + tlvs
    family = {4: 0x10, 6: 0x20}[source.version] | means
    if not checksum:
        return raw(PROXY, family, block)
    sum_of_zeros = crc32c(raw(PROXY, family, block + tlv(3, bytes(4))))
    return raw(PROXY, family, block + tlv(3, sum_of_zeros.to_bytes(4)))


def raw(command: int, family: int, block: bytes = b"", *, size: int | None = None) -> bytes:
    """A header that may be anything; `size`: what it says that its block has."""
    return SIGNATURE + bytes([command, family]) + (len(block) if size is None else size).to_bytes(2) + block


def tlv(kind: int, value: bytes) -> bytes:
    """One type-length-value."""
    return bytes([kind]) + len(value).to_bytes(2) + value
