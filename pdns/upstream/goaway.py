"""GOAWAY (RFC 9113, 6.8): `h2` treats it as the end of the connection; the streams before it are still answered.

Frames that are too long are refused here as well: `h2` would collect them first.
"""

from __future__ import annotations

from typing import Final

from pdns.errors import WireError

MAX_FRAME_BYTES: Final = 16384  # SETTINGS_MAX_FRAME_SIZE as long as we name no other

_HEADER_BYTES = 9
_GOAWAY = 0x7


class GoawayFilter:
    """Takes GOAWAY frames out of what a server sends. `last_stream` is the highest that it may have processed, None before."""

    def __init__(self) -> None:
        self.last_stream: int | None = None
        self._begun = bytearray()  # a frame of which less than the header has come, or a GOAWAY less than whole
        self._passing = 0  # bytes of the current frame that are still to come

    def feed(self, data: bytes) -> bytes:
        """`data` without such frames. The beginning of a frame is held back until its header is whole. Raises `WireError`."""
        if self._passing >= len(data) and not self._begun:
            self._passing -= len(data)
            return data
        data = bytes(self._begun) + data
        self._begun.clear()
        kept = []
        at, start = self._passing, 0
        while len(data) - at >= _HEADER_BYTES:
            length = int.from_bytes(data[at : at + 3])
            if length > MAX_FRAME_BYTES:
                raise WireError(f"a frame of {length} bytes")
            end = at + _HEADER_BYTES + length
            if data[at + 3] == _GOAWAY and length >= 8:
                kept.append(data[start:at])
                start = at
                if end > len(data):
                    break
                last = int.from_bytes(data[at + 9 : at + 13]) & 0x7FFFFFFF
                self.last_stream = last if self.last_stream is None else min(last, self.last_stream)
                start = end
            at = end
        if at < len(data):
            kept.append(data[start:at])
            self._begun += data[at:]
            self._passing = 0
        else:
            kept.append(data[start:])
            self._passing = at - len(data)
        return b"".join(kept)
