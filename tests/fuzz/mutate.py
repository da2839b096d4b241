"""Packets without end, at some microseconds each: sound ones, and those with bytes, lengths, pointers, counts and options
changed. The same seed makes the same packets.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from pdns.wire.names import from_text

_MOST_BYTES = 4200  # a little more than anybody reads
_BYTES = (0, 1, 2, 3, 11, 12, 13, 41, 63, 64, 65, 127, 128, 191, 192, 193, 255)
_WORDS = (0, 1, 2, 3, 5, 6, 10, 11, 12, 28, 41, 64, 65, 255, 256, 511, 512, 1232, 4096, 32767, 32768, 49152, 49164, 49407, 65535)
_TYPES = (1, 1, 1, 1, 28, 28, 65, 16, 6, 15, 255, 2, 46, 12345)
_FLAGS = (0x0100, 0x0100, 0x0100, 0x0100, 0x0000, 0x0110, 0x0120, 0x0130)
_OPTS = (
    b"",
    bytes.fromhex("00002904d0000000000000"),  # the two that most clients send
    bytes.fromhex("00002904d0000080000000"),
    bytes.fromhex("0000290200000000000000"),
    bytes.fromhex("000029ffff00000000000c000a00080011223344556677"),  # a cookie
    bytes.fromhex("00002904d000000000000400030000"),  # NSID
    bytes.fromhex("0000291000000080000008000b0002000f000c0000"),
    bytes.fromhex("00002904d0000000000004001a0000"),  # structured errors
    bytes.fromhex("000029020000008000001c001a0000000a0008001122334455667700030000001a000401020304"),
)
_LISTED = tuple(
    from_text(name) for name in ("malware.test", "a.malware.test", "MalWare.Test", "exact.example", "watched.example")
)
_POPULAR = tuple(from_text(f"{word}.example") for word in ("www", "WWW", "no", "big", "cdn-7", "x." * 60 + "deep", "loop"))


def landmarks(packet: bytes) -> tuple[int, ...]:
    """Where lengths, pointers, counts, types and options stand in a message, as far as it can be followed."""
    places = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    at = 12
    left = min(60, sum(int.from_bytes(packet[place : place + 2]) for place in (4, 6, 8, 10)))
    questions = int.from_bytes(packet[4:6])
    while left and at < len(packet):
        while at < len(packet):
            places.append(at)
            length = packet[at]
            at += 2 if length >= 192 else 1 + (length if length < 64 else 0)
            if length == 0 or length >= 192:
                break
        places += [at, at + 1]
        if questions:
            questions -= 1
            at += 4
        else:
            places += range(at + 2, at + 10)
            rdata_bytes = int.from_bytes(packet[at + 8 : at + 10])
            places += range(at + 10, at + 10 + min(rdata_bytes, 24))
            at += 10 + rdata_bytes
        left -= 1
    return tuple(place for place in places if place < len(packet)) or (0,)


class Mutator:
    """Packets from `seeds`, and sound queries of its own."""

    def __init__(self, seeds: Sequence[bytes], seed: int) -> None:
        self._random = random.Random(seed)
        self._seeds = [packet[:_MOST_BYTES] for packet in seeds if packet]
        self._landmarks = [landmarks(packet) for packet in self._seeds]
        self._changes: tuple[Callable[[bytearray, tuple[int, ...]], None], ...] = (
            self._byte, self._byte, self._word, self._flip, self._delete, self._insert, self._shorten, self._copy,
            self._at_landmark, self._at_landmark, self._at_landmark, self._landmark_word, self._landmark_word,
            self._landmark_step, self._landmark_step, self._point, self._point, self._add_opt,
        )  # fmt: skip

    def below(self, bound: int) -> int:
        """A number from 0 to `bound` - 1, and 0 for 0."""
        return int(self._random.random() * bound)

    def query(self) -> bytes:
        """A sound query: for few names, so that they are met again, or for one of a million."""
        random_ = self._random.random
        kind = random_()
        if kind < 0.5:
            name = _POPULAR[int(random_() * len(_POPULAR))]
        elif kind < 0.7:
            name = _LISTED[int(random_() * len(_LISTED))]
        else:
            number = b"%d" % int(random_() ** 3 * 1_000_000)
            name = bytes([len(number)]) + number + b"\7example\0"
        opt = _OPTS[int(random_() * len(_OPTS))]
        head = int(random_() * 65536) << 16 | _FLAGS[int(random_() * len(_FLAGS))]
        tail = _TYPES[int(random_() * len(_TYPES))] << 16 | 1
        return head.to_bytes(4) + (b"\0\1\0\0\0\0\0\1" if opt else b"\0\1\0\0\0\0\0\0") + name + tail.to_bytes(4) + opt

    def packet(self) -> bytes:
        """Sound, broken a little, or broken badly."""
        kind = self._random.random()
        if kind < 0.3:
            return self.query()
        if kind < 0.55:
            query = self.query()
            return self.broken(query, landmarks(query))
        which = self.below(len(self._seeds))
        if kind < 0.6:
            return self._seeds[which]
        return self.broken(self._seeds[which], self._landmarks[which])

    def broken(self, packet: bytes, places: tuple[int, ...]) -> bytes:
        """`packet` with one to four changes, now and then with another's tail."""
        changed = bytearray(packet)
        if self._random.random() < 0.1:
            other = self._seeds[self.below(len(self._seeds))]
            changed[self.below(len(changed)) :] = other[self.below(len(other)) :]
        for _ in range(1 + self.below(4)):
            self._changes[self.below(len(self._changes))](changed, places)
            if not changed:
                break
        return bytes(changed[:_MOST_BYTES])

    def _place(self, packet: bytearray, places: tuple[int, ...]) -> int:
        return min(places[self.below(len(places))], len(packet) - 1)

    def _byte(self, packet: bytearray, _places: tuple[int, ...]) -> None:
        packet[self.below(len(packet))] = self.below(256)

    def _word(self, packet: bytearray, _places: tuple[int, ...]) -> None:
        at = self.below(len(packet))
        packet[at : at + 2] = _WORDS[self.below(len(_WORDS))].to_bytes(2)

    def _flip(self, packet: bytearray, _places: tuple[int, ...]) -> None:
        packet[self.below(len(packet))] ^= 1 << self.below(8)

    def _delete(self, packet: bytearray, _places: tuple[int, ...]) -> None:
        at = self.below(len(packet))
        del packet[at : at + 1 + self.below(20)]

    def _insert(self, packet: bytearray, _places: tuple[int, ...]) -> None:
        at = self.below(len(packet))
        packet[at:at] = bytes([_BYTES[self.below(len(_BYTES))]]) * (1 + self.below(70))

    def _shorten(self, packet: bytearray, _places: tuple[int, ...]) -> None:
        del packet[self.below(len(packet)) :]

    def _copy(self, packet: bytearray, _places: tuple[int, ...]) -> None:
        start, at = self.below(len(packet)), self.below(len(packet))
        packet[at:at] = packet[start : start + self.below(64)]

    def _at_landmark(self, packet: bytearray, places: tuple[int, ...]) -> None:
        packet[self._place(packet, places)] = _BYTES[self.below(len(_BYTES))]

    def _landmark_word(self, packet: bytearray, places: tuple[int, ...]) -> None:
        at = self._place(packet, places)
        packet[at : at + 2] = _WORDS[self.below(len(_WORDS))].to_bytes(2)

    def _landmark_step(self, packet: bytearray, places: tuple[int, ...]) -> None:
        at = self._place(packet, places)
        packet[at] = (packet[at] + (1 if self._random.random() < 0.5 else 255)) & 255

    def _point(self, packet: bytearray, places: tuple[int, ...]) -> None:
        at = self._place(packet, places)
        packet[at : at + 2] = (0xC000 | self._place(packet, places)).to_bytes(2)

    def _add_opt(self, packet: bytearray, _places: tuple[int, ...]) -> None:
        packet += _OPTS[1 + self.below(len(_OPTS) - 1)]
        if len(packet) > 11:
            packet[11] = (packet[11] + 1) & 255
