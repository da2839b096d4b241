"""Whole numbers in as few bytes as they need, as Protocol Buffers and tables of names have them."""

from __future__ import annotations


def varint(number: int) -> bytes:
    """`number`, which is not negative: seven bits a byte, the lowest first; every byte but the last has its highest bit set."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
