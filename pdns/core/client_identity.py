"""What an event says of the client that asked: nothing, its network, a pseudonym or its address."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from ipaddress import ip_address
from typing import Final, NamedTuple

from pdns.config.schema import Config

NOTHING, PSEUDONYM, ADDRESS = 0, 1, 2  # kinds
PSEUDONYM_BYTES: Final = 8
_BITS: Final = 128
_MAPPED: Final = bytes(10) + b"\xff\xff"
_MAPPED_BITS: Final = 96


class ClientView(NamedTuple):
    """How much of the clients of one tenant is recorded. Of an address, the first bits: all of them, or a prefix."""

    kind: int = NOTHING
    ipv4_bits: int = 32
    ipv6_bits: int = 128


class ClientIdentity(NamedTuple):
    """What is recorded of one client."""

    kind: int = NOTHING
    bits: int = 0  # of an address, of the 128
    value: bytes = bytes(16)


NO_CLIENT: Final = ClientIdentity()
Views = Callable[[str], ClientView]


def views_of(config: Config) -> Views:
    """What the configuration says about the clients of a tenant, by the name of the tenant."""
    events = config.events
    views = {
        "none": ClientView(),
        "prefix": ClientView(ADDRESS, events.ipv4_prefix, events.ipv6_prefix),
        "hash": ClientView(PSEUDONYM),
        "full": ClientView(ADDRESS),
    }
    default = views[events.clients]
    by_tenant = {tenant.name: views[tenant.events_clients] for tenant in config.tenant if tenant.events_clients}
    return lambda tenant: by_tenant.get(tenant, default)


def packed(address: str) -> bytes:
    """16 bytes, IPv4 as ::ffff:a.b.c.d."""
    plain = ip_address(address).packed
    return plain if len(plain) == len(_MAPPED) + 4 else _MAPPED + plain


def bits_of(view: ClientView, address: bytes) -> int:
    """How many of the 128 bits of a packed address are kept."""
    return _MAPPED_BITS + view.ipv4_bits if address.startswith(_MAPPED) else view.ipv6_bits


def masked(address: bytes, bits: int) -> bytes:
    """The first bits of a packed address; the others are 0."""
    mask = (1 << _BITS) - (1 << _BITS - bits)
    return (int.from_bytes(address) & mask).to_bytes(16)


def pseudonym(key: bytes, tenant: str, address: bytes) -> bytes:
    """8 bytes that stand for an address, other ones for each tenant and key. Without the key they lead to no address.

    `key` has at most 64 bytes.
    """
    return blake2b(tenant.encode() + b"\0" + address, key=key, digest_size=PSEUDONYM_BYTES).digest()


def identity(view: ClientView, key: bytes, tenant: str, address: bytes) -> ClientIdentity:
    """What is recorded of a client at a packed address."""
    if view.kind == NOTHING:
        return NO_CLIENT
    if view.kind == PSEUDONYM:
        return ClientIdentity(PSEUDONYM, 0, pseudonym(key, tenant, address) + bytes(8))
    bits = bits_of(view, address)
    return ClientIdentity(ADDRESS, bits, masked(address, bits))


def text_of(client: ClientIdentity) -> str:
    """Empty, "h:" and 16 hexadecimal digits, "192.0.2.0/24", or "192.0.2.7"."""
    if client.kind == PSEUDONYM:
        return f"h:{client.value[:PSEUDONYM_BYTES].hex()}"
    if client.kind != ADDRESS:
        return ""
    is_ipv4 = client.value.startswith(_MAPPED) and client.bits >= _MAPPED_BITS
    address = ip_address(client.value[len(_MAPPED) :] if is_ipv4 else client.value)
    bits = client.bits - _MAPPED_BITS if is_ipv4 else client.bits
    return str(address) if bits == address.max_prefixlen else f"{address}/{bits}"
