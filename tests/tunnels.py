"""Queries as tunnels through DNS send them: data in labels, no name twice."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from pdns.wire.names import from_labels

DOMAIN: Final = b"t.tunnel.example"
_LABEL_BYTES: Final = 57


def _base32(data: bytes) -> bytes:
    return base64.b32encode(data).rstrip(b"=").lower()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=").lower()  # resolvers on the way do not keep the case


def _decimal(data: bytes) -> bytes:
    return str(int.from_bytes(data)).encode()


def _nibbles(data: bytes) -> bytes:
    return bytes(97 + half for byte in data for half in (byte >> 4, byte & 15))


ENCODINGS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "hex": lambda data: data.hex().encode(),
    "base32": _base32,
    "base64": _base64,
    "decimal": _decimal,
    "letters": _nibbles,
    "raw": lambda data: bytes(byte | 0x80 for byte in data),  # as iodine in its mode of 8 bits
}


class Query(NamedTuple):
    """A query of a tunnel."""

    time_s: float  # since the first
    qname: bytes  # in wire form


def queries(encoding: str, rate: float, chunk: int, *, for_s: float, seed: int = 1, domain: bytes = DOMAIN) -> Iterator[Query]:
    """A tunnel that sends `rate` bytes a second, `chunk` of them in each query, for `for_s` seconds."""
    drawn = random.Random(seed)
    number = 0
    while (time_s := number * chunk / rate) < for_s:
        text = ENCODINGS[encoding](drawn.randbytes(chunk))
        labels = [text[at : at + _LABEL_BYTES] for at in range(0, len(text), _LABEL_BYTES)]
        yield Query(time_s, from_labels([*labels, *domain.split(b".")]))
        number += 1
