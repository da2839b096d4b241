"""Which worker a message belongs to, as the kernel computes it for datagrams (`pdns.net.steering`): for messages that come
another way, so that each name is cached once.
"""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache
from typing import Final

from pdns.net.steering import LABELS, QNAME_AT, WORDS

_MASK: Final = 2**32 - 1
_REMEMBERED: Final = 8192  # names
_SHORTEST: Final = QNAME_AT + 3  # where a name ends at least whose bytes are summed up
_ENDS_BELOW: Final = QNAME_AT + 4 * WORDS + 3


class SteeringIndex:
    """The socket of each name, of `sockets`, under the key of a `Steering`."""

    def __init__(self, sockets: int, key: bytes) -> None:
        self.sockets: Final = sockets
        count = 2 * WORDS + 8  # for the length, each word, the final word, the rounds behind the sum
        self._numbers: tuple[int, ...] = struct.unpack(f"={count}I", hashlib.shake_256(key).digest(4 * count))
        self._of_name = lru_cache(_REMEMBERED)(self._compute)

    def of(self, message: bytes) -> int | None:
        """The index of the socket for `message`; None: any. The message may be anything."""
        at = QNAME_AT
        size = len(message)
        for _ in range(LABELS + 1):
            if at >= size:
                return None
            label = message[at]
            if not label:
                return None if at >= _ENDS_BELOW else self._of_name(message[QNAME_AT : at + 1].lower())
            at += 1 + label
        return None

    def _compute(self, name: bytes) -> int:
        """`name` in wire form, in lower case, as far as its first zero."""
        numbers = self._numbers
        total = numbers[0]
        end = QNAME_AT + len(name) - 1
        if end >= _SHORTEST:
            total += end * numbers[1]
            words = [int.from_bytes(name[at : at + 4]) for at in range(0, len(name) - 3, 4)]
            for index, word in enumerate(words):
                total += (word >> 16) * numbers[2 * index + 2] + (word & 0xFFFF) * numbers[2 * index + 3]
            word = int.from_bytes(name[-4:])
            total += (word >> 16) * numbers[2 * WORDS + 2] + (word & 0xFFFF) * numbers[2 * WORDS + 3]
        total = (total & _MASK) >> 15
        for number, factor, shift in zip(numbers[-4::2], numbers[-3::2], (16, 15), strict=True):
            total = (total ^ number) * (factor | 1) & _MASK
            total ^= total >> shift
        return total % self.sockets
