"""0x20 (draft-vixie-dnsext-dns0x20): the case of the letters in a question, one more bit for each that a forger must guess."""

from __future__ import annotations

RETRY_S = 3600.0
_MISMATCHES_WITHOUT_TCP = 3

_FLIP = bytes(0x20 if 0x61 <= byte <= 0x7A else 0 for byte in range(256))  # length bytes (at most 63) are never letters


def mix(qname: bytes, data: bytes) -> bytes:
    """`qname` (lower-case wire form) with each letter's case chosen by a bit of `bytes`, which is as long."""
    flips = int.from_bytes(qname.translate(_FLIP)) & int.from_bytes(data)
    return (int.from_bytes(qname) ^ flips).to_bytes(len(qname))


class CaseMemory:
    """Whether one upstream returns the question in the case it was sent.

    It is believed to, until it is shown otherwise: by an answer over TCP that does not keep the case, or, where TCP
    does not work, by three answers in a row over UDP that were right in everything but case. A forger who could make
    those three would have guessed port and id each time, and had no need to. Then the case is left alone for an hour.
    """

    __slots__ = ("_mismatches", "_off_until_s")

    def __init__(self, *, enabled: bool) -> None:
        self._off_until_s = 0.0 if enabled else float("inf")
        self._mismatches = 0

    def is_on(self, now: float) -> bool:
        return now >= self._off_until_s

    def kept(self) -> None:
        """An answer came back in the case of its question."""
        self._mismatches = 0

    def lost_over_tcp(self, now: float) -> None:
        """An answer over TCP came back in another case."""
        self._turn_off(now)

    def lost_without_tcp(self, now: float) -> None:
        """An answer over UDP came back in another case, and TCP could not tell who was wrong."""
        self._mismatches += 1
        if self._mismatches >= _MISMATCHES_WITHOUT_TCP:
            self._turn_off(now)

    def _turn_off(self, now: float) -> None:
        self._mismatches = 0
        self._off_until_s = max(self._off_until_s, now + RETRY_S)
